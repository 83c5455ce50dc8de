//! One record of the address book, and its bytes on disk.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::VecDeque;

use alloy_primitives::{Bytes, FixedBytes, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use chainmesh_identity::enode::parse_address;
use chainmesh_identity::{Enode, Host, PeerId};

use super::{Fingerprint, Mismatch, MismatchKind};
use crate::discovery::Protocol;

/// Version of the layout on disk. Version 1, without what is known of chain and role, is read, too; a
/// record of another version is left out.
pub const RECORD_VERSION: u8 = 2;
/// The oldest version that is read.
const OLDEST_VERSION: u8 = 1;
/// Most bytes of a record on disk: with each text at its limit it has 3.5 KiB.
pub const MAX_RECORD_BYTES: usize = 4096;
/// Incidents that a record remembers.
pub const MAX_INCIDENTS: usize = 16;
/// Longest text of a record, bytes.
pub const MAX_TEXT: usize = 160;

/// Seconds since 1970: what the book remembers outlives the process, so its time is that of the wall.
/// Zero is never.
pub type UnixTime = u64;

/// Where the address of a node came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressOrigin {
    /// The operator named it.
    Configured,
    /// It is a boot node.
    Boot,
    /// Discovery found it there: it has answered over UDP.
    Discovery,
    /// It came to us, and said where it listens.
    Inbound,
    /// A peer told us of it, by peer exchange.
    Exchange,
    /// As [`Discovery`](Self::Discovery), by the other protocol: Node Discovery v5.1.
    Discv5,
}

impl From<Protocol> for AddressOrigin {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Discv4 => Self::Discovery,
            Protocol::Discv5 => Self::Discv5,
        }
    }
}

impl AddressOrigin {
    /// All of them; the place is the number on disk.
    const ALL: [Self; 6] = [
        Self::Configured,
        Self::Boot,
        Self::Discovery,
        Self::Inbound,
        Self::Exchange,
        Self::Discv5,
    ];

    /// One word for people and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Boot => "boot",
            Self::Discovery => "discovery",
            Self::Inbound => "inbound",
            Self::Exchange => "pex",
            Self::Discv5 => "discv5",
        }
    }

    /// Whether it names the address with authority: a person, or the holder of the key itself.
    pub(super) const fn is_firsthand(self) -> bool {
        matches!(self, Self::Configured | Self::Boot | Self::Discovery | Self::Discv5)
    }
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptStage {
    /// Name look-up and TCP connection.
    Dial,
    /// The handshake that proves who is there.
    Handshake,
    /// Hello, and what the modules tell each other before a session (the Status of `eth`).
    Greeting,
    /// The session.
    Session,
}

impl AttemptStage {
    const ALL: [Self; 4] = [Self::Dial, Self::Handshake, Self::Greeting, Self::Session];

    /// One word for people and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dial => "dial",
            Self::Handshake => "handshake",
            Self::Greeting => "greeting",
            Self::Session => "session",
        }
    }
}

/// Something that happened with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// When.
    pub at: UnixTime,
    /// How far it came.
    pub stage: AttemptStage,
    /// Whether the peer had come to us.
    pub inbound: bool,
    /// Whether this was an end: a failure, or that of a session.
    pub ended: bool,
    /// What, for people: at most [`MAX_TEXT`] bytes, escaped by whoever wrote it.
    pub text: String,
}

/// A node or an address that is not to be a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Since when.
    pub since: UnixTime,
    /// Until when; `None`: until somebody lifts it.
    pub until: Option<UnixTime>,
    /// What for, at most [`MAX_TEXT`] bytes.
    pub reason: String,
}

impl Ban {
    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// What is remembered of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRecord {
    /// Who and where. TCP port 0: it is not known where it listens.
    pub enode: Enode,
    /// Where the address came from.
    pub origin: AddressOrigin,
    /// The address of whoever told it; `None`: this node's operator.
    pub source: Option<IpAddr>,
    /// When it came into the book.
    pub added: UnixTime,
    /// When it was dialled last.
    pub last_tried: UnixTime,
    /// When it was heard of last: found, told, or connected.
    pub last_seen: UnixTime,
    /// When a dial of it led to a session last.
    pub last_success: UnixTime,
    /// Dials that led to a session.
    pub successes: u64,
    /// Failures in a row.
    pub failures: u32,
    /// The longest session to which a dial of it led, of those that are over, seconds.
    pub longest_session: u64,
    /// Whether a dial of this address has led to a session.
    pub tried: bool,
    /// The operator wants a connection to it.
    pub is_static: bool,
    /// The operator trusts it.
    pub is_trusted: bool,
    /// It is banned.
    pub ban: Option<Ban>,
    /// What happened with it, oldest first.
    pub incidents: VecDeque<Incident>,
    /// Highest sequence number of its own record (ENR) that discovery has seen; 0: none.
    pub record_sequence: u64,
    /// It is of another chain, or has nothing for this node.
    pub mismatch: Option<Mismatch>,
}

