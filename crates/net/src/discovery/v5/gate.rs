//! Who sends so much that nothing of it is read any more.
//!
//! What is no discv5 goes through the crate's queues to our discv4, whose limits by address come only
//! after them. An address that sends far more than those limits would ever take is held off for a
//! moment where it costs least: before its datagrams are decoded. What we asked for is read all the same.
//! A source can be forged, so that must be short: whoever is named by a forger is shut out no longer than
//! the flood in his name lasts, and that moment.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use chainmesh_proto::discovery::MAX_COUNTED_ADDRESSES;
use chainmesh_proto::time::Instant;

/// Datagrams of one address in a second that are read: 25 times of what discv4 takes in the long run.
pub(super) const MAX_PER_SECOND: u32 = 500;
/// How long an address is held off.
pub(super) const HELD_OFF: Duration = Duration::from_secs(10);
/// Addresses that are held off, at most.
pub(super) const MAX_HELD_OFF: usize = 1024;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts datagrams by address. Loopback is exempt.
#[derive(Debug, Default)]
pub(super) struct Gate {
    begin: Instant,
    counts: HashMap<IpAddr, u32>,
    held: VecDeque<(Instant, IpAddr)>,
}

impl Gate {
    /// Counts a datagram; says whether its sender shall be held off from now on.
    pub(super) fn note(&mut self, now: Instant, ip: IpAddr) -> bool {
        if ip.to_canonical().is_loopback() {
            return false;
        }
        if now.saturating_since(self.begin) >= WINDOW {
            (self.begin, self.counts) = (now, HashMap::new());
        }
        if self.counts.len() >= MAX_COUNTED_ADDRESSES && !self.counts.contains_key(&ip) {
            return false;
        }
        let count = self.counts.entry(ip).or_default();
        *count += 1;
        if *count <= MAX_PER_SECOND || self.held.len() >= MAX_HELD_OFF {
            return false;
        }
        let known = self.held.iter().any(|(_, held)| *held == ip);
        if !known {
            self.held.push_back((now + HELD_OFF, ip));
        }
        !known
    }

    /// When somebody is to be let in again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held.front().map(|(until, _)| *until)
    }

    /// Those whose time is over.
    pub(super) fn let_in_again(&mut self, now: Instant) -> Vec<IpAddr> {
        let over = self.held.iter().take_while(|(until, _)| *until <= now).count();
        self.held.drain(..over).map(|(_, ip)| ip).collect()
    }

    /// Addresses that are held off now.
    pub(super) fn held_off(&self) -> usize {
        self.held.len()
    }
}
