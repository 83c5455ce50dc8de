//! Who may connect to us at all, before anybody has proved anything.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;

use super::{PeerManagerConfig, RefuseReason};
use crate::time::Instant;

/// One second in the units of [`Instant`].
const SECOND: u64 = 1_000_000;

/// Inbound connections without a proven identity, and the rate at which new ones are taken.
#[derive(Debug)]
pub(super) struct Admission {
    max_pending: usize,
    max_per_ip: usize,
    pending: usize,
    per_ip: BTreeMap<IpAddr, usize>,
    bucket: Bucket,
}

impl Admission {
    pub(super) fn new(config: &PeerManagerConfig) -> Self {
        Self {
            max_pending: config.max_pending_inbound,
            max_per_ip: config.max_pending_per_ip,
            pending: 0,
            per_ip: BTreeMap::new(),
            bucket: Bucket::new(config.accept_rate, config.accept_burst),
        }
    }

    /// Takes a connection from `ip`, or says why not. The rate is asked last: a connection that
    /// another limit refuses costs no token.
    pub(super) fn admit(&mut self, now: Instant, ip: IpAddr) -> Result<(), RefuseReason> {
        if self.pending >= self.max_pending {
            return Err(RefuseReason::TooManyPending);
        }
        let source = source(ip);
        if source.is_some_and(|ip| self.per_ip.get(&ip).is_some_and(|n| *n >= self.max_per_ip)) {
            return Err(RefuseReason::TooManyFromAddress);
        }
        if !self.bucket.take(now) {
            return Err(RefuseReason::TooFast);
        }
        self.pending = self.pending.saturating_add(1);
        if let Some(ip) = source {
            let count = self.per_ip.entry(ip).or_default();
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    /// The connection from `ip` has proved its identity or is gone.
    pub(super) fn release(&mut self, ip: IpAddr) {
        self.pending = self.pending.saturating_sub(1);
        let Some(ip) = source(ip) else { return };
        if let Some(count) = self.per_ip.get_mut(&ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }

    pub(super) const fn pending(&self) -> usize {
        self.pending
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 /64, the smallest network a host is
/// given and all of which it can use. `None` for loopback, which is exempt.
fn source(ip: IpAddr) -> Option<IpAddr> {
    match ip.to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V6(ip) => Some(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64))),
        ip @ IpAddr::V4(_) => Some(ip),
    }
}

/// A token bucket: `rate` tokens a second, `burst` at most. Counted in millionths of a token.
#[derive(Debug)]
struct Bucket {
    rate: u64,
    capacity: u64,
    level: u64,
    filled: Instant,
}

impl Bucket {
    fn new(rate: u32, burst: u32) -> Self {
        let capacity = u64::from(burst).saturating_mul(SECOND);
        Self { rate: u64::from(rate), capacity, level: capacity, filled: Instant::ZERO }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.as_micros().saturating_sub(self.filled.as_micros());
        let gained = passed.saturating_mul(self.rate);
        self.level = self.level.saturating_add(gained).min(self.capacity);
        self.filled = self.filled.max(now);
        match self.level.checked_sub(SECOND) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}
