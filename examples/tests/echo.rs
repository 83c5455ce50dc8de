//! The example module between two nodes, over each kind of session.

use std::time::Duration;

use chainmesh_examples::echo::{self, MAX_LINE, Seen};
use chainmesh_net::certificate::{Authority, ValidityPeriod};
use chainmesh_net::tls::{Credentials, TlsMaterial, Trust, Versions};
use chainmesh_net::{
    DisconnectReason, Enode, NodeKey, P2pConfig, P2pHandle, PeerContext, SessionKind, TlsConfig,
};
use tokio::sync::mpsc;

/// Long enough for a busy machine; a test that needs it all has failed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn node(
    number: u8,
    kind: SessionKind,
    boot: Option<Enode>,
) -> (P2pHandle, mpsc::Receiver<Seen>) {
    let (module, seen) = echo::module();
    let key = NodeKey::from_entropy([number; 32]);
    let mut config = P2pConfig::new(key, 1337, alloy_primitives::B256::ZERO);
    config.listen_address = [127, 0, 0, 1].into();
    config.listen_port = 0;
    config.session = kind;
    if kind == SessionKind::Tls {
        config.tls = Some(certificates(number));
    }
    config.boot_nodes.extend(boot);
    config.modules.push(module);
    (chainmesh_net::start(config).await.unwrap(), seen)
}

/// A certificate of the consortium's CA, which in life is made by `chainmesh ca`.
fn certificates(number: u8) -> TlsConfig {
    // 2020 to 2100.
    let validity = ValidityPeriod { not_before: 1_577_836_800, not_after: 4_102_444_800 };
    let [ca_key, key] = [200, number].map(|number| NodeKey::from_entropy([number; 32]));
    let ca = Authority::create("consortium", ca_key, validity, [1; 16]).unwrap();
    let certificate = ca.issue_node("node", key.public_key(), validity, [number; 16]).unwrap();
    let credentials = Credentials::of_node(vec![certificate], &key).unwrap();
    let trust = Trust::new(&[ca.certificate().clone()]).unwrap();
    TlsConfig { material: TlsMaterial::new(credentials, trust), versions: Versions::Both }
}

async fn next(seen: &mut mpsc::Receiver<Seen>) -> Seen {
    tokio::time::timeout(PATIENCE, seen.recv()).await.expect("took too long").expect("node ended")
}

async fn peer(seen: &mut mpsc::Receiver<Seen>) -> PeerContext {
    match next(seen).await {
        Seen::Peer(peer) => peer,
        other => panic!("{other:?}"),
    }
}

async fn speaks(kind: SessionKind) {
    let (alice, mut alice_sees) = node(1, kind, None).await;
    let (bob, mut bob_sees) = node(2, kind, alice.enode()).await;
    let to_bob = peer(&mut alice_sees).await;
    let to_alice = peer(&mut bob_sees).await;
    assert_eq!((to_alice.id(), to_bob.id()), (alice.local_id, bob.local_id));

    let longest = "é".repeat(MAX_LINE / 2);
    for line in ["hello", "", longest.as_str()] {
        echo::say(&to_alice, line).unwrap();
        assert!(matches!(next(&mut alice_sees).await, Seen::Said(said) if said == line));
        assert!(matches!(next(&mut bob_sees).await, Seen::Echo(back) if back == line));
    }
    echo::say(&to_bob, "and you?").unwrap();
    assert!(matches!(next(&mut bob_sees).await, Seen::Said(said) if said == "and you?"));
    assert!(matches!(next(&mut alice_sees).await, Seen::Echo(back) if back == "and you?"));

    bob.shutdown().await;
    assert!(matches!(next(&mut alice_sees).await, Seen::Gone(_)));
    alice.shutdown().await;
}

#[tokio::test]
async fn over_rlpx() {
    speaks(SessionKind::Rlpx).await;
}

#[tokio::test]
async fn over_tls() {
    speaks(SessionKind::Tls).await;
}

#[tokio::test]
async fn in_the_clear() {
    speaks(SessionKind::Clear).await;
}

#[tokio::test]
async fn whoever_breaks_the_rules_is_cut() {
    for line in ["x".repeat(MAX_LINE + 1).into_bytes(), vec![0xff, 0xfe]] {
        let (alice, mut alice_sees) = node(1, SessionKind::Rlpx, None).await;
        let (_bob, mut bob_sees) = node(2, SessionKind::Rlpx, alice.enode()).await;
        peer(&mut alice_sees).await;
        let to_alice = peer(&mut bob_sees).await;
        to_alice.send(0, line.into()).unwrap();
        assert!(matches!(next(&mut alice_sees).await, Seen::Gone(_)));
        let reason = DisconnectReason::SubprotocolError;
        assert!(matches!(next(&mut bob_sees).await, Seen::Gone(told) if told == reason));
    }
}
