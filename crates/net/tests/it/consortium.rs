//! Nodes with certificates of one CA: addresses without IDs, refusals, and lists that change.

use std::collections::BTreeSet;
use std::sync::Arc;

use chainmesh_net::certificate::ShortId;
use chainmesh_net::tls::{ListPolicy, Trust, Versions};
use chainmesh_net::{Host, P2pConfig, P2pHandle, SessionKind, StartError};
use chainmesh_proto::eth::chain::ChainReader;

use crate::chain::{TestChain, on_chain};
use crate::support::{Chain, config, connected, disconnected, key, node, tls, within};

fn consortium(config: &mut P2pConfig) {
    config.session = SessionKind::Tls;
}

fn address(node: &P2pHandle) -> (Host, u16) {
    let address = node.listening().unwrap();
    (Host::Ip(address.ip()), address.port())
}

/// What became of the last attempt to reach the only target, in words.
async fn last_outcome(node: &P2pHandle) -> String {
    within("an outcome", async {
        loop {
            let peers = node.peers().await.unwrap();
            if let Some(attempt) = peers.iter().find_map(|peer| peer.info.history.last()) {
                return attempt.outcome.to_string();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_node_is_found_by_its_address_alone() {
    let (a, _seen_a) = node(1, consortium).await;
    let (b, _seen_b) = node(2, |config| {
        consortium(config);
        config.addresses.push(address(&a));
    })
    .await;
    let mut events = b.subscribe();
    if b.peer_count() == 0 {
        assert_eq!(connected(&mut events).await, a.local_id);
    }
    assert_eq!(a.local_id, key(1).peer_id(), "the key of the certificate is the name");
    a.shutdown().await;
    assert_eq!(disconnected(&mut events).await, a.local_id);
}

#[tokio::test]
async fn without_certificates_there_is_no_consortium() {
    let mut config = config(1);
    consortium(&mut config);
    config.tls = None;
    assert!(matches!(chainmesh_net::start(config).await, Err(StartError::NoCertificate)));
}

#[tokio::test]
async fn another_ca_is_refused_by_whoever_does_not_know_it() {
    let (a, _seen_a) = node(1, consortium).await;
    let (b, _seen_b) = node(2, |config| {
        consortium(config);
        config.tls = Some(tls(2, &Chain::new("other-chain", 201)));
        config.addresses.push(address(&a));
    })
    .await;
    last_outcome(&b).await;
    assert_eq!((a.peer_count(), b.peer_count()), (0, 0));
}

/// An `enode` URL with another ID than that of the certificate.
#[tokio::test]
async fn somebody_else_at_the_address_is_not_the_one_who_was_dialled() {
    let (a, _seen_a) = node(1, consortium).await;
    let mut expected = a.enode().unwrap();
    expected.id = key(9).peer_id();
    let (b, _seen_b) = node(2, |config| {
        consortium(config);
        config.boot_nodes.push(expected);
    })
    .await;
    let words = last_outcome(&b).await;
    assert!(words.contains(&a.local_id.short()), "{words}");
    assert_eq!(b.peer_count(), 0);
}

#[tokio::test]
async fn a_peer_that_is_denied_while_it_is_connected_is_cut_and_stays_out() {
    let chain = Chain::new("test-chain", 200);
    let certificates = tls(1, &chain);
    let (a, _seen_a) = node(1, |config| {
        consortium(config);
        config.tls = Some(certificates.clone());
    })
    .await;
    let mut events = a.subscribe();
    let mut others = Vec::new();
    for number in [2, 3] {
        let to_a = address(&a);
        let (other, _) = node(number, |config| {
            consortium(config);
            config.addresses.push(to_a);
        })
        .await;
        assert_eq!(connected(&mut events).await, other.local_id);
        others.push(other);
    }
    let denied = BTreeSet::from([ShortId::from(others[0].local_id)]);
    let policy = ListPolicy { denied, ..ListPolicy::default() };
    certificates.material.set_trust(chain.trust().with_policy(policy));
    assert_eq!(a.certificates_changed().await, Ok(1));
    assert_eq!(disconnected(&mut events).await, others[0].local_id);
    assert_eq!(a.peer_count(), 1, "the other one did not notice");

    // Welcome again, it comes back by itself.
    certificates.material.set_trust(chain.trust());
    assert_eq!(a.certificates_changed().await, Ok(0));
    assert_eq!(connected(&mut events).await, others[0].local_id);
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_peers_and_the_old_ones_stay() {
    let chain = Chain::new("test-chain", 200);
    let certificates = tls(1, &chain);
    let (a, _seen_a) = node(1, |config| {
        consortium(config);
        config.tls = Some(certificates.clone());
    })
    .await;
    let mut events = a.subscribe();
    let to_a = address(&a);
    let (b, _seen_b) = node(2, |config| {
        consortium(config);
        config.addresses.push(to_a.clone());
    })
    .await;
    assert_eq!(connected(&mut events).await, b.local_id);

    // Another CA takes over: everybody believes both for a while, and `a` has a certificate of the
    // new one.
    let successor = Chain::new("next-chain", 202);
    let both = || {
        let [old, new] = [&chain, &successor].map(|chain| chain.authority.certificate().clone());
        Trust::new(&[old, new]).unwrap()
    };
    certificates.material.set_trust(both());
    certificates.material.set_credentials(successor.credentials(1, 77));
    assert_eq!(a.certificates_changed().await, Ok(0));
    let (c, _seen_c) = node(3, |config| {
        consortium(config);
        let tls = tls(3, &successor);
        config.tls = Some(tls);
        config.addresses.push(to_a);
    })
    .await;
    // `c` believes the new CA alone, so what it was shown is the new certificate.
    assert_eq!(connected(&mut events).await, c.local_id);
    assert_eq!(a.peer_count(), 2, "nobody was dropped");
}

#[tokio::test]
async fn block_synchronisation_runs_over_tls_as_it_is() {
    for versions in [Versions::Both, Versions::Tls12] {
        let full = TestChain::new(100, 300);
        let head = full.head().hash;
        let empty = TestChain::new(100, 0);
        let chain = Chain::new("test-chain", 200);
        let with = |number: u8, of: &Arc<TestChain>| {
            let mut config = on_chain(number, of);
            consortium(&mut config);
            let mut certificates = tls(number, &chain);
            certificates.versions = versions;
            config.tls = Some(certificates);
            config
        };
        let a = chainmesh_net::start(with(1, &full)).await.unwrap();
        let mut follower = with(2, &empty);
        follower.addresses.push(address(&a));
        let b = chainmesh_net::start(follower).await.unwrap();
        within("the head", async {
            while empty.head().hash != head {
                tokio::task::yield_now().await;
            }
        })
        .await;
        a.shutdown().await;
        b.shutdown().await;
    }
}
