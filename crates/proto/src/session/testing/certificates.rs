//! Certificates for tests: one chain CA, and a node's certificate by it for each number.

use std::sync::Arc;
use std::time::Duration;

use chainmesh_identity::certificate::{Authority, ValidityPeriod};
use chainmesh_identity::tls::rustls::pki_types::UnixTime;
use chainmesh_identity::tls::rustls::time_provider::TimeProvider;
use chainmesh_identity::tls::{Credentials, TlsMaterial, Trust, Versions};

use super::key;
use crate::session::tls::TlsLocal;

/// 2026-11-21T06:40:00Z.
const NOW: u64 = 1_795_243_200;
const VALID: ValidityPeriod = ValidityPeriod { not_before: NOW - 86_400, not_after: NOW + 86_400 };

#[derive(Debug)]
struct Standing;

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(NOW)))
    }
}

/// What the node of this number needs for TLS.
pub(crate) fn local(number: u8) -> TlsLocal {
    local_of(number, &chain(), &chain())
}

/// The CA of [`local`].
pub(crate) fn chain() -> Authority {
    Authority::create("test-chain", key(200), VALID, [7; 16]).unwrap()
}

/// The same with a certificate of one CA, believing another.
pub(crate) fn local_of(number: u8, issuer: &Authority, believed: &Authority) -> TlsLocal {
    let key = key(number);
    let certificate = issuer.issue_node("node", key.public_key(), VALID, [number; 16]).unwrap();
    let credentials = Credentials::of_node(vec![certificate], &key).unwrap();
    let trust = Trust::new(&[believed.certificate().clone()]).unwrap();
    TlsLocal {
        material: TlsMaterial::new(credentials, trust),
        versions: Versions::Both,
        time: Arc::new(Standing),
    }
}

/// Another CA than that of [`local`].
pub(crate) fn stranger() -> Authority {
    Authority::create("other-chain", key(201), VALID, [8; 16]).unwrap()
}
