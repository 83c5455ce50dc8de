//! Machines that talk to each other in virtual time, each datagram taking 20 ms.

use std::collections::BTreeMap;

use super::*;

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) machines: Vec<Discovery>,
    places: BTreeMap<SocketAddr, usize>,
    under_way: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, bytes::Bytes)>,
    next: u64,
    pub(super) events: Vec<(usize, DiscoveryEvent)>,
    /// Every nth datagram is lost.
    pub(super) lose_every: Option<u64>,
}

impl Net {
    /// Number 0 is the boot node of all others.
    pub(super) fn new(count: usize) -> Self {
        let boot = Other::new(1).contact();
        let mut net = Self {
            now: Instant::from_micros(1),
            machines: Vec::new(),
            places: BTreeMap::new(),
            under_way: BTreeMap::new(),
            next: 0,
            events: Vec::new(),
            lose_every: None,
        };
        for n in 0..count {
            let other = Other::new(u64::try_from(n + 1).unwrap());
            let mut config = DiscoveryConfig::new(other.key, clock(), 30303, 30303);
            config.ip = Some(other.address.ip());
            if n > 0 {
                config.boot_nodes = vec![boot];
            }
            net.places.insert(other.address, n);
            net.machines.push(Discovery::new(config, [u8::try_from(n % 256).unwrap(); 32]));
            net.machines[n].handle_timeout(net.now);
            net.collect(n);
        }
        net
    }

    fn address(&self, n: usize) -> SocketAddr {
        *self.places.iter().find(|(_, place)| **place == n).unwrap().0
    }

    pub(super) fn handle(&mut self, n: usize, input: Input) {
        self.machines[n].handle(self.now, input);
        self.collect(n);
    }

    fn collect(&mut self, n: usize) {
        let from = self.address(n);
        while let Some(output) = self.machines[n].poll() {
            match output {
                Output::Send { to, bytes } => {
                    self.next += 1;
                    if self.lose_every.is_some_and(|every| self.next.is_multiple_of(every)) {
                        continue;
                    }
                    let at = self.now + Duration::from_millis(20);
                    self.under_way.insert((at, self.next), (from, to, bytes));
                }
                Output::Event(event) => self.events.push((n, event)),
            }
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrives = self.under_way.keys().next().map(|(at, _)| *at);
            let due = self.machines.iter().filter_map(Discovery::poll_timeout).min();
            let Some(next) = crate::time::earliest(arrives, due).filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.under_way.first_entry().filter(|e| e.key().0 <= self.now) {
                let (from, to, bytes) = entry.remove();
                if let Some(n) = self.places.get(&to).copied() {
                    self.handle(n, Input::Datagram { from, bytes });
                }
            }
            for n in 0..self.machines.len() {
                if self.machines[n].poll_timeout().is_some_and(|at| at <= self.now) {
                    self.machines[n].handle_timeout(self.now);
                    self.collect(n);
                }
            }
        }
        self.now = end;
    }
}
