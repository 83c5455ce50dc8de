//! Whatever comes, in whatever order.

use bytes::Bytes;
use chainmesh_wire::discv4::{Endpoint, Neighbors, Ping, Pong, Seal, seal};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Says { who: u8, net: u8, what: u8, expiration: u64 },
    Rubbish { net: u8, bytes: Vec<u8> },
    AddNode { who: u8, net: u8 },
    Lookup { target: u8 },
    Ping { who: u8, net: u8 },
    Clock { unix: u64 },
    Wait { millis: u32 },
}

fn steps() -> impl Strategy<Value = Step> {
    let expiration = prop_oneof![Just(UNIX + 600), any::<u64>()];
    let says = (0u8..20, 0u8..5, 0u8..7, expiration);
    prop_oneof![
        6 => says.prop_map(|(who, net, what, expiration)| Step::Says { who, net, what, expiration }),
        1 => (0u8..5, prop::collection::vec(any::<u8>(), 0..150))
            .prop_map(|(net, bytes)| Step::Rubbish { net, bytes }),
        2 => (0u8..20, 0u8..5).prop_map(|(who, net)| Step::AddNode { who, net }),
        1 => (0u8..20).prop_map(|target| Step::Lookup { target }),
        1 => (0u8..20, 0u8..5).prop_map(|(who, net)| Step::Ping { who, net }),
        1 => any::<u64>().prop_map(|unix| Step::Clock { unix }),
        2 => (0u32..4000).prop_map(|millis| Step::Wait { millis }),
    ]
}

fn other(who: u8, net: u8) -> Other {
    Other::at(u64::from(who), ip(1 + u64::from(net)))
}

/// What the last Ping to each address was, so that Pongs can be right.
struct Run {
    machine: Discovery,
    now: Instant,
    hashes: BTreeMap<SocketAddr, B256>,
    lookups: usize,
    pings: usize,
    done: usize,
}

impl Run {
    fn collect(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Send { to, bytes } => {
                    assert!(bytes.len() <= discv4::MAX_DATAGRAM);
                    self.hashes.insert(to, B256::from_slice(&bytes[..32]));
                }
                Output::Event(
                    DiscoveryEvent::LookupDone { .. } | DiscoveryEvent::PingDone { .. },
                ) => self.done += 1,
                Output::Event(_) => {}
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        self.collect();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Says { who, net, what, expiration } => {
                let other = other(who, net);
                let (from, to) = (other.contact().endpoint, Endpoint::new(ip(0), 1, 1));
                let ping_hash = self.hashes.get(&other.address).copied().unwrap_or_default();
                let some: Vec<Contact> = (0..20).map(|n| Other::new(n).contact()).collect();
                let packet = match what {
                    0 | 1 => {
                        Packet::Ping(Ping { version: 4, from, to, expiration, enr_seq: Some(1) })
                    }
                    2 | 3 => Packet::Pong(Pong { to, ping_hash, expiration, enr_seq: Some(1) }),
                    4 => Packet::Neighbors(Neighbors::packets(&some, expiration).next().unwrap()),
                    5 => enr_request(),
                    _ => other.find_node(),
                };
                let bytes = seal(&packet, &other.key, Seal::Clear).unwrap().bytes;
                self.input(Input::Datagram { from: other.address, bytes });
            }
            Step::Rubbish { net, bytes } => {
                let from = other(0, net).address;
                self.input(Input::Datagram { from, bytes: Bytes::from(bytes) });
            }
            Step::AddNode { who, net } => {
                self.input(Input::AddNode { contact: other(who, net).contact() });
            }
            Step::Lookup { target } => {
                let (lookup, target) =
                    (self.machine.next_lookup(), key(u64::from(target)).peer_id());
                self.lookups += 1;
                self.input(Input::Lookup { lookup, target });
            }
            Step::Ping { who, net } => {
                let ping = self.machine.next_ping();
                self.pings += 1;
                self.input(Input::Ping { ping, contact: other(who, net).contact() });
            }
            Step::Clock { unix } => {
                self.input(Input::WallClock { unix: Duration::from_secs(unix) });
            }
            Step::Wait { millis } => self.wait(Duration::from_millis(millis.into())),
        }
        let sizes = self.machine.sizes();
        assert!(sizes.timers <= sizes.bonds + sizes.requests + 3 * sizes.lookups + 2, "{sizes:?}");
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut rounds = 0;
        while let Some(next) = self.machine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.machine.handle_timeout(self.now);
            self.collect();
            rounds += 1;
            assert!(rounds < 20_000, "it does not come to rest");
        }
        self.now = end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Nothing panics, nothing grows, and everything that somebody asked for comes to an end.
    #[test]
    fn any_steps_end_well(steps in prop::collection::vec(steps(), 0..200), seed: u8) {
        let mut config = config();
        config.seal = Seal::Clear;
        config.ip = None;
        config.fetch_records = true;
        config.min_statements = 2;
        config.boot_nodes = vec![other(1, 1).contact()];
        let mut run = Run {
            machine: Discovery::new(config, [seed; 32]),
            now: Instant::from_micros(1),
            hashes: BTreeMap::new(),
            lookups: 0,
            pings: 0,
            done: 0,
        };
        for step in steps {
            run.step(step);
        }
        run.wait(Duration::from_secs(300));
        prop_assert_eq!(run.done, run.lookups + run.pings);
        let sizes = run.machine.sizes();
        prop_assert!(sizes.requests <= 8 && sizes.lookups <= 1, "{:?}", sizes);
    }
}
