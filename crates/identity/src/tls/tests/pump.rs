//! Two ends of a handshake, and the bytes between them in memory.

use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, Connection, ProtocolVersion, ServerConnection};

use super::lab;
use crate::certificate::{CertificateIdentity, ShortId};
use crate::tls::{
    Credentials, HandshakeFailure, HandshakeOptions, PeerSide, TlsMaterial, Trust, Verdict,
    Versions, client_config, peer_identity, server_config, server_name,
};

#[derive(Debug)]
struct Fixed;

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(lab::now())
    }
}

pub(super) fn options(versions: Versions, expected: Option<ShortId>) -> HandshakeOptions {
    HandshakeOptions { versions, expected, time: Arc::new(Fixed) }
}

pub(super) fn material(credentials: Credentials, trust: Trust) -> Arc<TlsMaterial> {
    TlsMaterial::new(credentials, trust)
}

/// How a handshake ended at one end: who is at the other, or why nobody is.
pub(super) type Outcome = Result<CertificateIdentity, HandshakeFailure>;

#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) client: Outcome,
    pub(super) server: Outcome,
    pub(super) version: Option<ProtocolVersion>,
    pub(super) group: Option<rustls::NamedGroup>,
}

pub(super) fn handshake(
    client: &Arc<TlsMaterial>,
    server: &Arc<TlsMaterial>,
    versions: Versions,
) -> Handshake {
    run(client, server, &options(versions, None), &options(versions, None), |_| {})
}

pub(super) fn run(
    client: &Arc<TlsMaterial>,
    server: &Arc<TlsMaterial>,
    client_options: &HandshakeOptions,
    server_options: &HandshakeOptions,
    change: impl FnOnce(&mut ClientConfig),
) -> Handshake {
    let (mut config, client_verdict) = client_config(client, client_options).unwrap();
    change(&mut config);
    let (server_settings, server_verdict) = server_config(server, server_options).unwrap();
    let client: Connection = ClientConnection::new(Arc::new(config), server_name()).unwrap().into();
    let server: Connection = ServerConnection::new(Arc::new(server_settings)).unwrap().into();
    let (mut ends, mut errors) = ([client, server], [None, None]);
    // Each end goes on until it has nothing to say: an alert may come after the other end is done.
    for _ in 0..20 {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut bytes = Vec::new();
            while ends[from].wants_write() {
                ends[from].write_tls(&mut bytes).unwrap();
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() && errors[to].is_none() {
                ends[to].read_tls(&mut rest).unwrap();
                errors[to] = ends[to].process_new_packets().err();
            }
        }
    }
    let [client, server] = ends;
    let [client_error, server_error] = errors;
    Handshake {
        version: client.protocol_version(),
        group: client.negotiated_key_exchange_group().map(|group| group.name()),
        client: outcome(&client, client_error, &client_verdict, PeerSide::Accepting),
        server: outcome(&server, server_error, &server_verdict, PeerSide::Dialling),
    }
}

fn outcome(
    end: &Connection,
    error: Option<rustls::Error>,
    verdict: &Verdict,
    side: PeerSide,
) -> Outcome {
    if let Some(error) = error {
        return Err(HandshakeFailure::new(error, verdict, side));
    }
    assert!(!end.is_handshaking(), "the handshake did not come to an end");
    Ok(peer_identity(end.peer_certificates()).unwrap())
}
