//! Discovery on loopback: nodes that know one boot node find each other and connect.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chainmesh_net::discovery::{self, DiscoveryHandle, DiscoveryOptions};
use chainmesh_net::{Enode, P2pHandle, PeerId};
use chainmesh_proto::discovery::{Protocol, Report};
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

/// Whom a node found, and by which protocol.
type Finds = Arc<Mutex<BTreeSet<(PeerId, Protocol)>>>;

/// A node of discovery alone, which listens for sessions as far as others can tell.
async fn searcher(number: u8, options: DiscoveryOptions) -> (DiscoveryHandle, Finds) {
    let finds = Finds::default();
    let to = Arc::clone(&finds);
    let found = move |found: discovery::Found| {
        to.lock().unwrap().insert((found.enode.id, found.protocol));
    };
    let handle = discovery::start(key(number), LOOPBACK, 1000, options, found).await.unwrap();
    (handle, finds)
}

async fn report(handle: &DiscoveryHandle) -> Report {
    handle.snapshot().await.unwrap()
}

#[tokio::test]
async fn nodes_find_each_other_by_both_protocols_on_one_port_and_have_one_record() {
    let (boot, _) = boot_node().await;
    let record = report(&boot).await.record.expect("a record");
    let options =
        || DiscoveryOptions { boot_records: vec![record.clone()], ..DiscoveryOptions::default() };
    // They know the boot node by its record, so that discv4 knows nobody: what is found, discv5 finds.
    let (first, first_finds) = searcher(1, options()).await;
    let (second, second_finds) = searcher(2, options()).await;
    for (finds, other) in [(&first_finds, &second), (&second_finds, &first)] {
        until("found by discv5", async || {
            finds.lock().unwrap().contains(&(other.local_id(), Protocol::Discv5))
        })
        .await;
    }
    let v5 = first.discv5().await.unwrap().expect("discv5 is spoken");
    assert!(v5.table.iter().any(|entry| entry.id == second.local_id()), "{v5:?}");
    assert!(v5.sessions >= 2 && v5.lookups >= 1, "{v5:?}");
    assert_eq!(Some(v5.record_sequence), report(&first).await.record.map(|record| record.seq()));
    assert_eq!(report(&first).await.table, [], "discv4 was told of nobody");
}

#[tokio::test]
async fn a_boot_node_known_by_its_url_begins_discv5_too() {
    let (boot, url) = boot_node().await;
    let options = DiscoveryOptions { boot_nodes: vec![url], ..DiscoveryOptions::default() };
    let (node, _) = searcher(1, options).await;
    until("discv5 has the boot node", async || {
        let table = node.discv5().await.unwrap().expect("discv5 is spoken").table;
        table.iter().any(|entry| entry.id == boot.local_id() && entry.connected)
    })
    .await;
}

#[tokio::test]
async fn a_boot_node_that_is_named_again_is_still_connected() {
    let (boot, _) = boot_node().await;
    let record = report(&boot).await.record.expect("a record");
    let options = DiscoveryOptions { boot_records: vec![record], ..DiscoveryOptions::default() };
    let (node, _) = searcher(1, options).await;
    let v5 = async || node.discv5().await.unwrap().expect("discv5 is spoken");
    until("the boot node is connected", async || v5().await.connected == 1).await;
    // At each lookup of a table that is not full, boot nodes are named again.
    let lookups = v5().await.lookups;
    until("another lookup", async || v5().await.lookups > lookups).await;
    assert_eq!(v5().await.connected, 1);
}

#[tokio::test]
async fn discv5_can_be_left_out() {
    let (_boot, url) = boot_node().await;
    let options = || DiscoveryOptions {
        boot_nodes: vec![url.clone()],
        discv5: false,
        ..DiscoveryOptions::default()
    };
    let (first, finds) = searcher(1, options()).await;
    let (second, _) = searcher(2, options()).await;
    until("found by discv4", async || {
        finds.lock().unwrap().contains(&(second.local_id(), Protocol::Discv4))
    })
    .await;
    assert_eq!(first.discv5().await.unwrap(), None);
    assert!(finds.lock().unwrap().iter().all(|(_, protocol)| *protocol == Protocol::Discv4));
}

#[tokio::test]
async fn a_new_address_is_in_the_record_that_both_protocols_give() {
    let (node, _) = searcher(1, DiscoveryOptions::default()).await;
    let before = report(&node).await.record.expect("a record").seq();
    node.set_address("203.0.113.7".parse().unwrap(), 40_001, 40_002).await.unwrap();
    let record = report(&node).await.record.expect("a record");
    assert_eq!(record.seq(), before + 1);
    assert_eq!(record.udp4_socket(), Some("203.0.113.7:40001".parse().unwrap()));
    assert_eq!(record.tcp4(), Some(40_002));
    // The same again is no news.
    node.set_address("203.0.113.7".parse().unwrap(), 40_001, 40_002).await.unwrap();
    assert_eq!(report(&node).await.record.map(|record| record.seq()), Some(before + 1));
    assert_eq!(node.discv5().await.unwrap().map(|v5| v5.record_sequence), Some(before + 1));
}

#[tokio::test]
async fn rubbish_is_counted_by_both_and_discv4_goes_on() {
    let (node, _) = searcher(1, DiscoveryOptions::default()).await;
    let (asker, _) = searcher(2, DiscoveryOptions::default()).await;
    let stranger = UdpSocket::bind(LOOPBACK).await.unwrap();
    for size in 0..200 {
        stranger.send_to(&vec![7; size * 7], node.listening()).await.unwrap();
        if size % 20 == 0 {
            tokio::task::yield_now().await;
        }
    }
    until("some have come", async || {
        let v5 = node.discv5().await.unwrap().expect("discv5 is spoken");
        v5.other_datagrams >= 100 && v5.held_off == 0
    })
    .await;
    let at = node.listening();
    let enode = Enode { udp_port: at.port(), ..Enode::new(node.local_id(), at.ip(), 0) };
    assert!(within("a Ping", asker.ping(&enode)).await.unwrap().is_some());
}
