//! How much the hearsay of a teller is worth: dials of nodes that peers told of, and what came of them.

use std::collections::BTreeMap;

use super::buckets::{Network, teller};
use super::{AddressOrigin, PeerRecord, UnixTime};

/// Dials of a teller's nodes that may fail, or be without an end, before the others must wait.
pub const TELLER_ALLOWANCE: u32 = 4;
/// The wait for one more, seconds; it doubles with each that fails, too.
pub const TELLER_WAIT: UnixTime = 600;
/// The wait doubles so often at most: 10 h 40 min.
const TELLER_DOUBLINGS: u32 = 6;
/// Two dials that failed are forgiven for each that led to a session.
const FORGIVEN: u32 = 2;
/// Networks of tellers that are remembered. Whoever was dialled for longest ago makes room.
const MAX_TELLERS: usize = 1024;

#[derive(Debug, Default, Clone, Copy)]
struct Credit {
    /// Dials that did not lead to a session, or not yet.
    fruitless: u32,
    /// The last dial.
    at: UnixTime,
}

/// Networks of tellers of peer exchange (/16, IPv6 /32), and what their word was worth.
#[derive(Debug, Default)]
pub(super) struct Tellers {
    credits: BTreeMap<Network, Credit>,
}

/// Whether nothing but a peer's word is known of the node.
pub(super) fn is_hearsay(record: &PeerRecord) -> bool {
    record.origin == AddressOrigin::Exchange && !record.tried
}

impl Tellers {
    /// Whether one more node of this teller may be dialled now.
    pub(super) fn may_dial(&self, now: UnixTime, record: &PeerRecord) -> bool {
        let Some(credit) = self.credits.get(&teller(record)) else { return true };
        let Some(beyond) = credit.fruitless.checked_sub(TELLER_ALLOWANCE) else { return true };
        let wait = TELLER_WAIT << beyond.min(TELLER_DOUBLINGS);
        // A clock that was set back makes nobody wait for ever.
        now >= credit.at.saturating_add(wait) || now < credit.at
    }

    /// A node of this teller is dialled.
    pub(super) fn dialled(&mut self, now: UnixTime, record: &PeerRecord) {
        let network = teller(record);
        if self.credits.len() >= MAX_TELLERS && !self.credits.contains_key(&network) {
            let oldest = self.credits.iter().min_by_key(|(_, credit)| credit.at);
            if let Some(oldest) = oldest.map(|(network, _)| network.clone()) {
                self.credits.remove(&oldest);
            }
        }
        let credit = self.credits.entry(network).or_default();
        credit.fruitless = credit.fruitless.saturating_add(1);
        credit.at = now;
    }

    /// What this teller told was true.
    pub(super) fn was_right(&mut self, record: &PeerRecord) {
        let network = teller(record);
        if let Some(credit) = self.credits.get_mut(&network) {
            // The dial itself is no failure, either.
            credit.fruitless = credit.fruitless.saturating_sub(FORGIVEN + 1);
            if credit.fruitless == 0 {
                self.credits.remove(&network);
            }
        }
    }
}
