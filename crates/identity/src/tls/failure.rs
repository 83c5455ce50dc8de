//! [`HandshakeFailure`]: why a handshake ended, and on whose word.

use rustls::{AlertDescription, Error};

use super::refusal::{PeerCertificateError, PeerSide, RefusalReason, Verdict};

/// Why there is no TLS session with a peer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HandshakeFailure {
    /// We refused the peer's certificate.
    #[error(transparent)]
    WeRefused(PeerCertificateError),
    /// The peer refused ours.
    #[error("the peer refused our certificate: {}", describe(*alert))]
    TheyRefused {
        /// What it said.
        alert: AlertDescription,
    },
    /// The two ends have no version, cipher suite, curve or kind of signature in common.
    #[error("the two ends have nothing in common to speak: {0}")]
    NothingInCommon(#[source] Error),
    /// The other end does not speak TLS, or not as it should.
    #[error("the handshake failed: {0}")]
    Protocol(#[source] Error),
}

impl HandshakeFailure {
    /// What an error of rustls means, with what the verifier has noted. `side` is the end at which
    /// the peer is.
    #[must_use]
    pub fn new(error: Error, verdict: &Verdict, side: PeerSide) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::WeRefused(PeerCertificateError {
                side,
                certificate: None,
                reason: RefusalReason::NotPresented,
            }),
            Error::InvalidCertificate(_) => match verdict.refusal() {
                Some(refusal) => Self::WeRefused(refusal),
                None => Self::Protocol(error),
            },
            Error::AlertReceived(alert) if is_about_certificate(alert) => {
                Self::TheyRefused { alert }
            }
            Error::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity,
            )
            | Error::PeerIncompatible(_) => Self::NothingInCommon(error),
            other => Self::Protocol(other),
        }
    }
}

const fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::NoCertificate
            | AlertDescription::CertificateRequired
    )
}

/// An alert (RFC 8446 section 6.2) in words.
const fn describe(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::BadCertificate => "it cannot be read, or is of an old version",
        AlertDescription::UnsupportedCertificate => "it may not be used for this",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::CertificateExpired => "it has expired or is not valid yet, by its clock",
        AlertDescription::UnknownCA => "it does not lead to a CA that the peer trusts",
        AlertDescription::AccessDenied => "our ID is not welcome",
        AlertDescription::DecryptError => "the signature does not fit it",
        AlertDescription::NoCertificate | AlertDescription::CertificateRequired => "we showed none",
        _ => "the peer did not say why",
    }
}