impl PeerRecord {
    pub(super) const fn new(
        enode: Enode,
        origin: AddressOrigin,
        source: Option<IpAddr>,
        now: UnixTime,
    ) -> Self {
        Self {
            enode,
            origin,
            source,
            added: now,
            last_tried: 0,
            last_seen: now,
            last_success: 0,
            successes: 0,
            failures: 0,
            longest_session: 0,
            tried: false,
            is_static: false,
            is_trusted: false,
            ban: None,
            incidents: VecDeque::new(),
            record_sequence: 0,
            mismatch: None,
        }
    }

    /// The last thing that went wrong.
    #[must_use]
    pub fn last_error(&self) -> Option<&Incident> {
        self.incidents.iter().rev().find(|incident| incident.ended)
    }

    /// Whether the operator said something about it: such a record is not displaced.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.is_static || self.is_trusted || self.ban.is_some()
    }

    pub(super) fn remember(&mut self, mut incident: Incident) {
        incident.text = cut(&incident.text);
        if self.incidents.len() >= MAX_INCIDENTS {
            self.incidents.pop_front();
        }
        self.incidents.push_back(incident);
    }
}

/// A text at its limit.
pub(super) fn cut(text: &str) -> String {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default().to_owned()
}

/// Why the bytes of a record are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than any record.
    #[error("a record of {0} bytes is longer than any can be")]
    TooLong(usize),
    /// No RLP of a record.
    #[error("the record is not RLP of its kind: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// Written by another version.
    #[error("the record is of version {0}")]
    Version(u8),
    /// Changed since it was written.
    #[error("the checksum of the record is wrong")]
    Checksum,
    /// A field has a value that no record has.
    #[error("the record has no valid {0}")]
    Field(&'static str),
}

#[derive(RlpEncodable, RlpDecodable)]
struct Envelope {
    version: u8,
    checksum: FixedBytes<4>,
    body: Bytes,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredIncident {
    at: u64,
    stage: u8,
    inbound: bool,
    ended: bool,
    text: String,
}

/// `until` is zero for ever.
#[derive(RlpEncodable, RlpDecodable)]
struct StoredBan {
    since: u64,
    until: u64,
    reason: String,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredMismatch {
    kind: u8,
    text: String,
    at: u64,
    times: u32,
    record: u64,
    seen_by: Fingerprint,
    reconsidered: bool,
}

/// What version 2 has added.
#[derive(Default, RlpEncodable, RlpDecodable)]
struct StoredFit {
    record_sequence: u64,
    /// None or one.
    mismatches: Vec<StoredMismatch>,
}

#[derive(RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
struct Stored {
    id: FixedBytes<64>,
    /// `host:port`.
    address: String,
    udp_port: u16,
    origin: u8,
    /// As an IPv6 address; unspecified when there is none.
    source: FixedBytes<16>,
    added: u64,
    last_tried: u64,
    last_seen: u64,
    last_success: u64,
    successes: u64,
    failures: u32,
    tried: bool,
    is_static: bool,
    is_trusted: bool,
    /// None or one.
    bans: Vec<StoredBan>,
    incidents: Vec<StoredIncident>,
    /// Since version 2.
    fit: Option<StoredFit>,
    /// Not there in records of earlier versions.
    longest_session: Option<u64>,
}

fn checksum(version: u8, body: &[u8]) -> FixedBytes<4> {
    let mut bytes = vec![version];
    bytes.extend_from_slice(body);
    let hash = keccak256(bytes);
    FixedBytes::try_from(hash.get(..4).unwrap_or_default()).unwrap_or_default()
}

/// Puts version and checksum around bytes.
pub(super) fn seal(body: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(RECORD_VERSION, &body);
    alloy_rlp::encode(Envelope { version: RECORD_VERSION, checksum, body: body.into() })
}

/// The bytes that [`seal`] was given.
pub(super) fn unseal(mut bytes: &[u8], limit: usize) -> Result<Bytes, RecordError> {
    if bytes.len() > limit {
        return Err(RecordError::TooLong(bytes.len()));
    }
    let envelope = Envelope::decode(&mut bytes)?;
    if !(OLDEST_VERSION..=RECORD_VERSION).contains(&envelope.version) {
        return Err(RecordError::Version(envelope.version));
    }
    if envelope.checksum != checksum(envelope.version, &envelope.body) {
        return Err(RecordError::Checksum);
    }
    Ok(envelope.body)
}

impl From<&Ban> for StoredBan {
    fn from(ban: &Ban) -> Self {
        let until = ban.until.unwrap_or_default();
        Self { since: ban.since, until, reason: ban.reason.clone() }
    }
}

impl From<StoredBan> for Ban {
    fn from(ban: StoredBan) -> Self {
        let until = (ban.until != 0).then_some(ban.until);
        Self { since: ban.since, until, reason: cut(&ban.reason) }
    }
}

impl From<&Mismatch> for StoredMismatch {
    fn from(mark: &Mismatch) -> Self {
        let kind = MismatchKind::ALL.iter().position(|kind| *kind == mark.kind);
        Self {
            kind: kind.and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX),
            text: mark.text.clone(),
            at: mark.at,
            times: mark.times,
            record: mark.record,
            seen_by: mark.seen_by,
            reconsidered: mark.reconsidered,
        }
    }
}

impl TryFrom<StoredMismatch> for Mismatch {
    type Error = RecordError;

