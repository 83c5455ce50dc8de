//! Discovery on loopback: nodes that know one boot node find each other and connect.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chainmesh_net::discovery::{self, DiscoveryHandle, DiscoveryOptions};
use chainmesh_net::{Enode, P2pHandle};
use tokio::net::UdpSocket;

use crate::support::{config, echo, key, within};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A boot node and the URL that names it.
async fn boot_node() -> (DiscoveryHandle, Enode) {
    let options = DiscoveryOptions::default();
    let handle = discovery::start(key(200), LOOPBACK, 0, options, |_| {}).await.unwrap();
    let address = handle.listening();
    let enode =
        Enode { udp_port: address.port(), ..Enode::new(handle.local_id(), address.ip(), 0) };
    (handle, enode)
}

async fn node(number: u8, boot: &Enode) -> P2pHandle {
    let mut config = config(number);
    config.modules.push(echo().0);
    config.boot_nodes.push(boot.clone());
    config.discovery = Some(DiscoveryOptions::default());
    chainmesh_net::start(config).await.unwrap()
}

/// Looks again and again until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nodes_that_know_one_boot_node_find_each_other_and_connect() {
    let (boot_handle, boot) = boot_node().await;
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(node(number, &boot).await);
    }
    for node in &nodes {
        until("everybody is a peer of everybody", async || node.peer_count() == 2).await;
    }
    let target = nodes[0].discovery().unwrap();
    let own = target.snapshot().await.unwrap().record.expect("a record");
    assert_eq!(own.tcp4(), nodes[0].listening().map(|address| address.port()));
    let asker = nodes[2].discovery().unwrap();
    let found = within("a lookup", asker.lookup(nodes[0].local_id)).await.unwrap();
    assert_eq!(found.nodes.first().map(|node| node.id), Some(nodes[0].local_id));
    let rtt = within("a Ping", asker.ping(&boot)).await.unwrap();
    assert!(rtt.is_some_and(|rtt| rtt < Duration::from_secs(1)), "{rtt:?}");
    let table = boot_handle.snapshot().await.unwrap().table;
    assert_eq!(table.len(), 3);
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn nobody_is_there_is_an_answer_too() {
    let (handle, _) = boot_node().await;
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let address = silent.local_addr().unwrap();
    let enode = Enode::new(key(9).peer_id(), address.ip(), address.port());
    assert_eq!(within("a Ping", handle.ping(&enode)).await.unwrap(), None);
    let found = within("a lookup", handle.lookup(key(9).peer_id())).await.unwrap();
    assert!(found.nodes.is_empty());
}

#[tokio::test]
async fn rubbish_gets_no_answer_and_is_counted() {
    let (handle, _) = boot_node().await;
    let stranger = UdpSocket::bind(LOOPBACK).await.unwrap();
    for size in [0, 1, 97, 98, 500, 1280, 1281, 9000] {
        stranger.send_to(&vec![7; size], handle.listening()).await.unwrap();
    }
    until("all of them have come", async || {
        handle.snapshot().await.unwrap().counters.dropped.values().sum::<u64>() == 8
    })
    .await;
    let report = handle.snapshot().await.unwrap();
    assert!(report.counters.sent.is_empty(), "{:?}", report.counters);
}

#[tokio::test]
async fn a_port_in_use_is_said_so() {
    let (handle, _) = boot_node().await;
    let again =
        discovery::start(key(1), handle.listening(), 0, DiscoveryOptions::default(), |_| {});
    assert_eq!(again.await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn discovery_ends_with_its_node_and_does_not_keep_it_alive() {
    let (_handle, boot) = boot_node().await;
    let node = node(1, &boot).await;
    let discovery = node.discovery().unwrap();
    let address = discovery.listening();
    drop(node);
    until("the port is free", async || UdpSocket::bind(address).await.is_ok()).await;
    assert!(discovery.snapshot().await.is_err());
}
