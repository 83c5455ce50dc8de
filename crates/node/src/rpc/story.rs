//! The whole story of one peer, as `admin_explainPeer` tells it.

use core::net::IpAddr;
use core::time::Duration;

use chainmesh_identity::enode::parse_address;
use chainmesh_identity::{Enode, Host, PeerId};
use chainmesh_net::{PeerQuery, PeerStory};
use chainmesh_proto::peers::PeerState;
use chainmesh_proto::peers::book::{Ban, Incident, Mismatch};
use serde::{Deserialize, Serialize};

use super::peers;
use crate::cli::output;

/// Shortest beginning of an ID that names somebody, hex digits.
const MIN_PREFIX: usize = 4;

/// Everything that a node knows of one peer. Times are Unix times in seconds; `null` is never, or not
/// known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerReport {
    /// The public key in hex without `0x`.
    pub id: Option<String>,
    /// Where it is dialled, or would be.
    pub enode: Option<String>,
    /// `connected`, `waiting`, …; `banned`; `misfit` when it is of another chain or of no use; `known` when it is in the address book and nothing is done.
    pub state: String,
    /// Where the address came from: `configured`, `boot`, `discovery`, `inbound`, `pex` or `discv5`.
    pub origin: Option<String>,
    /// The address of whoever told it.
    pub told_by: Option<String>,
    /// When it came into the book.
    pub known_since: Option<u64>,
    /// `boot`, `static`, `trusted` or `dynamic`, if a connection is wanted.
    pub kind: Option<String>,
    /// `inbound` or `outbound`.
    pub direction: Option<String>,
    /// What its slot is counted as.
    pub slot: Option<String>,
    /// Its score: below zero for what it did wrong, above for good conduct; fades with time.
    #[serde(default)]
    pub score: i32,
    /// The other end of its connection.
    pub remote_address: Option<String>,
    /// Name and version of its software; escaped.
    pub client: Option<String>,
    /// For how many seconds it has been connected.
    pub connected_seconds: Option<f64>,
    /// Dials since the node started.
    pub attempts: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Dials that led to a session, in all runs.
    pub successes: u64,
    /// When it was dialled last.
    pub last_tried: Option<u64>,
    /// When it was heard of last.
    pub last_seen: Option<u64>,
    /// When a dial led to a session last.
    pub last_success: Option<u64>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Seconds until it is dialled again, or may be.
    pub next_retry: Option<f64>,
    /// What is next, for people.
    pub next: String,
    /// Whether the operator has added it.
    pub is_static: bool,
    /// Whether the operator trusts it.
    pub is_trusted: bool,
    /// Its ban.
    pub ban: Option<BanReport>,
    /// The ban of its address.
    pub address_ban: Option<BanReport>,
    /// That it did not fit this node, when that was found out last.
    #[serde(default)]
    pub mismatch: Option<MismatchReport>,
    /// What happened with it, oldest first.
    pub incidents: Vec<IncidentReport>,
}

/// What does not fit: another chain, or nothing in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MismatchReport {
    /// `network`, `genesis`, `fork`, `protocols`, `role`, or `refused`: the peer did not say.
    pub kind: String,
    /// What, for people: theirs, and ours.
    pub text: String,
    /// When that was seen last.
    pub seen: u64,
    /// How often in a row.
    pub times: u32,
    /// Unless it is configured, it is not dialled before. Earlier it may come to us, or show a new record.
    pub not_dialled_before: u64,
}

impl From<&Mismatch> for MismatchReport {
    fn from(mark: &Mismatch) -> Self {
        Self {
            kind: mark.kind.name().into(),
            text: mark.text.clone(),
            seen: mark.at,
            times: mark.times,
            not_dialled_before: mark.until(),
        }
    }
}

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanReport {
    /// Since when.
    pub since: u64,
    /// Until when; `null`: until it is lifted.
    pub until: Option<u64>,
    /// What for.
    pub reason: String,
}

/// Something that happened with a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentReport {
    /// When.
    pub at: u64,
    /// How many seconds ago.
    pub seconds_ago: u64,
    /// How far it came: `dial`, `handshake`, `greeting` or `session`.
    pub stage: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Whether it was an end.
    pub ended: bool,
    /// What; escaped.
    pub text: String,
}

/// Why a text names no peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "name a peer by its enode URL, the first {MIN_PREFIX} or more digits of its ID, or its host"
)]
pub(super) struct NoPeer;

/// Whom a text means: an enode URL, an ID or its beginning, `host` or `host:port`.
pub(super) fn query(text: &str) -> Result<PeerQuery, NoPeer> {
    let text = text.trim();
    if let Some(id) = peer_id(text) {
        return Ok(PeerQuery::Id(id));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(PeerQuery::Host(Host::Ip(ip), None));
    }
    let prefix = text.strip_prefix("0x").unwrap_or(text);
    let digits = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits && (MIN_PREFIX..=128).contains(&prefix.len()) {
        return Ok(PeerQuery::Prefix(prefix.to_ascii_lowercase()));
    }
    match parse_address(text) {
        Ok((host, port)) => Ok(PeerQuery::Host(host, Some(port))),
        // A name without a port.
        Err(_) => match parse_address(&format!("{text}:1")) {
            Ok((host @ Host::Name(_), _)) => Ok(PeerQuery::Host(host, None)),
            _ => Err(NoPeer),
        },
    }
}

/// An ID, by itself or in an enode URL.
pub(super) fn peer_id(text: &str) -> Option<PeerId> {
    let enode = text.parse::<Enode>().ok().map(|enode| enode.id);
    enode.or_else(|| text.strip_prefix("0x").unwrap_or(text).parse().ok())
}

