//! Who fits whom: other chains and useless roles cost one handshake and are remembered; a node's record
//! follows its chain over forks.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chainmesh_net::discovery::{self, DiscoveryHandle, DiscoveryOptions};
use chainmesh_net::{Enode, NodeRole, P2pConfig, P2pHandle, PeerQuery, PeerStory};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};
use chainmesh_proto::peers::book::{Mismatch, MismatchKind};
use tokio::sync::mpsc;

use crate::chain::{TestChain, forks, on_chain};
use crate::support::{has_peers, key, within};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn start(config: P2pConfig) -> P2pHandle {
    chainmesh_net::start(config).await.unwrap()
}

fn with_role(number: u8, chain: &Arc<TestChain>, role: NodeRole) -> P2pConfig {
    P2pConfig { role, ..on_chain(number, chain) }
}

async fn story(node: &P2pHandle, of: &P2pHandle) -> Option<PeerStory> {
    node.peer_stories(PeerQuery::Id(of.local_id)).await.unwrap().pop()
}

/// Waits until a node remembers that another one does not fit.
async fn mismatch(node: &P2pHandle, of: &P2pHandle) -> (PeerStory, Mismatch) {
    within("the mismatch", async {
        loop {
            let story = story(node, of).await;
            let mark = story.as_ref().and_then(|story| story.record.as_ref()?.mismatch.clone());
            if let (Some(story), Some(mark)) = (story, mark) {
                return (story, mark);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_light_node_and_one_that_serves_it_know_what_they_are() {
    let chain = TestChain::new(100, 5);
    let serving = start(on_chain(1, &chain)).await;
    let mut light = with_role(2, &chain, NodeRole::Light);
    light.boot_nodes.push(serving.enode().unwrap());
    let light = start(light).await;
    has_peers(&light, 1).await;
    has_peers(&serving, 1).await;
    assert_eq!(light.peer_roles()[&serving.local_id], NodeRole::default());
    assert_eq!(serving.peer_roles()[&light.local_id], NodeRole::Light);
}

#[tokio::test]
async fn two_light_nodes_part_with_words_and_remember_it() {
    let chain = TestChain::new(100, 5);
    let first = start(with_role(1, &chain, NodeRole::Light)).await;
    let mut second = with_role(2, &chain, NodeRole::Light);
    second.boot_nodes.push(first.enode().unwrap());
    let second = start(second).await;
    let (_, mark) = mismatch(&second, &first).await;
    assert_eq!(mark.kind, MismatchKind::Role);
    assert_eq!(mark.text, "role: light (ours: light)");
    // It has come to the other one, which knows it now, too.
    assert_eq!(mismatch(&first, &second).await.1.kind, MismatchKind::Role);
    assert_eq!((first.peer_count(), second.peer_count()), (0, 0));
}

/// A boot node, and what it is reached by.
async fn boot_node() -> (DiscoveryHandle, Enode) {
    let options = DiscoveryOptions::default();
    let handle = discovery::start(key(200), LOOPBACK, 0, options, |_| {}).await.unwrap();
    let address = handle.listening();
    let enode =
        Enode { udp_port: address.port(), ..Enode::new(handle.local_id(), LOOPBACK.ip(), 0) };
    (handle, enode)
}

#[tokio::test]
async fn a_node_of_another_network_that_discovery_finds_is_not_dialled_again_for_a_day() {
    let (_boot, enode) = boot_node().await;
    let chain = TestChain::new(100, 5);
    let mut nodes = Vec::new();
    // The same genesis block and the same forks: their records do not show that they differ.
    for (number, network) in [(1, 1), (2, 2), (3, 1)] {
        let mut config = on_chain(number, &chain);
        config.chain_id = network;
        config.boot_nodes.push(enode.clone());
        config.discovery = Some(DiscoveryOptions::default());
        nodes.push(start(config).await);
    }
    let (one, other, same) = (&nodes[0], &nodes[1], &nodes[2]);
    // Either of the two has dialled.
    let (story, mark) = mismatch(one, other).await;
    assert_eq!((mark.kind, mark.text.as_str()), (MismatchKind::Network, "network 2 (ours 1)"));
    assert!(story.status.is_none(), "{:?}", story.status);
    let left = story.due_in.map_or(0, |due| due.as_secs());
    assert!(left == 0 && story.record.unwrap().enode.tcp_port == 0 || left > 23 * 3600, "{left} s");
    has_peers(one, 1).await;
    assert!(story_connected(one, same).await && !story_connected(one, other).await);
}

async fn story_connected(node: &P2pHandle, of: &P2pHandle) -> bool {
    story(node, of)
        .await
        .is_some_and(|story| story.status.is_some_and(|status| status.connected_for.is_some()))
}

#[tokio::test]
async fn the_mark_is_lifted_when_the_node_comes_and_fits() {
    let chain = TestChain::new(100, 5);
    let first = start(on_chain(1, &chain)).await;
    let mut wrong = on_chain(2, &chain);
    wrong.chain_id = 2;
    wrong.boot_nodes.push(first.enode().unwrap());
    let second = start(wrong).await;
    mismatch(&first, &second).await;
    second.shutdown().await;

    let mut right = on_chain(2, &chain);
    right.boot_nodes.push(first.enode().unwrap());
    let second = start(right).await;
    has_peers(&first, 1).await;
    let record = story(&first, &second).await.unwrap().record.unwrap();
    assert_eq!(record.mismatch, None);
}

/// Value of the entry `eth`.
fn eth_entry(record: &discovery::NodeRecord) -> Vec<u8> {
    record.get_raw_rlp("eth").expect("it has a chain").to_vec()
}

#[tokio::test]
async fn the_record_is_renewed_when_the_head_passes_a_fork_and_others_see_it() {
    let chain = TestChain::new(100, 2);
    let mut config = on_chain(1, &chain);
    config.chain.as_mut().unwrap().forks = forks(&chain, &[3, 50]);
    config.discovery = Some(DiscoveryOptions::default());
    let node = start(config).await;
    let enode = node.enode().unwrap();

    let (found_to, mut found) = mpsc::channel(16);
    let options =
        DiscoveryOptions { boot_nodes: vec![enode.clone()], ..DiscoveryOptions::default() };
    let watcher = discovery::start(key(9), LOOPBACK, 0, options, move |found| {
        let _ = found_to.try_send(found);
    });
    let watcher = watcher.await.unwrap();
    let before = within("the record", found.recv()).await.unwrap().record.unwrap();
    let expected = |number: u64| {
        let mut forks = forks(&chain, &[3, 50]);
        forks.set_head(alloy_eip2124::Head { number, ..Default::default() });
        alloy_rlp::encode(vec![forks.current()])
    };
    assert_eq!(eth_entry(&before), expected(2));

    // Blocks 3 and 4: at the first of them the fork is there.
    for _ in 0..2 {
        chain.import(&[chain.next()]).unwrap();
    }
    assert_eq!(chain.head().number, 4);
    let after = within("the new record", async {
        loop {
            watcher.ping(&enode).await.unwrap();
            if let Ok(Some(found)) =
                tokio::time::timeout(Duration::from_millis(200), found.recv()).await
                && let Some(record) = found.record
                && record.seq() > before.seq()
            {
                // The other protocol may say the old one again.
                return record;
            }
        }
    })
    .await;
    assert_eq!(eth_entry(&after), expected(3));
    let role = |record: &discovery::NodeRecord| record.get_raw_rlp("role").map(<[u8]>::to_vec);
    assert_eq!(role(&after), role(&before));
    assert!(role(&after).is_some());
}
