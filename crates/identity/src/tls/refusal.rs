//! [`PeerCertificateError`]: why a peer was refused, in words that lead to the cause.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::certificate::{Date, IdentityError, KeyKind, ShortId};

/// Which end of the connection the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerSide {
    /// The peer dialled us: it is the TLS client.
    Dialling,
    /// We dialled the peer: it is the TLS server.
    Accepting,
}

/// A certificate, as people find it: whose it is, and its serial number. Fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName {
    /// Whose certificate it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its serial number, hex.
    pub serial: String,
}

/// Where in a chain a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainPosition {
    /// The peer's own certificate.
    Node,
    /// One between the peer's and a CA's.
    Agency,
    /// The certificate of a CA that we trust.
    Authority,
}

/// A peer that was refused because of its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificateError {
    /// Which end the peer is.
    pub side: PeerSide,
    /// The peer's own certificate, if it showed one that can be read.
    pub certificate: Option<Box<CertificateName>>,
    /// What is wrong.
    pub reason: RefusalReason,
}

/// What is wrong with a peer's certificate: one value for each cause, so that what has to be
/// repaired can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalReason {
    /// The peer showed no certificate at all.
    NotPresented,
    /// What it showed is no certificate.
    Unreadable,
    /// The certificate is of X.509 version 1 or 2, which cannot say that it is not a CA's.
    OldVersion {
        /// The version, 1 or 2.
        version: u8,
    },
    /// No CA that we trust has signed it.
    UnknownAuthority {
        /// The name of the CA that is missing here.
        authority: String,
        /// We trust a CA of that name, and it has another key.
        same_name: bool,
    },
    /// The peer has signed it itself.
    SelfSigned,
    /// The certificate, one that leads to the CA, or the CA's own has come to its end.
    Expired {
        /// Which one.
        position: ChainPosition,
        /// Whose that is.
        subject: String,
        /// Its last second, seconds since 1970.
        not_after: u64,
        /// The time by our clock, seconds since 1970.
        now: u64,
    },
    /// The certificate, one that leads to the CA, or the CA's own is valid later only.
    NotYetValid {
        /// Which one.
        position: ChainPosition,
        /// Whose that is.
        subject: String,
        /// Its first second, seconds since 1970.
        not_before: u64,
        /// The time by our clock, seconds since 1970.
        now: u64,
    },
    /// The certificate says what it is for, and this is not among it.
    WrongUsage,
    /// A CA's certificate, shown as that of a node.
    AuthorityAsNode,
    /// It was signed with the certificate of somebody who is no CA.
    IssuerIsNoAuthority {
        /// The signer.
        issuer: String,
    },
    /// The peer does not have the key of the certificate it shows.
    KeyMismatch,
    /// An RSA key of fewer than 2048 bits.
    WeakRsa {
        /// Its length.
        bits: usize,
    },
    /// A kind of key that we have no algorithm for.
    UnsupportedKey(IdentityError),
    /// Its CA has revoked it, or the agency's certificate that leads to it.
    Revoked {
        /// Which one.
        position: ChainPosition,
        /// Whose that is.
        subject: String,
        /// The CA that did it.
        authority: String,
    },
    /// The revocation list of its CA is too old for the strict policy.
    RevocationListExpired {
        /// When a newer one should have been there, seconds since 1970.
        next_update: u64,
        /// The time by our clock, seconds since 1970.
        now: u64,
    },
    /// Its ID is on our deny list.
    Denied(ShortId),
    /// We have an allow list, and its ID is not on it.
    NotAllowed(ShortId),
    /// We dialled another peer than this one.
    UnexpectedIdentity {
        /// Whom we dialled.
        expected: ShortId,
        /// Who answered.
        found: ShortId,
    },
    /// The way from the certificate to the CA is broken in a less common way.
    Chain(webpki::Error),
}

/// The least number of bits of an RSA key; FISCO BCOS 3.x makes them of this length.
pub(super) const MIN_RSA_BITS: usize = 2048;

impl RefusalReason {
    /// A word for metrics and for scripts; one for each reason.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotPresented => "no_certificate",
            Self::Unreadable => "unreadable",
            Self::OldVersion { .. } => "old_version",
            Self::UnknownAuthority { .. } => "unknown_ca",
            Self::SelfSigned => "self_signed",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::WrongUsage => "wrong_usage",
            Self::AuthorityAsNode => "ca_as_node",
            Self::IssuerIsNoAuthority { .. } => "issuer_is_no_ca",
            Self::KeyMismatch => "key_mismatch",
            Self::WeakRsa { .. } => "weak_rsa",
            Self::UnsupportedKey(_) => "unsupported_key",
            Self::Revoked { .. } => "revoked",
            Self::RevocationListExpired { .. } => "crl_expired",
            Self::Denied(_) => "denied",
            Self::NotAllowed(_) => "not_allowed",
            Self::UnexpectedIdentity { .. } => "unexpected_identity",
            Self::Chain(_) => "chain",
        }
    }
}

