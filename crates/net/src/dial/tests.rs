//! Names with several addresses: the one that answers is found, whatever the others do.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const LOOPBACK: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nobody listens.
async fn closed() -> SocketAddr {
    listener().await.1
}

/// A listener whose queue is full: the kernel answers no more connections.
struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Silent {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(LOOPBACK).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        let enough = Duration::from_millis(300);
        while let Ok(stream) = tokio::time::timeout(enough, TcpStream::connect(address)).await {
            queue.push(stream.unwrap());
        }
        Self { address, _listener: listener, _queue: queue }
    }
}

#[tokio::test]
async fn the_address_that_answers_is_found() {
    let (_listener, open) = listener().await;
    for addresses in [vec![open], vec![closed().await, open], vec![open, closed().await]] {
        let (stream, reached) = connect_to_any(addresses).await.unwrap();
        assert_eq!((reached, stream.peer_addr().unwrap()), (open, open));
    }
    let none = connect_to_any(vec![closed().await, closed().await]).await;
    assert_eq!(none.unwrap_err(), DialError::Refused);
    assert_eq!(connect_to_any(Vec::new()).await.unwrap_err(), DialError::NameNotFound);
}

#[tokio::test]
async fn an_address_that_never_answers_does_not_use_up_the_time_of_the_others() {
    let silent = [Silent::new().await, Silent::new().await];
    let (_listener, open) = listener().await;
    let addresses = vec![silent[0].address, silent[1].address, closed().await, open];
    // The manager gives a dial no more.
    let dial =
        tokio::time::timeout(chainmesh_proto::peers::DIAL_TIMEOUT, connect_to_any(addresses));
    let (_, reached) = dial.await.expect("in time").unwrap();
    assert_eq!(reached, open);
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let (_listener, open) = listener().await;
    let name =
        |name: &str| DialTarget { id: None, host: Host::Name(name.to_owned()), port: open.port() };
    let (_, reached) = connect(&name("localhost")).await.unwrap();
    // `localhost` may be ::1, too, where nobody listens.
    assert_eq!(reached, open);
    // RFC 6761: never a name of anybody.
    let nobody = connect(&name("nobody.invalid")).await.unwrap_err();
    assert!(matches!(nobody, DialError::NameNotFound | DialError::TimedOut), "{nobody}");
}

#[test]
fn families_take_turns_and_each_address_is_tried_once() {
    let v4 = |last| SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), 1));
    let v6 = |last| SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 1));
    let all = [v6(1), v6(2), v6(1), v6(3), v4(1), v4(2)];
    assert_eq!(by_turns(all.into_iter()), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
    let many = (0..100).map(v4);
    assert_eq!(by_turns(many).len(), MAX_ADDRESSES);
    assert!(by_turns(core::iter::empty()).is_empty());
}
