//! Certificates, CAs and lists change while the node runs.

use super::lab;
use super::pump::{handshake, material};
use crate::certificate::RevokedCertificate;
use crate::tls::{PeerSide, StaleListPolicy, Versions};

#[test]
fn new_handshakes_show_the_new_certificate() {
    let ca = lab::authority("chain", 1);
    let [a, b] = [2, 3].map(|seed| material(lab::node(&ca, seed), lab::trust(&[&ca])));
    assert_eq!(handshake(&a, &b, Versions::Both).client.as_ref(), Ok(b.credentials().identity()));
    b.set_credentials(lab::node(&ca, 4));
    let seen = handshake(&a, &b, Versions::Both).client.unwrap();
    assert_eq!(seen.peer_id(), Some(lab::node_key(4).peer_id()));
}

#[test]
fn a_rollover_goes_through_a_time_of_two_cas() {
    let (old, new) = (lab::authority("chain-1", 1), lab::authority("chain-2", 9));
    let a = material(lab::node(&old, 2), lab::trust(&[&old]));
    let b = material(lab::node(&new, 3), lab::trust(&[&new]));
    assert!(handshake(&a, &b, Versions::Both).server.is_err());
    a.set_trust(lab::trust(&[&old, &new]));
    b.set_trust(lab::trust(&[&old, &new]));
    assert!(handshake(&a, &b, Versions::Both).server.is_ok());
    a.set_credentials(lab::node(&new, 2));
    a.set_trust(lab::trust(&[&new]));
    b.set_trust(lab::trust(&[&new]));
    assert!(handshake(&a, &b, Versions::Both).server.is_ok());
}

#[test]
fn an_open_session_is_judged_again_by_a_new_list() {
    let ca = lab::authority("chain", 1);
    let (us, peer) = (material(lab::node(&ca, 2), lab::trust(&[&ca])), lab::node(&ca, 3));
    let judge = || {
        let (own, above) = peer.chain().split_first().unwrap();
        us.trust().verify(own, above, PeerSide::Dialling, lab::now())
    };
    assert_eq!(judge().as_ref(), Ok(peer.identity()));
    let serial = const_hex::decode(&peer.certificate().serial).unwrap();
    let entry = RevokedCertificate { serial, date: lab::NOW };
    let list = ca.revocation_list(7, lab::VALID, &[entry]).unwrap();
    let trust = lab::trust(&[&ca]).with_revocation_lists(&[list], StaleListPolicy::UseOldList);
    us.set_trust(trust.unwrap());
    assert_eq!(judge().unwrap_err().reason.label(), "revoked");
}
