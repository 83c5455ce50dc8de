//! Row 29 of the matrix, and the other ways to be refused: each has its own reason at the end that
//! refuses, and the other end is told that it is about its certificate.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lab::{self, CODE_SIGNING, DAY, Draft, NOW, Signer, VALID};
use super::pump::{self, Handshake, handshake, material};
use crate::certificate::{RevokedCertificate, ShortId, ValidityPeriod};
use crate::tls::{
    ChainPosition, Credentials, HandshakeFailure, ListPolicy, PeerCertificateError, PeerSide,
    RefusalReason, StaleListPolicy, TlsMaterial, Trust, Versions,
};

const CA: &str = "CN=chain,OU=chain,O=chainmesh";
const CLIENT_AUTH: der::asn1::ObjectIdentifier =
    der::asn1::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const VERSIONS: [Versions; 2] = [Versions::Tls12, Versions::Tls13];

/// A node's certificate signed by the CA of `authority("chain", 1)`, changed by `change`.
fn changed(change: impl FnOnce(&mut Draft)) -> Credentials {
    let key = lab::node_key(40);
    let signer = Signer::Node(lab::node_key(1));
    let mut draft = Draft {
        subject: "CN=n40,OU=node,O=chainmesh",
        issuer: CA,
        key: Signer::Node(key.duplicate()).public(),
        validity: VALID,
        extensions: Some(vec![lab::constraints(false)]),
    };
    change(&mut draft);
    Credentials::unchecked(vec![draft.signed_by(&signer)], &key)
}

/// The node that refuses: it trusts the CA "chain".
fn strict() -> Arc<TlsMaterial> {
    let ca = lab::authority("chain", 1);
    material(lab::node(&ca, 2), lab::trust(&[&ca]))
}

/// What `strict` says of `peer`, once as the one who is dialled and once as the one who dials, in
/// both versions; it must be the same reason, and the peer must be told that it was refused.
fn refused(strict: &Arc<TlsMaterial>, peer: Credentials) -> PeerCertificateError {
    let ca = lab::authority("chain", 1);
    let peer = material(peer, lab::trust(&[&ca]));
    let mut reasons = Vec::new();
    for versions in VERSIONS {
        let Handshake { client, server, .. } = handshake(&peer, strict, versions);
        assert!(matches!(client, Err(HandshakeFailure::TheyRefused { .. })), "{client:?}");
        reasons.push(ours(server, PeerSide::Dialling));
        let Handshake { client, server, .. } = handshake(strict, &peer, versions);
        assert!(matches!(server, Err(HandshakeFailure::TheyRefused { .. })), "{server:?}");
        reasons.push(ours(client, PeerSide::Accepting));
    }
    let first = reasons.swap_remove(0);
    assert!(reasons.iter().all(|other| other.reason == first.reason), "{first:?} {reasons:?}");
    first
}

fn ours(outcome: pump::Outcome, side: PeerSide) -> PeerCertificateError {
    match outcome {
        Err(HandshakeFailure::WeRefused(error)) => {
            assert_eq!(error.side, side);
            error
        }
        other => panic!("the peer was to be refused: {other:?}"),
    }
}

fn wrong_ca() -> PeerCertificateError {
    refused(&strict(), lab::node(&lab::authority("elsewhere", 30), 41))
}

fn self_signed() -> PeerCertificateError {
    let key = lab::node_key(42);
    let name = "CN=myself,O=nobody";
    let draft = Draft {
        subject: name,
        issuer: name,
        key: Signer::Node(key.duplicate()).public(),
        validity: VALID,
        extensions: Some(vec![lab::constraints(false)]),
    };
    let certificate = draft.signed_by(&Signer::Node(key.duplicate()));
    refused(&strict(), Credentials::unchecked(vec![certificate], &key))
}

