//! Who gets a session, and how many.

use chainmesh_net::{DisconnectReason, NodeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{config, connected, disconnected, echo, node, within};

#[tokio::test]
async fn two_nodes_that_dial_each_other_have_one_session() {
    let (a, _seen_a) = node(1, |_| {}).await;
    let (b, _seen_b) = node(2, |_| {}).await;
    let (mut events_a, mut events_b) = (a.subscribe(), b.subscribe());
    let (to_a, to_b) = (a.enode().unwrap(), b.enode().unwrap());
    let (first, second) =
        tokio::join!(a.add_peer(&to_b, NodeKind::Static), b.add_peer(&to_a, NodeKind::Static));
    first.unwrap();
    second.unwrap();
    assert_eq!(connected(&mut events_a).await, b.local_id);
    assert_eq!(connected(&mut events_b).await, a.local_id);
    for node in [&a, &b] {
        let sessions = within("one session", async {
            loop {
                let peers = node.peers().await.unwrap();
                let live: Vec<_> =
                    peers.into_iter().filter(|peer| peer.info.connection.is_some()).collect();
                if live.len() == 1 && live[0].connected_for.is_some() {
                    return live;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(sessions.len(), 1);
    }
    assert_eq!((a.peer_count(), b.peer_count()), (1, 1));
}

#[tokio::test]
async fn a_node_that_dials_itself_finds_out() {
    let (a, _seen) = node(1, |_| {}).await;
    let mut me = a.enode().unwrap();
    // Under its own ID it is not even dialled; under another one it answers with its own key.
    a.add_peer(&me, NodeKind::Static).await.unwrap();
    me.id = crate::support::key(9).peer_id();
    a.add_peer(&me, NodeKind::Static).await.unwrap();
    within("the dial fails", async {
        loop {
            let peers = a.peers().await.unwrap();
            assert!(peers.iter().all(|peer| peer.connected_for.is_none()));
            if peers.iter().any(|peer| !peer.info.history.is_empty()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(a.peer_count(), 0);
}

#[tokio::test]
async fn max_peers_is_held() {
    let (hub, _seen) = node(1, |config| config.max_peers = 3).await;
    let mut events = hub.subscribe();
    let boot = hub.enode().unwrap();
    let mut others = Vec::new();
    for number in 2..8 {
        let boot = boot.clone();
        others.push(node(number, |config| config.boot_nodes.push(boot)).await);
    }
    // A third of the slots is reserved for outbound: two of three are for those who come.
    connected(&mut events).await;
    connected(&mut events).await;
    let report = hub.peers().await.unwrap();
    assert_eq!(report.iter().filter(|peer| peer.connected_for.is_some()).count(), 2);
    assert_eq!(hub.peer_count(), 2);
    // When one leaves, another one gets its place.
    let left = hub.peers().await.unwrap()[0].info.id.unwrap();
    let position = others.iter().position(|(node, _)| node.local_id == left).unwrap();
    let (leaver, _) = others.swap_remove(position);
    leaver.shutdown().await;
    assert_eq!(disconnected(&mut events).await, left);
    assert_ne!(connected(&mut events).await, left);
    assert_eq!(hub.peer_count(), 2);
}

#[tokio::test]
async fn a_boot_node_that_comes_back_is_found_again() {
    let (boot, _seen) = node(1, |_| {}).await;
    let enode = boot.enode().unwrap();
    let (b, _seen_b) = node(2, |config| config.boot_nodes.push(enode.clone())).await;
    let mut events = b.subscribe();
    assert_eq!(connected(&mut events).await, boot.local_id);
    boot.shutdown().await;
    assert_eq!(disconnected(&mut events).await, boot.local_id);
    let (again, _seen) = node(1, |config| config.listen_port = enode.tcp_port).await;
    assert_eq!(connected(&mut events).await, again.local_id);
}

#[tokio::test]
async fn a_node_that_shuts_down_says_goodbye() {
    let (a, _seen) = node(1, |_| {}).await;
    let boot = a.enode().unwrap();
    let (b, _seen_b) = node(2, |config| config.boot_nodes.push(boot)).await;
    let mut events = b.subscribe();
    assert_eq!(connected(&mut events).await, a.local_id);
    a.shutdown().await;
    assert_eq!(disconnected(&mut events).await, a.local_id);
    let peers = b.peers().await.unwrap();
    let words = peers[0].info.history[0].outcome.to_string();
    assert!(words.contains("client quitting"), "{words}");
}

#[tokio::test]
async fn a_name_is_looked_up_for_each_dial() {
    let (a, _seen) = node(1, |_| {}).await;
    let mut enode = a.enode().unwrap();
    enode.host = "localhost".parse_host();
    let (b, _seen_b) = node(2, |config| config.boot_nodes.push(enode)).await;
    let mut events = b.subscribe();
    assert_eq!(connected(&mut events).await, a.local_id);
}

trait ParseHost {
    fn parse_host(&self) -> chainmesh_net::Host;
}

impl ParseHost for str {
    fn parse_host(&self) -> chainmesh_net::Host {
        chainmesh_net::Host::Name(self.to_owned())
    }
}

#[tokio::test]
async fn a_node_without_a_common_module_is_told_so() {
    let (a, _seen) = node(1, |_| {}).await;
    let mut other = config(2);
    let (mut module, _seen_b) = echo();
    module.capability.version = 2;
    other.modules.push(module);
    other.boot_nodes.push(a.enode().unwrap());
    let b = chainmesh_net::start(other).await.unwrap();
    let reason = within("the refusal", async {
        loop {
            let peers = b.peers().await.unwrap();
            if let Some(attempt) = peers.iter().find_map(|peer| peer.info.history.last()) {
                return attempt.outcome;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let words = reason.to_string();
    assert!(words.contains("no common capability"), "{words}");
    assert_eq!((a.peer_count(), b.peer_count()), (0, 0));
}

#[tokio::test]
async fn a_session_can_be_ended_by_the_owner() {
    let (a, _seen) = node(1, |_| {}).await;
    let mut events = a.subscribe();
    let boot = a.enode().unwrap();
    let (b, _seen_b) = node(2, |config| config.boot_nodes.push(boot)).await;
    assert_eq!(connected(&mut events).await, b.local_id);
    a.disconnect(b.local_id, DisconnectReason::Requested).await.unwrap();
    assert_eq!(disconnected(&mut events).await, b.local_id);
}

/// Rubbish instead of a handshake: the connection is closed without an answer that would tell an
/// attacker anything, and nobody else notices.
#[tokio::test]
async fn rubbish_is_closed_without_a_word() {
    let (a, _seen) = node(1, |_| {}).await;
    let address = a.listening().unwrap();
    for bytes in [vec![0xff; 64], vec![0; 4096], b"GET / HTTP/1.1\r\n\r\n".repeat(200)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        within("the end", stream.read_to_end(&mut answer)).await.ok();
        assert!(answer.is_empty(), "{answer:02x?}");
    }
    let boot = a.enode().unwrap();
    let mut events = a.subscribe();
    let (b, _seen_b) = node(2, |config| config.boot_nodes.push(boot)).await;
    assert_eq!(connected(&mut events).await, b.local_id);
}