    fn try_from(mark: StoredMismatch) -> Result<Self, RecordError> {
        let kind = MismatchKind::ALL.get(usize::from(mark.kind)).copied();
        let StoredMismatch { at, times, record, seen_by, reconsidered, .. } = mark;
        let kind = kind.ok_or(RecordError::Field("mismatch"))?;
        Ok(Self { kind, text: cut(&mark.text), at, times, record, seen_by, reconsidered })
    }
}

pub(super) fn encode_ip(ip: IpAddr) -> FixedBytes<16> {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    ip.octets().into()
}

pub(super) fn decode_ip(bytes: FixedBytes<16>) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(bytes.0)).to_canonical()
}

impl PeerRecord {
    /// Its bytes on disk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let number = |place: Option<usize>| place.and_then(|n| u8::try_from(n).ok());
        let incident = |incident: &Incident| StoredIncident {
            at: incident.at,
            stage: number(AttemptStage::ALL.iter().position(|stage| *stage == incident.stage))
                .unwrap_or(u8::MAX),
            inbound: incident.inbound,
            ended: incident.ended,
            text: incident.text.clone(),
        };
        let mut body = Vec::new();
        Stored {
            id: FixedBytes(*self.enode.id.as_bytes()),
            address: format!("{}:{}", self.enode.host, self.enode.tcp_port),
            udp_port: self.enode.udp_port,
            origin: number(AddressOrigin::ALL.iter().position(|origin| *origin == self.origin))
                .unwrap_or(u8::MAX),
            source: self.source.map(encode_ip).unwrap_or_default(),
            added: self.added,
            last_tried: self.last_tried,
            last_seen: self.last_seen,
            last_success: self.last_success,
            successes: self.successes,
            failures: self.failures,
            tried: self.tried,
            is_static: self.is_static,
            is_trusted: self.is_trusted,
            bans: self.ban.iter().map(StoredBan::from).collect(),
            incidents: self.incidents.iter().map(incident).collect(),
            fit: Some(StoredFit {
                record_sequence: self.record_sequence,
                mismatches: self.mismatch.iter().map(StoredMismatch::from).collect(),
            }),
            longest_session: Some(self.longest_session),
        }
        .encode(&mut body);
        seal(body)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let body = unseal(bytes, MAX_RECORD_BYTES)?;
        let stored = Stored::decode(&mut body.as_ref())?;
        let id = PeerId::from_slice(stored.id.as_slice()).map_err(|_| RecordError::Field("ID"))?;
        let (host, tcp_port): (Host, u16) =
            parse_address(&stored.address).map_err(|_| RecordError::Field("address"))?;
        let origin = AddressOrigin::ALL.get(usize::from(stored.origin)).copied();
        let incident = |incident: StoredIncident| {
            let stage = AttemptStage::ALL.get(usize::from(incident.stage)).copied();
            let stage = stage.ok_or(RecordError::Field("stage"))?;
            let StoredIncident { at, inbound, ended, text, .. } = incident;
            Ok(Incident { at, stage, inbound, ended, text: cut(&text) })
        };
        let skip = stored.incidents.len().saturating_sub(MAX_INCIDENTS);
        let incidents = stored.incidents.into_iter().skip(skip).map(incident);
        let fit = stored.fit.unwrap_or_default();
        let mismatch = fit.mismatches.into_iter().next().map(Mismatch::try_from);
        Ok(Self {
            enode: Enode { id, host, tcp_port, udp_port: stored.udp_port },
            origin: origin.ok_or(RecordError::Field("origin"))?,
            source: (!stored.source.is_zero()).then(|| decode_ip(stored.source)),
            added: stored.added,
            last_tried: stored.last_tried,
            last_seen: stored.last_seen,
            last_success: stored.last_success,
            successes: stored.successes,
            failures: stored.failures,
            longest_session: stored.longest_session.unwrap_or_default(),
            tried: stored.tried,
            is_static: stored.is_static,
            is_trusted: stored.is_trusted,
            ban: stored.bans.into_iter().next().map(Ban::from),
            incidents: incidents.collect::<Result<_, RecordError>>()?,
            record_sequence: fit.record_sequence,
            mismatch: mismatch.transpose()?,
        })
    }
}
