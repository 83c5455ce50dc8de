//! Handshakes that succeed: of each version, kind of key and mixture.

use std::sync::Arc;

use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};

use super::lab::{self, FiscoChain};
use super::pump::{self, handshake, material};
use crate::certificate::{Authority, KeyKind};
use crate::tls::{Credentials, TlsMaterial, Trust, Versions};

/// Both ends are done, know each other by key, and speak `version`.
fn assert_open(
    client: &Arc<TlsMaterial>,
    server: &Arc<TlsMaterial>,
    versions: Versions,
    version: rustls::ProtocolVersion,
) {
    let done = handshake(client, server, versions);
    assert_eq!(done.client.as_ref(), Ok(server.credentials().identity()));
    assert_eq!(done.server.as_ref(), Ok(client.credentials().identity()));
    assert_eq!(done.version, Some(version));
}

#[test]
fn our_nodes_speak_1_3_with_their_node_keys() {
    let ca = lab::authority("chain", 1);
    let [a, b] = [2, 3].map(|seed| material(lab::node(&ca, seed), lab::trust(&[&ca])));
    assert_open(&a, &b, Versions::Both, TLSv1_3);
    let peer = handshake(&a, &b, Versions::Both).client.unwrap();
    assert_eq!(peer.peer_id(), Some(lab::node_key(3).peer_id()));
}

#[test]
fn our_nodes_speak_1_2_if_they_must() {
    let ca = lab::authority("chain", 1);
    let [a, b] = [2, 3].map(|seed| material(lab::node(&ca, seed), lab::trust(&[&ca])));
    assert_open(&a, &b, Versions::Tls12, TLSv1_2);
}

#[test]
fn an_agency_leads_to_the_chain_ca() {
    let ca = lab::authority("chain", 1);
    let agency_key = lab::node_key(5);
    let certificate =
        ca.issue_agency("bank", agency_key.public_key(), lab::VALID, [9; 16]).unwrap();
    let agency = Authority::new(certificate.clone(), agency_key).unwrap();
    let key = lab::node_key(6);
    let leaf = agency.issue_node("n6", key.public_key(), lab::VALID, [8; 16]).unwrap();
    let of_agency = Credentials::of_node(vec![leaf, certificate], &key).unwrap();
    let a = material(of_agency, lab::trust(&[&ca]));
    let b = material(lab::node(&ca, 3), lab::trust(&[&ca]));
    for versions in [Versions::Tls12, Versions::Tls13] {
        assert!(handshake(&a, &b, versions).server.is_ok());
        assert!(handshake(&b, &a, versions).client.is_ok());
    }
}

#[test]
fn certificates_as_fisco_3_issues_them() {
    let chain = FiscoChain::new();
    let trust = || Trust::new(std::slice::from_ref(&chain.certificate)).unwrap();
    assert_eq!(trust().authorities()[0].version, 1);
    let [a, b] = [(), ()].map(|()| material(chain.node(), trust()));
    assert_eq!(a.credentials().identity().key_kind(), KeyKind::Rsa { bits: 2048 });
    assert_eq!(a.credentials().identity().long().len(), 540);
    assert_open(&a, &b, Versions::Tls12, TLSv1_2);
    assert_open(&a, &b, Versions::Both, TLSv1_3);
}

#[test]
fn certificates_as_fisco_2_issues_them() {
    let (root, credentials) = lab::fisco2(20);
    let a = material(credentials.clone(), Trust::new(std::slice::from_ref(&root)).unwrap());
    let b = material(credentials, Trust::new(&[root]).unwrap());
    assert_open(&a, &b, Versions::Tls12, TLSv1_2);
}

#[test]
fn key_exchange_on_secp256k1_where_the_peer_has_no_other() {
    let (root, credentials) = lab::fisco2(20);
    let [a, b] = [(), ()]
        .map(|()| material(credentials.clone(), Trust::new(std::slice::from_ref(&root)).unwrap()));
    let options = pump::options(Versions::Tls12, None);
    let done = pump::run(&a, &b, &options, &options, |config| {
        let mut provider = rustls::crypto::CryptoProvider::clone(config.crypto_provider());
        provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::Unknown(22));
        assert_eq!(provider.kx_groups.len(), 1);
        *config = rebuilt(config, provider);
    });
    assert!(done.client.is_ok() && done.server.is_ok(), "{done:?}");
    assert_eq!(done.group, Some(rustls::NamedGroup::Unknown(22)));
}

/// `config` with another provider; rustls lets nobody change it in place.
fn rebuilt(
    config: &rustls::ClientConfig,
    provider: rustls::crypto::CryptoProvider,
) -> rustls::ClientConfig {
    let (root, credentials) = lab::fisco2(20);
    let side = crate::tls::PeerSide::Accepting;
    let verifier = crate::tls::verifier::Verifier {
        material: material(credentials, Trust::new(&[root]).unwrap()),
        side,
        expected: None,
        verdict: crate::tls::Verdict::default(),
    };
    let time = Arc::clone(&config.time_provider);
    rustls::ClientConfig::builder_with_details(Arc::new(provider), time)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::clone(&config.client_auth_cert_resolver))
}

#[test]
fn chains_of_different_kinds_trust_each_other() {
    let (ours, fisco) = (lab::authority("chain", 1), FiscoChain::new());
    let both = || Trust::new(&[ours.certificate().clone(), fisco.certificate.clone()]).unwrap();
    let a = material(lab::node(&ours, 2), both());
    let b = material(fisco.node(), both());
    for (client, server) in [(&a, &b), (&b, &a)] {
        assert_open(client, server, Versions::Tls12, TLSv1_2);
        assert_open(client, server, Versions::Tls13, TLSv1_3);
    }
}