impl PeerCertificateError {
    /// The error for rustls. Where it has a name for the cause, that is used, since it decides
    /// which alert the peer is sent; our own wording travels in the [`Verdict`].
    pub(super) fn to_rustls(&self) -> rustls::Error {
        use rustls::{CertificateError as Known, OtherError};
        rustls::Error::InvalidCertificate(match &self.reason {
            RefusalReason::UnknownAuthority { .. } | RefusalReason::SelfSigned => {
                Known::UnknownIssuer
            }
            RefusalReason::Expired { .. } => Known::Expired,
            RefusalReason::NotYetValid { .. } => Known::NotValidYet,
            RefusalReason::Revoked { .. } => Known::Revoked,
            RefusalReason::WrongUsage | RefusalReason::AuthorityAsNode => Known::InvalidPurpose,
            RefusalReason::Unreadable | RefusalReason::OldVersion { .. } => Known::BadEncoding,
            RefusalReason::KeyMismatch => Known::BadSignature,
            RefusalReason::Denied(_)
            | RefusalReason::NotAllowed(_)
            | RefusalReason::UnexpectedIdentity { .. } => Known::ApplicationVerificationFailure,
            RefusalReason::WeakRsa { .. }
            | RefusalReason::UnsupportedKey(_)
            | RefusalReason::IssuerIsNoAuthority { .. }
            | RefusalReason::RevocationListExpired { .. }
            | RefusalReason::NotPresented
            | RefusalReason::Chain(_) => Known::Other(OtherError(Arc::new(self.clone()))),
        })
    }
}

impl core::error::Error for PeerCertificateError {}

impl fmt::Display for PeerCertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            PeerSide::Dialling => "the dialling peer",
            PeerSide::Accepting => "the peer we dialled",
        };
        match self.certificate.as_deref() {
            Some(CertificateName { subject, issuer, serial }) => write!(
                f,
                "certificate of {side} refused ({subject}, signed by {issuer}, serial {serial}): {}",
                self.reason
            ),
            None => write!(f, "{side} was refused: {}", self.reason),
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPresented => f.write_str("it showed no certificate"),
            Self::Unreadable => f.write_str("what it showed is not an X.509 certificate"),
            Self::OldVersion { version } => {
                write!(f, "it is of X.509 version {version}, only a CA's may be of that version")
            }
            Self::UnknownAuthority { authority, same_name: false } => {
                write!(f, "it leads to the CA {authority}, which is not among the CAs trusted here")
            }
            Self::UnknownAuthority { authority, same_name: true } => write!(
                f,
                "a CA named {authority} is trusted here, and its key is not the one that signed \
                 (a CA made anew under the old name?)"
            ),
            Self::SelfSigned => f.write_str("it is self-signed, and not by a CA trusted here"),
            Self::Expired { position, subject, not_after, now } => write!(
                f,
                "{position} ({subject}) expired at {}; our clock says {}",
                Date(*not_after),
                Date(*now)
            ),
            Self::NotYetValid { position, subject, not_before, now } => write!(
                f,
                "{position} ({subject}) is not valid before {}; our clock says {}",
                Date(*not_before),
                Date(*now)
            ),
            Self::WrongUsage => f.write_str(
                "it may not be used for this (its key usage or extended key usage does not have it)",
            ),
            Self::AuthorityAsNode => f.write_str("it is a CA's certificate, and no node's"),
            Self::IssuerIsNoAuthority { issuer } => {
                write!(f, "it was signed by {issuer}, who is not a CA")
            }
            Self::KeyMismatch => f.write_str("the peer does not have the key of that certificate"),
            Self::WeakRsa { bits } => {
                write!(f, "its RSA key has {bits} bits, fewer than {MIN_RSA_BITS}")
            }
            Self::UnsupportedKey(IdentityError::UnsupportedKind(
                kind @ (KeyKind::OtherCurve(_) | KeyKind::Other(_)),
            )) => write!(f, "its key is of a kind that is not supported here ({kind})"),
            Self::UnsupportedKey(error) => error.fmt(f),
            Self::Revoked { position, subject, authority } => {
                write!(f, "{position} ({subject}) was revoked by {authority}")
            }
            Self::RevocationListExpired { next_update, now } => write!(
                f,
                "the revocation list of its CA should have been renewed by {}; our clock says {}",
                Date(*next_update),
                Date(*now)
            ),
            Self::Denied(id) => write!(f, "the ID {id} is on the deny list"),
            Self::NotAllowed(id) => write!(f, "the ID {id} is not on the allow list"),
            Self::UnexpectedIdentity { expected, found } => write!(
                f,
                "another peer was dialled: expected the ID {expected}, found {found}"
            ),
            Self::Chain(error) => write!(f, "its way to a CA is broken: {error}"),
        }
    }
}

impl fmt::Display for ChainPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "the certificate",
            Self::Agency => "the agency's certificate",
            Self::Authority => "the CA's certificate",
        })
    }
}

/// Where the verifier of one connection leaves the reason for which it refused the peer.
///
/// It belongs to the configuration that it came with. If several connections share one, what they
/// decide stays right, but this then holds the reason of whichever was refused last.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Arc<Mutex<Option<PeerCertificateError>>>);

impl Verdict {
    /// The reason, if the peer was refused.
    #[must_use]
    pub fn refusal(&self) -> Option<PeerCertificateError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn refuse(&self, error: PeerCertificateError) -> rustls::Error {
        let for_rustls = error.to_rustls();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        for_rustls
    }
}