impl From<&Ban> for BanReport {
    fn from(ban: &Ban) -> Self {
        Self { since: ban.since, until: ban.until, reason: ban.reason.clone() }
    }
}

fn incident(incident: &Incident, now: u64) -> IncidentReport {
    IncidentReport {
        at: incident.at,
        seconds_ago: now.saturating_sub(incident.at),
        stage: incident.stage.name().into(),
        direction: if incident.inbound { "inbound" } else { "outbound" }.into(),
        ended: incident.ended,
        text: incident.text.clone(),
    }
}

impl PeerReport {
    pub(super) fn new(story: &PeerStory) -> Self {
        let (record, status) = (story.record.as_ref(), story.status.as_ref());
        let info = status.map(|status| &status.info);
        let ban = record.and_then(|record| record.ban.as_ref());
        let state = match (info, ban) {
            (Some(info), _) => peers::state(info.state),
            (None, Some(_)) => "banned",
            (None, None) if record.is_some_and(|record| !record.fits()) => "misfit",
            (None, None) => "known",
        };
        let time = |at: u64| (at != 0).then_some(at);
        let enode = info.and_then(|info| info.target.as_ref()).and_then(|target| {
            Some(format!("enode://{}@{}:{}", target.id?, target.host, target.port))
        });
        let known = record.filter(|record| record.enode.tcp_port != 0);
        let enode = enode.or_else(|| known.map(|record| record.enode.to_string()));
        let next_dial = status.and_then(|status| status.next_dial_in);
        let next_retry = next_dial.or(story.due_in).map(|left| left.as_secs_f64());
        let incidents: Vec<IncidentReport> = record
            .map(|record| record.incidents.iter().map(|at| incident(at, story.now)).collect())
            .unwrap_or_default();
        let ended = incidents.iter().rev().find(|incident| incident.ended);
        Self {
            id: story.id.map(|id| id.to_string()),
            enode,
            state: state.into(),
            origin: record.map(|record| record.origin.name().into()),
            told_by: record.and_then(|record| record.source).map(|ip| ip.to_string()),
            known_since: record.map(|record| record.added),
            kind: info.and_then(|info| info.kind).map(|kind| peers::kind(Some(kind)).into()),
            direction: info.and_then(|info| info.direction).map(|at| peers::direction(at).into()),
            slot: info.and_then(|info| info.slot).map(|slot| peers::slot(slot).into()),
            score: story.score,
            remote_address: info.and_then(|info| info.address).map(|at| at.to_string()),
            client: info.map(|info| info.client.clone()).filter(|client| !client.is_empty()),
            connected_seconds: status
                .and_then(|status| status.connected_for)
                .map(|span| span.as_secs_f64()),
            attempts: info.map_or(0, |info| info.dials),
            failures: info
                .filter(|info| info.kind.is_some())
                .map_or_else(|| record.map_or(0, |record| record.failures), |info| info.failures),
            successes: record.map_or(0, |record| record.successes),
            last_tried: record.and_then(|record| time(record.last_tried)),
            last_seen: record.and_then(|record| time(record.last_seen)),
            last_success: record.and_then(|record| time(record.last_success)),
            last_error: ended.map(|incident| incident.text.clone()).or_else(|| {
                let last = info.and_then(|info| info.history.last());
                last.map(|attempt| peers::outcome(&attempt.outcome))
            }),
            next_retry,
            next: next(story, next_retry),
            is_static: record.is_some_and(|record| record.is_static),
            is_trusted: record.is_some_and(|record| record.is_trusted),
            ban: ban.map(BanReport::from),
            address_ban: story.address_ban.as_ref().map(BanReport::from),
            mismatch: record.and_then(|record| Some(record.mismatch.as_ref()?.into())),
            incidents,
        }
    }
}

/// What happens with the peer next.
fn next(story: &PeerStory, retry: Option<f64>) -> String {
    let record = story.record.as_ref();
    if record.is_some_and(|record| record.ban.is_some()) {
        return "nothing: it is banned".into();
    }
    let state = story.status.as_ref().map(|status| status.info.state);
    match (state, retry) {
        (Some(PeerState::Connected), _) => "nothing: it is connected".into(),
        (Some(PeerState::OwnAddress), _) => "nothing: this node itself listens there".into(),
        (Some(PeerState::Queued), _) => "a dial, as soon as a slot is free".into(),
        (Some(PeerState::Dialing), _) => "the TCP connection is being made".into(),
        (Some(PeerState::Handshaking), _) => "the handshake is under way".into(),
        (Some(PeerState::Authenticated), _) => "Hello and Status are under way".into(),
        (Some(PeerState::Waiting), Some(left)) => format!("a dial in {left:.0} s"),
        (Some(PeerState::Waiting), None) => "waits for its session to end".into(),
        (None, _) if record.is_some_and(|record| record.enode.tcp_port == 0) => {
            "nothing: it came to us, and where it listens is not known".into()
        }
        (None, Some(left)) if left > 0.0 && record.is_some_and(|record| !record.fits()) => {
            let left = output::duration(Duration::try_from_secs_f64(left).unwrap_or_default());
            format!("nothing for {left}, unless it comes to us or shows a new record")
        }
        (None, Some(left)) if left > 0.0 => {
            format!("it may be chosen for a dial in {left:.0} s, when a slot is free")
        }
        (None, Some(_)) => "it may be chosen for a dial when a slot is free".into(),
        (None, None) => "nothing: only nodes that are configured are dialled".into(),
    }
}

#[cfg(test)]
mod tests;