fn no_client_certificate() -> PeerCertificateError {
    let (peer, us) = (strict(), strict());
    let [first, second] = VERSIONS.map(|versions| {
        let options = pump::options(versions, None);
        let done = pump::run(&peer, &us, &options, &options, |config| {
            config.client_auth_cert_resolver = Arc::new(ShowsNothing);
        });
        assert!(matches!(done.client, Err(HandshakeFailure::TheyRefused { .. })), "{done:?}");
        ours(done.server, PeerSide::Dialling)
    });
    assert_eq!(first, second);
    first
}

#[derive(Debug)]
struct ShowsNothing;

impl rustls::client::ResolvesClientCert for ShowsNothing {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

fn expired() -> PeerCertificateError {
    let validity = ValidityPeriod { not_before: NOW - 9 * DAY, not_after: NOW - DAY };
    refused(&strict(), changed(|draft| draft.validity = validity))
}

fn not_yet_valid() -> PeerCertificateError {
    let validity = ValidityPeriod { not_before: NOW + DAY, not_after: NOW + 9 * DAY };
    refused(&strict(), changed(|draft| draft.validity = validity))
}

fn wrong_usage() -> PeerCertificateError {
    let extensions = vec![lab::constraints(false), lab::purpose(CODE_SIGNING)];
    refused(&strict(), changed(|draft| draft.extensions = Some(extensions)))
}

fn ca_as_node() -> PeerCertificateError {
    let ca = lab::authority("chain", 1);
    let of_ca = Credentials::unchecked(vec![ca.certificate().clone()], &lab::node_key(1));
    refused(&strict(), of_ca)
}

fn key_mismatch() -> PeerCertificateError {
    let chain = lab::node(&lab::authority("chain", 1), 43).chain().to_vec();
    refused(&strict(), Credentials::unchecked(chain, &lab::node_key(44)))
}

fn weak_rsa() -> PeerCertificateError {
    // Nobody has the key of this modulus, and nobody is asked for it.
    let mut modulus = [0xa5; 128];
    modulus[127] |= 1;
    let pkcs1 = crate::certificate::rsa_key_of_modulus(&const_hex::encode(modulus)).unwrap();
    refused(&strict(), changed(|draft| draft.key = lab::rsa_public(&pkcs1)))
}

fn v1_node() -> PeerCertificateError {
    refused(&strict(), changed(|draft| draft.extensions = None))
}

#[test]
fn row_29_ten_causes_have_ten_reasons() {
    let all = [
        (wrong_ca(), "unknown_ca"),
        (self_signed(), "self_signed"),
        (no_client_certificate(), "no_certificate"),
        (expired(), "expired"),
        (not_yet_valid(), "not_yet_valid"),
        (wrong_usage(), "wrong_usage"),
        (ca_as_node(), "ca_as_node"),
        (key_mismatch(), "key_mismatch"),
        (weak_rsa(), "weak_rsa"),
        (v1_node(), "old_version"),
    ];
    for (error, label) in &all {
        assert_eq!(error.reason.label(), *label, "{error}");
    }
    let labels: BTreeSet<_> = all.iter().map(|(error, _)| error.reason.label()).collect();
    let texts: BTreeSet<_> = all.iter().map(|(error, _)| error.to_string()).collect();
    assert_eq!((labels.len(), texts.len()), (10, 10));
}

#[test]
fn the_text_names_certificate_ca_dates_and_side() {
    assert_eq!(
        expired().to_string(),
        "certificate of the dialling peer refused (CN=n40,OU=node,O=chainmesh, signed by \
         CN=chain,OU=chain,O=chainmesh, serial 42010203): the certificate \
         (CN=n40,OU=node,O=chainmesh) expired at 2026-11-20T06:40:00Z; our clock says \
         2026-11-21T06:40:00Z"
    );
    let text = wrong_ca().to_string();
    assert!(text.contains("leads to the CA CN=elsewhere,OU=chain,O=chainmesh, which"), "{text}");
}

#[test]
fn a_ca_of_the_same_name_with_another_key_is_told_apart() {
    let error = refused(&strict(), lab::node(&lab::authority("chain", 30), 41));
    let RefusalReason::UnknownAuthority { same_name, .. } = error.reason else {
        panic!("{error}");
    };
    assert!(same_name);
}

#[test]
fn an_unknown_ca_of_version_1_in_the_file_of_a_node_is_an_unknown_ca() {
    let (_, peer) = lab::fisco2(20);
    let error = refused(&strict(), peer);
    let authority = "CN=chain,O=fisco-bcos,OU=chain".to_owned();
    assert_eq!(error.reason, RefusalReason::UnknownAuthority { authority, same_name: false });
}

#[test]
fn an_expired_ca_vouches_for_nobody() {
    let validity = ValidityPeriod { not_before: NOW - 9 * DAY, not_after: NOW - DAY };
    let old = crate::certificate::Authority::create("old", lab::node_key(50), validity, [1; 16]);
    let trust = lab::trust(&[&lab::authority("chain", 1), &old.unwrap()]);
    let strict = material(lab::node(&lab::authority("chain", 1), 2), trust);
    // Valid itself, and made by that CA.
    let key = lab::node_key(51);
    let draft = Draft {
        subject: "CN=n51",
        issuer: "CN=old,OU=chain,O=chainmesh",
        key: Signer::Node(key.duplicate()).public(),
        validity: VALID,
        extensions: Some(vec![lab::constraints(false)]),
    };
    let certificate = draft.signed_by(&Signer::Node(lab::node_key(50)));
    let error = refused(&strict, Credentials::unchecked(vec![certificate], &key));
    assert!(
        matches!(error.reason, RefusalReason::Expired { position: ChainPosition::Authority, .. }),
        "{error}"
    );
}

#[test]
fn a_node_cannot_issue_certificates() {
    let issuer = lab::node_key(60);
    let ca = lab::authority("chain", 1);
    let its = ca.issue_node("n60", issuer.public_key(), VALID, [6; 16]).unwrap();
    let key = lab::node_key(61);
    let draft = Draft {
        subject: "CN=n61",
        issuer: "CN=n60,OU=node,O=chainmesh",
        key: Signer::Node(key.duplicate()).public(),
        validity: VALID,
        extensions: Some(vec![lab::constraints(false)]),
    };
    let certificate = draft.signed_by(&Signer::Node(issuer));
    let error = refused(&strict(), Credentials::unchecked(vec![certificate, its], &key));
    assert_eq!(error.reason.label(), "issuer_is_no_ca", "{error}");
}

#[test]
fn a_trusted_ca_without_extensions_is_no_node() {
    // FISCO 2.x makes its chain CA so; version 3 without basicConstraints looks like a node's.
    let key = lab::node_key(70);
    let name = "CN=bare,O=fisco-bcos,OU=chain";
    let draft = Draft {
        subject: name,
        issuer: name,
        key: Signer::Node(key.duplicate()).public(),
        validity: VALID,
        extensions: Some(vec![lab::purpose(CLIENT_AUTH)]),
    };
    let bare = draft.signed_by(&Signer::Node(key.duplicate()));
    let trust = Trust::new(std::slice::from_ref(&bare)).unwrap();
    let error = trust.verify(&bare, &[], PeerSide::Dialling, lab::now()).unwrap_err();
    assert_eq!(error.reason, RefusalReason::AuthorityAsNode);
}

fn with_list(stale: StaleListPolicy, next_update: u64, revoked: &Credentials) -> Arc<TlsMaterial> {
    let ca = lab::authority("chain", 1);
    let entry = RevokedCertificate {
        serial: const_hex::decode(&revoked.certificate().serial).unwrap(),
        date: NOW - 60,
    };
    let validity = ValidityPeriod { not_before: NOW - 2 * DAY, not_after: next_update };
    let list = ca.revocation_list(1, validity, &[entry]).unwrap();
    let trust = lab::trust(&[&ca]).with_revocation_lists(&[list], stale).unwrap();
    material(lab::node(&ca, 2), trust)
}

#[test]
fn a_revoked_certificate_is_refused_even_if_its_id_is_allowed() {
    let ca = lab::authority("chain", 1);
    let bad = lab::node(&ca, 45);
    let strict = with_list(StaleListPolicy::Refuse, NOW + DAY, &bad);
    let error = refused(&strict, bad.clone());
    assert_eq!(
        error.reason,
        RefusalReason::Revoked {
            position: ChainPosition::Node,
            subject: "CN=n45,OU=node,O=chainmesh".into(),
            authority: CA.into(),
        }
    );
    let good = material(lab::node(&ca, 46), lab::trust(&[&ca]));
    assert!(handshake(&good, &strict, Versions::Both).server.is_ok());

    let list = list_with(&bad);
    let policy =
        ListPolicy { allowed: Some([bad.identity().short()].into()), denied: BTreeSet::new() };
    let trust = lab::trust(&[&ca]).with_revocation_lists(&[list], StaleListPolicy::Refuse);
    strict.set_trust(trust.unwrap().with_policy(policy));
    assert_eq!(refused(&strict, bad).reason.label(), "revoked");
}

fn list_with(revoked: &Credentials) -> rustls::pki_types::CertificateRevocationListDer<'static> {
    let entry = RevokedCertificate {
        serial: const_hex::decode(&revoked.certificate().serial).unwrap(),
        date: NOW - 60,
    };
    lab::authority("chain", 1).revocation_list(1, VALID, &[entry]).unwrap()
}

