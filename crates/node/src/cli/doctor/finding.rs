//! What is wrong: one value for each cause, and words for it.

use std::io;
use std::time::Duration;

use chainmesh_identity::certificate::{Date, InspectedCertificate};
use chainmesh_identity::tls::rustls::{AlertDescription, Error, PeerIncompatible};
use chainmesh_identity::tls::{HandshakeFailure, PeerCertificateError, RefusalReason};

use super::super::output;
use super::clocks::{CLOCK_FAULT, Standing, span};

/// What an examination came to.
#[derive(Debug)]
pub(super) enum Finding {
    /// Both sides accept each other, and the session stayed open.
    Well,
    /// The name of the host has no address.
    UnknownHost(io::Error),
    /// Nobody listens on the port.
    TcpRefused,
    /// The host does not answer at all.
    TcpTimeout(Duration),
    /// There is no way to the host, or the system has another reason.
    TcpFailed(io::Error),
    /// A server of plain HTTP.
    Http,
    /// Something that begins with these bytes.
    NotTls(Vec<u8>),
    /// It hung up on our first message, after this time, without a word.
    HungUp(Duration),
    /// It does not answer our first message.
    Mute(Duration),
    /// It stopped in the middle of the handshake and kept the connection open.
    Stalled,
    /// It closed the connection in the middle of the handshake, without saying why.
    ClosedInHandshake {
        /// By then it had asked us for a certificate.
        asked: bool,
    },
    /// It closed the connection after the handshake was done at our end.
    ClosedAfterHandshake,
    /// We refuse its certificate.
    WeRefuse(PeerCertificateError),
    /// It wants a certificate and we have shown none.
    CertificateWanted,
    /// It refuses ours.
    TheyRefuse(AlertDescription),
    /// It cannot check our kind of signature in TLS 1.3, so we had to show nothing.
    SignatureUnknown,
    /// The curve of our key is not among those it allows in TLS 1.2.
    CurveRefused,
    /// It never asked for our certificate.
    NotMutual,
    /// It is us: the same key.
    Ourselves,
    /// No version, cipher suite, curve or kind of signature in common.
    NothingInCommon(Error),
    /// It does not speak TLS as it should.
    BrokenTls(Error),
    /// The system broke the connection.
    Io(io::Error),
}

/// What words depend on, besides the finding.
pub(super) struct Circumstances<'a> {
    /// What we show.
    pub(super) shown: Option<&'a InspectedCertificate>,
    /// What we would say of it ourselves.
    pub(super) fault: Option<&'a RefusalReason>,
    /// How many CAs we trust.
    pub(super) authorities: usize,
    /// What the peer shows.
    pub(super) peer: Option<&'a InspectedCertificate>,
    /// Our clock, seconds since 1970.
    pub(super) now: u64,
}

impl Finding {
    pub(super) const fn is_well(&self) -> bool {
        matches!(self, Self::Well)
    }

