//! All that was seen, for people and as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use chainmesh_identity::certificate::{CertificateIdentity, Date, InspectedCertificate};
use chainmesh_identity::tls::rustls::{NamedGroup, ProtocolVersion};
use chainmesh_proto::session::tls::ALPN;
use serde_json::{Value, json};

use super::clocks::{Standing, validity};
use super::connect::Endpoint;
use super::finding::{Circumstances, Finding, quoted};
use super::first_words::Speaks;
use super::ours::Ours;
use super::probe::{Observation, Stage};

/// Columns of the labels.
const LABEL: usize = 13;
/// Columns of the text beside them.
const TEXT: usize = 76;

/// The curve secp256k1 among the groups of TLS (RFC 8422 section 5.1.1); rustls has no name for it.
const SECP256K1_GROUP: NamedGroup = NamedGroup::Unknown(22);

/// Everything about one examination.
pub(super) struct Report {
    pub(super) endpoint: Endpoint,
    pub(super) address: Option<SocketAddr>,
    pub(super) connected_in: Option<Duration>,
    pub(super) finding: Finding,
    /// What the peer says of us, when it is us who refuse.
    pub(super) theirs: Option<Finding>,
    ours: Ours,
    seen: Option<Observation>,
    /// What the peer showed, its own certificate first.
    chain: Vec<InspectedCertificate>,
}

impl Report {
    pub(super) const fn new(endpoint: Endpoint, ours: Ours, finding: Finding) -> Self {
        Self {
            endpoint,
            address: None,
            connected_in: None,
            finding,
            theirs: None,
            ours,
            seen: None,
            chain: Vec::new(),
        }
    }

    pub(super) fn see(&mut self, seen: Observation) {
        let read = seen.chain.iter().filter_map(|der| InspectedCertificate::read(der).ok());
        self.chain = read.collect();
        self.seen = Some(seen);
    }

    fn identity(&self) -> Option<&CertificateIdentity> {
        self.chain.first().and_then(|own| own.identity.as_ref())
    }

    fn circumstances(&self, now: u64) -> Circumstances<'_> {
        Circumstances {
            shown: self.ours.shown.as_ref(),
            fault: self.ours.fault.as_ref().map(|fault| &fault.reason),
            authorities: self.ours.material.trust().authorities().len(),
            peer: self.chain.first(),
            now,
        }
    }

    /// Notes beside the finding, one sentence each.
    fn notes(&self, now: u64) -> Vec<String> {
        let at = self.circumstances(now);
        let mut notes = Vec::new();
        if let Some(theirs) = &self.theirs {
            notes.push(format!("The refusal is mutual. {}", theirs.text(&at)));
        }
        if let Some(fault) = at.fault
            && !matches!(self.finding, Finding::TheyRefuse(_))
            && self.theirs.is_none()
        {
            notes.push(format!(
                "By the CAs given here our own certificate would be refused: {fault}."
            ));
        }
        if let Some(seen) = &self.seen
            && self.finding.is_well()
            && seen.speaks == Speaks::Nothing
        {
            notes.push(
                "After the handshake the peer said nothing for two seconds; a node would have."
                    .into(),
            );
        }
        notes
    }

    /// For people.
    pub(super) fn to_text(&self, now: u64) -> String {
        let mut page = Page::default();
        let endpoint = self.endpoint.to_string();
        page.line("peer", &endpoint);
        if let (Some(address), Some(took)) = (self.address, self.connected_in) {
            let address = Some(address.to_string()).filter(|address| *address != endpoint);
            let address = address.map(|address| format!(" to {address}")).unwrap_or_default();
            page.line("", &format!("connected{address} in {}", millis(took)));
        }
        match &self.ours.shown {
            Some(shown) => page.certificate("we show", shown, now, None),
            None => page.line("we show", "no certificate: none was given"),
        }
        let trust = self.ours.material.trust();
        for (at, authority) in trust.authorities().iter().enumerate() {
            let label = if at == 0 { "we trust" } else { "" };
            page.line(label, &authority.subject);
            page.line("", &validity(authority, now));
        }
        if trust.authorities().is_empty() {
            page.line("we trust", "no CA: none was given");
        }
        self.peer_lines(&mut page, now);
        page.line("our clock", &Date(now).to_string());
        if let Some(identity) = self.identity() {
            page.ids(identity);
        }
        page.0.push('\n');
        let at = self.circumstances(now);
        let verdict = if self.finding.is_well() { "OK" } else { "FAILED" };
        page.paragraph(verdict, &self.finding.text(&at));
        for note in self.notes(now) {
            page.paragraph("note", &note);
        }
        page.paragraph("next", &self.finding.next(&at));
        page.0.trim_end().to_owned()
    }

    fn peer_lines(&self, page: &mut Page, now: u64) {
        let ours = self.ours.shown.as_ref();
        for (at, certificate) in self.chain.iter().enumerate() {
            match at {
                0 => page.certificate("it shows", certificate, now, ours),
                _ => {
                    page.line("and", &certificate.subject);
                    page.line("", &validity(certificate, now));
                }
            }
        }
        let Some(seen) = &self.seen else { return };
        if let Some(version) = seen.version {
            let cipher = seen.cipher.and_then(|cipher| cipher.as_str());
            let parts = [Some(version_name(version)), cipher.map(str::to_owned), group(seen.group)];
            let mut parts: Vec<_> = parts.into_iter().flatten().collect();
            if seen.stage == Stage::Open {
                parts.push(format!("in {}", millis(seen.handshake)));
            }
            page.line("tls", &parts.join(", "));
        }
        if seen.stage == Stage::Open {
            page.line("speaks", &speaks(seen));
        }
    }

    /// For scripts.
    pub(super) fn to_json(&self, now: u64) -> Value {
        let at = self.circumstances(now);
        let trust = self.ours.material.trust();
        let seen = self.seen.as_ref();
        let describe = |certificate: &InspectedCertificate| describe(certificate, now);
        json!({
            "peer": self.endpoint.to_string(),
            "address": self.address.map(|address| address.to_string()),
            "ok": self.finding.is_well(),
            "verdict": self.finding.label(),
            "refusedBy": self.finding.refused_by(),
            "text": self.finding.text(&at),
            "next": self.finding.next(&at),
            "notes": self.notes(now),
            "peerSaysOfUs": self.theirs.as_ref().map(Finding::label),
            "clock": now,
            "weShow": self.ours.shown.as_ref().map(describe),
            "weTrust": trust.authorities().iter().map(describe).collect::<Vec<_>>(),
            "itShows": self.chain.iter().map(describe).collect::<Vec<_>>(),
            "id": self.identity().and_then(|id| id.peer_id()).map(|id| id.to_string()),
            "longId": self.identity().map(CertificateIdentity::long),
            "shortId": self.identity().map(|id| id.short().to_string()),
            "tls": seen.and_then(|seen| Some(json!({
                "version": version_name(seen.version?),
                "cipher": seen.cipher.and_then(|cipher| cipher.as_str()),
                "curve": group(seen.group),
                "chainmesh": is_chainmesh(seen),
                "handshakeMillis": seen.handshake.as_secs_f64() * 1000.0,
            }))),
            "speaks": seen.filter(|seen| seen.stage == Stage::Open).map(|seen| match &seen.speaks {
                _ if is_chainmesh(seen) => "chainmesh",
                Speaks::Nothing => "nothing",
                Speaks::Fisco3 { .. } => "fisco3",
                Speaks::Fisco2 => "fisco2",
                Speaks::Unknown(_) => "unknown",
            }),
            "packetVersions": seen.and_then(|seen| match seen.speaks {
                Speaks::Fisco3 { versions, .. } => versions.map(|(min, max)| [min, max]),
                _ => None,
            }),
        })
    }
}