#[test]
fn a_stale_list_stops_everybody_or_nobody_as_configured() {
    let ca = lab::authority("chain", 1);
    let (bad, good) = (lab::node(&ca, 45), lab::node(&ca, 46));
    let closed = with_list(StaleListPolicy::Refuse, NOW - DAY, &bad);
    let error = refused(&closed, good.clone());
    assert_eq!(
        error.reason,
        RefusalReason::RevocationListExpired { next_update: NOW - DAY, now: NOW }
    );
    let open = with_list(StaleListPolicy::UseOldList, NOW - DAY, &bad);
    let good = material(good, lab::trust(&[&ca]));
    assert!(handshake(&good, &open, Versions::Both).server.is_ok());
    assert_eq!(refused(&open, bad).reason.label(), "revoked");
}

#[test]
fn deny_beats_allow() {
    let ca = lab::authority("chain", 1);
    let peer = lab::node(&ca, 47);
    let id = peer.identity().short();
    let strict = |allowed: Option<ShortId>, denied: &[ShortId]| {
        let policy = ListPolicy {
            allowed: allowed.map(|id| [id].into()),
            denied: denied.iter().copied().collect(),
        };
        material(lab::node(&ca, 2), lab::trust(&[&ca]).with_policy(policy))
    };
    assert_eq!(refused(&strict(None, &[id]), peer.clone()).reason, RefusalReason::Denied(id));
    assert_eq!(refused(&strict(Some(id), &[id]), peer.clone()).reason, RefusalReason::Denied(id));
    let other = lab::node(&ca, 48).identity().short();
    assert_eq!(
        refused(&strict(Some(other), &[]), peer.clone()).reason,
        RefusalReason::NotAllowed(id)
    );
    let peer = material(peer, lab::trust(&[&ca]));
    assert!(handshake(&peer, &strict(Some(id), &[other]), Versions::Both).server.is_ok());
}

#[test]
fn row_32_another_node_than_the_one_dialled_is_refused() {
    let ca = lab::authority("chain", 1);
    let a = lab::node_key(80).peer_id();
    let (us, b) = (lab::node(&ca, 2), lab::node(&ca, 81));
    let found = b.identity().short();
    let (us, b) = (material(us, lab::trust(&[&ca])), material(b, lab::trust(&[&ca])));
    for versions in VERSIONS {
        let expected = pump::options(versions, Some(a.into()));
        let open = pump::options(versions, None);
        let done = pump::run(&us, &b, &expected, &open, |_| {});
        assert_eq!(
            ours(done.client, PeerSide::Accepting).reason,
            RefusalReason::UnexpectedIdentity { expected: a.into(), found }
        );
    }
}
