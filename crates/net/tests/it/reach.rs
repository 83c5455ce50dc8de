//! Peers that dial back.

use std::net::SocketAddr;

use chainmesh_net::discovery::DiscoveryOptions;
use chainmesh_net::reach::{Outcome, ReachStatus, Verdict};
use chainmesh_net::{Enode, NodeKey, P2pConfig, P2pHandle};

use crate::support::{has_peers, within};

async fn node(number: u8, boot: Option<Enode>, change: impl FnOnce(&mut P2pConfig)) -> P2pHandle {
    let key = NodeKey::from_entropy([number; 32]);
    let mut config = P2pConfig::new(key, 1, Default::default());
    (config.listen_address, config.listen_port) = ([127, 0, 0, 1].into(), 0);
    config.reach = true;
    config.boot_nodes.extend(boot);
    change(&mut config);
    chainmesh_net::start(config).await.unwrap()
}

/// What is known as soon as peers have tried.
async fn known(node: &P2pHandle) -> ReachStatus {
    let mut reach = node.reach().unwrap();
    within("a verdict", async {
        loop {
            let status = reach.status();
            if status.report.verdict != Verdict::Unknown {
                break status;
            }
            assert!(reach.changed().await);
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_say_whether_a_node_can_be_reached() {
    let asker = node(1, None, |_| {}).await;
    let boot = asker.enode();
    let mut peers = Vec::new();
    for number in 2..5 {
        peers.push(node(number, boot.clone(), |_| {}).await);
    }
    // It does not listen: it asks nobody, and is asked.
    let mute = node(5, boot.clone(), |config| config.listen = false).await;
    // It wants to know nothing of this.
    let plain = node(6, boot, |config| config.reach = false).await;
    // With `plain` there is nothing in common, so there is no session.
    has_peers(&asker, 4).await;
    let status = known(&asker).await;
    assert_eq!(status.report.verdict, Verdict::Yes { reached: 3, tried: 3 });
    assert_eq!(status.seen(), Some([127, 0, 0, 1].into()));
    assert!(status.report.statements.iter().all(|said| said.outcome == Outcome::Reached));
    assert_eq!(asker.peer_count(), 4, "the dials were no sessions");
    // And it was dialled for the others, and dialled for them.
    for peer in &peers {
        assert_eq!(known(peer).await.report.verdict.is_reachable(), Some(true));
    }
    assert_eq!(mute.reach().unwrap().status().report.verdict, Verdict::Unknown);
    assert!(plain.reach().is_none());
    for node in peers.into_iter().chain([asker, mute, plain]) {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_advertised_address_that_is_not_the_observed_one_is_known() {
    let far: SocketAddr = "203.0.113.7:0".parse().unwrap();
    let wrong = |config: &mut P2pConfig| {
        let external_ip = Some(far.ip());
        config.discovery = Some(DiscoveryOptions { external_ip, ..DiscoveryOptions::default() });
    };
    let node_ = node(7, None, wrong).await;
    let peer = node(8, node_.enode(), |_| {}).await;
    let mut addresses = node_.discovery().unwrap().addresses();
    let known_ = within("what it advertises", async {
        addresses.wait_for(|addresses| addresses.advertised.is_some()).await.unwrap().advertised
    });
    assert_eq!(known_.await.unwrap().ip(), far.ip());
    let status = known(&node_).await;
    assert_eq!(status.mismatch(), Some((far.ip(), [127, 0, 0, 1].into())));
    peer.shutdown().await;
    node_.shutdown().await;
}