    /// A word for scripts; one for each finding.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::UnknownHost(_) => "unknown_host",
            Self::TcpRefused => "tcp_refused",
            Self::TcpTimeout(_) => "tcp_timeout",
            Self::TcpFailed(_) => "tcp_failed",
            Self::Http => "plain_http",
            Self::NotTls(_) => "not_tls",
            Self::HungUp(_) => "hung_up",
            Self::Mute(_) => "mute",
            Self::Stalled => "stalled",
            Self::ClosedInHandshake { .. } => "closed_in_handshake",
            Self::ClosedAfterHandshake => "closed_after_handshake",
            Self::WeRefuse(error) => error.reason.label(),
            Self::CertificateWanted => "certificate_wanted",
            Self::TheyRefuse(alert) => alert_label(*alert),
            Self::SignatureUnknown => "signature_unknown",
            Self::CurveRefused => "curve_refused",
            Self::NotMutual => "not_mutual",
            Self::Ourselves => "ourselves",
            Self::NothingInCommon(_) => "nothing_in_common",
            Self::BrokenTls(_) => "broken_tls",
            Self::Io(_) => "io",
        }
    }

    /// Which side ended it, if one did with a reason: `us` or `peer`.
    pub(super) const fn refused_by(&self) -> Option<&'static str> {
        match self {
            Self::WeRefuse(_) => Some("us"),
            Self::CertificateWanted
            | Self::TheyRefuse(_)
            | Self::SignatureUnknown
            | Self::CurveRefused => Some("peer"),
            _ => None,
        }
    }

    /// What is wrong, in one sentence or two.
    pub(super) fn text(&self, at: &Circumstances<'_>) -> String {
        match self {
            Self::Well => {
                "Both sides accept each other's certificate; the session stays open.".into()
            }
            Self::UnknownHost(error) => format!("The host name has no address: {error}."),
            Self::TcpRefused => "The machine is there, and nobody listens on that port.".into(),
            Self::TcpTimeout(waited) => format!(
                "No answer from that address within {}: it does not exist, or a firewall drops what \
                 we send.",
                output::duration(*waited)
            ),
            Self::TcpFailed(error) => format!("The address cannot be reached: {error}."),
            Self::Http => "A server of plain HTTP listens there, without TLS.".into(),
            Self::NotTls(bytes) => {
                format!("What listens there does not speak TLS: it said {}.", quoted(bytes))
            }
            Self::HungUp(after) => format!(
                "It hung up on our first TLS message {}, without a word: it does not speak TLS. The \
                 RLPx port of an open chain (chainmesh run, geth) does exactly that.",
                match after.as_millis() {
                    0..500 => "at once".to_owned(),
                    _ => format!("after {}", output::duration(*after)),
                }
            ),
            Self::Mute(waited) => format!(
                "The port is open, and nothing answered our first TLS message within {}.",
                output::duration(*waited)
            ),
            Self::Stalled => {
                "The peer began the handshake, then said nothing more and kept the connection \
                 open."
                    .into()
            }
            Self::ClosedInHandshake { asked: false } => {
                "The peer closed the connection in the middle of the handshake and did not say why."
                    .into()
            }
            Self::ClosedInHandshake { asked: true } => {
                "The peer closed the connection when it had our certificate, and did not say why."
                    .into()
            }
            Self::ClosedAfterHandshake => {
                "The handshake is done, we accept the peer, and then it closed the connection \
                 without a word."
                    .into()
            }
            Self::WeRefuse(error) => we_refuse(error, at),
            Self::CertificateWanted => {
                "The peer wants a certificate of ours, and we have none to show.".into()
            }
            Self::TheyRefuse(alert) => they_refuse(*alert, at),
            Self::SignatureUnknown => {
                "The peer wants TLS 1.3 and a certificate, and has no name for signatures with our \
                 secp256k1 key in that version; only chainmesh nodes do."
                    .into()
            }
            Self::CurveRefused => format!(
                "The peer refused our certificate: the curve of its key ({}) is not among those it \
                 allows (alert illegal_parameter).",
                at.shown.map_or_else(String::new, |shown| shown.key.to_string())
            ),
            Self::NotMutual => {
                "TLS works, but the peer never asked who we are: it is no node of a consortium, or \
                 does not check certificates."
                    .into()
            }
            Self::Ourselves => {
                "The peer has the very key that we show: this is ourselves, or the same files are \
                 used on two machines."
                    .into()
            }
            Self::NothingInCommon(error) => nothing_in_common(error),
            Self::BrokenTls(error) => format!("The peer does not speak TLS as it should: {error}."),
            Self::Io(error) => format!("The connection broke: {error}."),
        }
    }
}

fn we_refuse(error: &PeerCertificateError, at: &Circumstances<'_>) -> String {
    let mut text = format!("We refuse the peer's certificate: {}.", error.reason);
    if matches!(error.reason, RefusalReason::UnknownAuthority { .. }) && at.authorities == 0 {
        text.push_str(" No CA at all was given.");
    }
    if let Some(clock) = clock(&error.reason, at) {
        text.push(' ');
        text.push_str(&clock);
    }
    text
}

/// A word about the clocks, if the dates are off by so little that one of them may be wrong.
fn clock(reason: &RefusalReason, at: &Circumstances<'_>) -> Option<String> {
    let off = clock_fault(reason)?;
    let ours = at.shown.map(|shown| Standing::of(shown, at.now));
    let off = span(off);
    Some(match ours {
        Some(ours) if ours.may_be_a_clock() => format!(
            "It is only {off}, and our own certificate is out of its dates too: the clock of this \
             machine is wrong."
        ),
        Some(_) => format!(
            "It is only {off}: either the clock of this machine is wrong, or that of the CA was."
        ),
        None => format!("It is only {off}: is the clock of this machine right?"),
    })
}

