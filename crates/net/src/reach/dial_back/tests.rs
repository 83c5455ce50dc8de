//! Against nodes, and against what is none.

use tokio::net::TcpListener;

use super::*;
use crate::{P2pConfig, P2pHandle};

async fn node(number: u8, max_peers: usize) -> P2pHandle {
    let key = NodeKey::from_entropy([number; 32]);
    let mut config = P2pConfig::new(key, 1, alloy_primitives::B256::ZERO);
    (config.listen_address, config.listen_port) = ([127, 0, 0, 1].into(), 0);
    config.max_peers = max_peers;
    crate::start(config).await.unwrap()
}

#[tokio::test]
async fn a_node_is_reached_even_when_it_is_full_and_keeps_nothing_of_it() {
    let full = node(1, 0).await;
    let address = full.listening().unwrap();
    assert_eq!(dial_back(address, full.local_id).await, Outcome::Reached);
    while !full.peers().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(full.peer_count(), 0);
    full.shutdown().await;
}

#[tokio::test]
async fn a_port_of_somebody_else_is_no_success() {
    let (wanted, other) = (node(1, 5).await, node(2, 5).await);
    let address = other.listening().unwrap();
    assert_eq!(dial_back(address, wanted.local_id).await, Outcome::AnotherNode);
    // Nor is a program that is no node.
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = web.local_addr().unwrap();
    let serve = tokio::spawn(async move {
        let (mut stream, _) = web.accept().await.unwrap();
        let _ = stream.write_all(&[b'H'; 100_000]).await;
    });
    assert_eq!(dial_back(address, wanted.local_id).await, Outcome::AnotherNode);
    serve.await.unwrap();
    wanted.shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn nobody_there_is_refused() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let id = NodeKey::from_entropy([1; 32]).peer_id();
    assert_eq!(dial_back(port, id).await, Outcome::Refused);
}

/// An answer to the first packet can be made by anybody who knows our key, and nobody knows it; but who
/// repeats an answer of another handshake has no keys either.
#[tokio::test]
async fn who_repeats_what_the_node_once_said_has_not_its_key() {
    let node = node(1, 5).await;
    let listening = node.listening().unwrap();
    let (tap, said) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), tokio::sync::oneshot::channel());
    let address = tap.local_addr().unwrap();
    let (to, from) = said;
    let between = tokio::spawn(async move {
        let (mut near, _) = tap.accept().await.unwrap();
        let mut far = TcpStream::connect(listening).await.unwrap();
        let mut first = vec![0; 4096];
        let read = near.read(&mut first).await.unwrap();
        far.write_all(&first[..read]).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = far.read(&mut answer).await.unwrap();
        answer.truncate(read);
        near.write_all(&answer).await.unwrap();
        let _ = to.send(answer);
        tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
        // The second time it answers by itself.
        let (mut near, _) = tap.accept().await.unwrap();
        let recorded = from.await.unwrap();
        let read = near.read(&mut first).await.unwrap();
        assert!(read > 0);
        near.write_all(&recorded).await.unwrap();
        while let Ok(1..) = near.read(&mut first).await {}
    });
    assert_eq!(dial_back(address, node.local_id).await, Outcome::Reached, "through somebody");
    assert_eq!(dial_back(address, node.local_id).await, Outcome::AnotherNode);
    between.await.unwrap();
    node.shutdown().await;
}
