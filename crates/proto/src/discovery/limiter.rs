//! How many packets are taken from whom.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::config::{MAX_COUNTED_ADDRESSES, UNPROVEN_PACKETS_PER_SECOND};
use crate::time::Instant;

/// A thousandth of a packet, so that slow rates gain something each millisecond.
const PACKET: u64 = 1000;

/// So many at once, and so many per second.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: u64,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u64,
    per_millisecond: u64,
}

impl Rate {
    const fn new(per_second: u32, burst: u32) -> Self {
        // A thousandth of a packet per millisecond is a packet per second.
        Self { burst: burst as u64 * PACKET, per_millisecond: per_second as u64 }
    }

    fn grow(self, allowance: &mut Allowance, now: Instant) {
        let elapsed = now.saturating_since(allowance.at).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        if elapsed > 0 {
            let gained = elapsed.saturating_mul(self.per_millisecond);
            allowance.left = allowance.left.saturating_add(gained).min(self.burst);
            allowance.at = now;
        }
    }

    fn take(self, allowance: &mut Allowance, now: Instant) -> bool {
        self.grow(allowance, now);
        let rest = allowance.left.checked_sub(PACKET);
        allowance.left = rest.unwrap_or(allowance.left);
        rest.is_some()
    }
}

#[derive(Debug)]
pub(super) struct Limiter {
    each: Rate,
    unproven: Rate,
    by_address: BTreeMap<IpAddr, Allowance>,
    /// For addresses beyond those that are counted one by one.
    others: Allowance,
    all_unproven: Allowance,
    swept: Instant,
}

impl Limiter {
    pub(super) const fn new(per_second: u32, burst: u32) -> Self {
        let each = Rate::new(per_second, burst);
        let unproven = Rate::new(UNPROVEN_PACKETS_PER_SECOND, UNPROVEN_PACKETS_PER_SECOND);
        let others = Allowance { left: each.burst, at: Instant::ZERO };
        let all_unproven = Allowance { left: unproven.burst, at: Instant::ZERO };
        Self {
            each,
            unproven,
            by_address: BTreeMap::new(),
            others,
            all_unproven,
            swept: Instant::ZERO,
        }
    }

    /// Whether a packet of this address is taken; `proven` when somebody there has proved that he is.
    pub(super) fn allow(&mut self, now: Instant, ip: IpAddr, proven: bool) -> bool {
        if ip.is_loopback() {
            return true;
        }
        self.allow_address(now, site(ip))
            && (proven || self.unproven.take(&mut self.all_unproven, now))
    }

    fn allow_address(&mut self, now: Instant, site: IpAddr) -> bool {
        if let Some(allowance) = self.by_address.get_mut(&site) {
            return self.each.take(allowance, now);
        }
        if self.by_address.len() >= MAX_COUNTED_ADDRESSES {
            self.sweep(now);
        }
        if self.by_address.len() >= MAX_COUNTED_ADDRESSES {
            return self.each.take(&mut self.others, now);
        }
        let mut allowance = Allowance { left: self.each.burst, at: now };
        let allowed = self.each.take(&mut allowance, now);
        self.by_address.insert(site, allowance);
        allowed
    }

    /// Forgets those who may send as many as somebody unknown; looks once per second at most.
    fn sweep(&mut self, now: Instant) {
        if now.saturating_since(self.swept).as_secs() == 0 {
            return;
        }
        self.swept = now;
        let each = self.each;
        self.by_address.retain(|_, allowance| {
            each.grow(allowance, now);
            allowance.left < each.burst
        });
    }

    pub(super) fn counted(&self) -> usize {
        self.by_address.len()
    }
}

/// What one customer of a provider has: an IPv4 address, or an IPv6 /64.
fn site(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}