/// By how many seconds a date is missed, if a clock may be at fault.
pub(super) fn clock_fault(reason: &RefusalReason) -> Option<u64> {
    let standing = match *reason {
        RefusalReason::Expired { not_after, now, .. } => {
            Standing::Expired { since: now.saturating_sub(not_after) }
        }
        RefusalReason::NotYetValid { not_before, now, .. } => {
            Standing::Early { until: not_before.saturating_sub(now) }
        }
        _ => return None,
    };
    match standing {
        Standing::Expired { since: off } | Standing::Early { until: off }
            if standing.may_be_a_clock() =>
        {
            Some(off)
        }
        _ => None,
    }
}

fn they_refuse(alert: AlertDescription, at: &Circumstances<'_>) -> String {
    let failure = HandshakeFailure::TheyRefused { alert }.to_string();
    let said = failure.strip_prefix("the ").map(|rest| format!("The {rest}"));
    let mut text = said.unwrap_or(failure);
    text.push('.');
    match (at.fault, at.shown) {
        (Some(fault), _) => {
            text.push_str(&format!(" It is right, we see the same fault: {fault}."));
        }
        (None, Some(shown)) if alert == AlertDescription::CertificateExpired => {
            text.push_str(&format!(
                " By our clock ({}) it is valid, from {} to {}: the two clocks differ.",
                Date(at.now),
                Date(shown.not_before),
                Date(shown.not_after)
            ));
        }
        (None, Some(shown))
            if alert == AlertDescription::BadCertificate && is_new(shown, at.now) =>
        {
            text.push_str(&format!(
                " OpenSSL says the same of a certificate that is not valid yet, and ours began {} \
                 ago by our clock: that of the peer may be behind.",
                span(at.now.saturating_sub(shown.not_before))
            ));
        }
        _ => {}
    }
    text
}

/// Whether a clock that is a day behind would find the certificate not valid yet.
pub(super) fn is_new(certificate: &InspectedCertificate, now: u64) -> bool {
    now.saturating_sub(certificate.not_before) <= CLOCK_FAULT
}

fn nothing_in_common(error: &Error) -> String {
    let what = match error {
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "no version: we speak TLS 1.2 and 1.3",
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => {
            "no curve for the key exchange: we have X25519, P-256, P-384 and secp256k1"
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "no cipher suite: we have AES-GCM and ChaCha20, in TLS 1.2 with ECDHE"
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "no protocol: it knows other names (ALPN) than chainmesh/1"
        }
        other => {
            return format!(
                "The two sides have nothing in common ({other}); we have TLS 1.2 and 1.3, the \
                 curves X25519, P-256, P-384 and secp256k1, and AES-GCM and ChaCha20."
            );
        }
    };
    format!("The two sides have nothing in common, {what}.")
}

/// A word for each alert that is about a certificate.
pub(super) const fn alert_label(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::BadCertificate => "peer_says_bad_certificate",
        AlertDescription::UnsupportedCertificate => "peer_says_unsupported_certificate",
        AlertDescription::CertificateRevoked => "peer_says_revoked",
        AlertDescription::CertificateExpired => "peer_says_expired",
        AlertDescription::UnknownCA => "peer_says_unknown_ca",
        AlertDescription::AccessDenied => "peer_says_access_denied",
        AlertDescription::DecryptError => "peer_says_bad_signature",
        AlertDescription::NoCertificate | AlertDescription::CertificateRequired => {
            "peer_says_no_certificate"
        }
        _ => "peer_refuses",
    }
}

/// Bytes of a peer, fit to be shown.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let start: Vec<u8> = bytes.iter().copied().take(24).collect();
    let line = start.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    match std::str::from_utf8(line) {
        Ok(text) if line.len() >= 3 && text.chars().all(|c| c.is_ascii_graphic() || c == ' ') => {
            format!("\"{text}\"")
        }
        _ => {
            let first = start.get(..start.len().min(16)).unwrap_or_default();
            format!("the bytes {}", alloy_primitives::hex::encode(first))
        }
    }
}
