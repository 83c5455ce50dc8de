//! What the manager knows about one connection.

use core::net::SocketAddr;

use chainmesh_identity::PeerId;

use super::{Direction, Slot, TargetKey};
use crate::time::Instant;

/// Longest client name that is kept, characters.
const MAX_CLIENT: usize = 64;
/// Capabilities that are kept per peer.
const MAX_CAPABILITIES: usize = 64;
/// Longest capability that is kept, characters: eight of a name, a slash, ten of a version.
const MAX_CAPABILITY: usize = 20;

/// How far a connection has come. It only ever moves down this list, or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Name look-up and TCP connection, outbound only. Not a byte has been sent.
    Dialing,
    /// The cryptographic handshake: the peer may already know who we are.
    Handshaking,
    /// The identity is proved, a slot is held.
    Authenticated,
    /// A session.
    Established { since: Instant },
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) direction: Direction,
    pub(super) stage: Stage,
    /// Start of the dial, or arrival.
    pub(super) started: Instant,
    pub(super) address: Option<SocketAddr>,
    /// The target that was dialled.
    pub(super) target: Option<TargetKey>,
    /// Who must answer.
    pub(super) expected: Option<PeerId>,
    /// Who has answered, proved.
    pub(super) id: Option<PeerId>,
    /// The slot it holds: from [`Stage::Authenticated`] on, or earlier if it is the heir of a
    /// connection that the peer closed in its favour.
    pub(super) slot: Option<Slot>,
    pub(super) client: String,
    pub(super) capabilities: Vec<String>,
    /// When the last probe was sent.
    pub(super) probed: Option<Instant>,
    /// The probe was sent because another connection in the same direction came up.
    pub(super) suspected_duplicate: bool,
}

impl Connection {
    pub(super) const fn new(direction: Direction, stage: Stage, started: Instant) -> Self {
        Self {
            direction,
            stage,
            started,
            address: None,
            target: None,
            expected: None,
            id: None,
            slot: None,
            client: String::new(),
            capabilities: Vec::new(),
            probed: None,
            suspected_duplicate: false,
        }
    }

    /// Whether it counts as a dial under way.
    pub(super) fn is_dial(&self) -> bool {
        self.direction == Direction::Outbound && !self.is_authenticated()
    }

    pub(super) const fn is_authenticated(&self) -> bool {
        matches!(self.stage, Stage::Authenticated | Stage::Established { .. })
    }

    /// Keeps what the peer says of itself, fit to be shown.
    pub(super) fn introduce(&mut self, client: &str, capabilities: &[String]) {
        self.client = printable(client, MAX_CLIENT);
        let kept = capabilities.iter().take(MAX_CAPABILITIES);
        self.capabilities = kept.map(|text| printable(text, MAX_CAPABILITY)).collect();
    }
}

/// `text` with everything escaped that a terminal or a log could take for a command, cut to
/// `limit` characters.
fn printable(text: &str, limit: usize) -> String {
    let visible = |c: char| c.is_alphanumeric() || c == ' ' || c.is_ascii_graphic();
    let escaped = text.chars().take(limit).flat_map(|c| {
        let shown = visible(c).then_some(c);
        let hidden = (!visible(c)).then(|| c.escape_unicode());
        shown.into_iter().chain(hidden.into_iter().flatten())
    });
    escaped.take(limit).collect()
}