fn describe(certificate: &InspectedCertificate, now: u64) -> Value {
    let seconds = match Standing::of(certificate, now) {
        Standing::Valid { left } => i64::try_from(left).unwrap_or(i64::MAX),
        Standing::Expired { since } => i64::try_from(since).map_or(i64::MIN, |since| -since),
        Standing::Early { .. } => {
            i64::try_from(certificate.not_after.saturating_sub(now)).unwrap_or(i64::MAX)
        }
    };
    json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "notBefore": certificate.not_before,
        "notAfter": certificate.not_after,
        "daysLeft": seconds.div_euclid(86_400),
        "key": certificate.key.to_string(),
        "x509Version": certificate.version,
        "ca": certificate.authority,
    })
}

fn is_chainmesh(seen: &Observation) -> bool {
    seen.protocol.as_deref() == Some(ALPN)
}

fn speaks(seen: &Observation) -> String {
    if is_chainmesh(seen) {
        return "chainmesh/1: a chainmesh node".into();
    }
    match &seen.speaks {
        Speaks::Nothing => "nothing so far (no chainmesh/1)".into(),
        Speaks::Fisco3 { packets, versions } => {
            let versions = match versions {
                Some((min, max)) => format!(", packet versions {min} to {max}"),
                None => String::new(),
            };
            let first: Vec<_> = packets.iter().take(3).copied().collect();
            format!("FISCO BCOS 3.x packets ({}){versions}", first.join(", "))
        }
        Speaks::Fisco2 => "FISCO BCOS 2.x packets".into(),
        Speaks::Unknown(bytes) => {
            format!("something that is neither chainmesh nor FISCO BCOS: {}", quoted(bytes))
        }
    }
}

fn version_name(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLS 1.2".into(),
        ProtocolVersion::TLSv1_3 => "TLS 1.3".into(),
        other => format!("{other:?}"),
    }
}

/// The curve of the key exchange. The names of the rest are those of IANA.
fn group(group: Option<NamedGroup>) -> Option<String> {
    group.map(|group| match group {
        SECP256K1_GROUP => "secp256k1".into(),
        NamedGroup::secp256r1 => "P-256".into(),
        NamedGroup::secp384r1 => "P-384".into(),
        other => format!("{other:?}"),
    })
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}

/// Labels on the left, text on the right.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, label: &str, text: &str) {
        self.0.push_str(&format!("{label:<LABEL$}{text}\n"));
    }

    /// Text of several lines, broken between words.
    fn paragraph(&mut self, label: &str, text: &str) {
        let (mut label, mut line) = (label, String::new());
        for word in text.split_whitespace() {
            let longer = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && longer > TEXT {
                self.line(label, &line);
                (label, line) = ("", String::new());
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(label, &line);
    }

    fn certificate(
        &mut self,
        label: &str,
        certificate: &InspectedCertificate,
        now: u64,
        ours: Option<&InspectedCertificate>,
    ) {
        let InspectedCertificate { subject, issuer, serial, key, version, .. } = certificate;
        self.line(label, subject);
        self.line("", &format!("signed by {issuer}"));
        self.line("", &format!("serial {serial}, X.509 v{version}"));
        self.line("", &validity(certificate, now));
        let same = match ours {
            Some(ours) if ours.key == *key => ", as ours".to_owned(),
            Some(ours) => format!(", ours is {}", ours.key),
            None => String::new(),
        };
        self.line("", &format!("key {key}{same}"));
    }

    fn ids(&mut self, identity: &CertificateIdentity) {
        if let Some(id) = identity.peer_id() {
            self.line("its id", &id.to_string());
        }
        self.line("its long id", &identity.long());
        self.line("its short id", &identity.short().to_string());
    }
}
