//! Whether the good ones are accepted, and each bad one is refused for its own reason.

use std::collections::BTreeSet;
use std::time::Duration;

use chainmesh_identity::tls::{PeerSide, RefusalReason, StaleListPolicy, Trust};
use rustls_pki_types::UnixTime;

use super::*;

/// What a node with the files of `judge` says of `node`, from their files.
fn verdict(judge: &NodeFiles, node: &NodeFiles, now: u64) -> Result<PeerId, RefusalReason> {
    let authorities = files::read_certificates(&judge.directory.join(CA_CERTIFICATE)).unwrap();
    let list = judge.directory.join(REVOCATION_LIST);
    let lists =
        if list.exists() { files::read_revocation_lists(&list).unwrap() } else { Vec::new() };
    let trust = Trust::new(&authorities).unwrap();
    let trust = trust.with_revocation_lists(&lists, StaleListPolicy::Refuse).unwrap();
    let chain = files::read_certificates(&node.directory.join(NODE_CERTIFICATE)).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let judged = trust.verify(&chain[0], &chain[1..], PeerSide::Dialling, now);
    judged.map(|identity| identity.peer_id().unwrap()).map_err(|error| error.reason)
}

#[test]
fn nodes_of_the_chain_and_of_agencies_accept_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut consortium = Consortium::create(directory.path(), 1);
    let of_the_chain = consortium.node("one");
    consortium.agency("bank");
    let of_an_agency = consortium.node("two");
    for (judge, node) in [(&of_the_chain, &of_an_agency), (&of_an_agency, &of_the_chain)] {
        assert_eq!(verdict(judge, node, consortium.now()), Ok(node.id()));
        let key = files::read_key(&node.directory.join(NODE_KEY)).unwrap();
        assert_eq!(key.peer_id(), node.id());
    }
    let twin = consortium.duplicate("twin", &of_an_agency);
    assert_eq!(verdict(&of_the_chain, &twin, consortium.now()), Ok(of_an_agency.id()));
}

#[test]
fn each_fault_is_refused_for_its_own_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut consortium = Consortium::create(directory.path(), 2);
    consortium.agency("bank");
    let judge = consortium.node("judge");
    let mut reasons = BTreeSet::new();
    for fault in Fault::ALL {
        let node = consortium.bad(&format!("{fault:?}"), fault);
        let judged = verdict(&judge, &node, consortium.now());
        if fault == Fault::OtherKey {
            // The certificate is good; whoever has the wrong key cannot use it.
            assert_ne!(judged.unwrap(), node.id());
            continue;
        }
        let reason = judged.expect_err(&format!("{fault:?}"));
        assert!(reasons.insert(format!("{reason:?}")), "{fault:?} is {reason:?} like another");
    }
    assert_eq!(reasons.len(), Fault::ALL.len() - 1);
}

#[test]
fn what_is_revoked_is_refused_once_the_list_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let mut consortium = Consortium::create(directory.path(), 3);
    let direct = consortium.node("direct");
    consortium.agency("bank");
    let (judge, node) = (consortium.node("judge"), consortium.node("node"));
    consortium.agency("other");
    let of_other = consortium.node("of-other");
    consortium.publish_lists([&judge], 7);
    let now = consortium.now();
    for good in [&direct, &node, &of_other] {
        assert_eq!(verdict(&judge, good, now), Ok(good.id()));
    }
    consortium.revoke(&direct);
    consortium.revoke(&node);
    consortium.revoke_agency("other");
    assert_eq!(verdict(&judge, &node, now), Ok(node.id()), "nobody knows of it yet");
    consortium.publish_lists([&judge], 7);
    for revoked in [&direct, &node, &of_other] {
        let reason = verdict(&judge, revoked, now).unwrap_err();
        assert!(matches!(reason, RefusalReason::Revoked { .. }), "{reason:?}");
    }
    assert_eq!(verdict(&judge, &judge, now), Ok(judge.id()));
    consortium.publish_lists([&judge], -1);
    let reason = verdict(&judge, &judge, now).unwrap_err();
    assert!(!matches!(reason, RefusalReason::Revoked { .. }), "a stale list: {reason:?}");
}

#[test]
fn certificates_are_renewed_and_cas_take_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut old = Consortium::create(&directory.path().join("old"), 4);
    let mut new = Consortium::create(&directory.path().join("new"), 5);
    let (mut first, second) = (old.node("first"), new.node("second"));
    let now = old.now();
    assert!(verdict(&first, &second, now).is_err());
    old.trust_also(Some(&new), [&first]);
    assert_eq!(verdict(&first, &second, now), Ok(second.id()));
    old.trust_also(None, [&first]);
    assert!(verdict(&first, &second, now).is_err());

    let (id, before) = (first.id(), first.certificate.clone());
    old.renew(&mut first, 10);
    assert_ne!(first.certificate, before);
    assert_eq!(verdict(&first, &first, now + 9 * DAY), Ok(id));
    assert!(verdict(&first, &first, now + 11 * DAY).is_err());
}
