//! Whatever happens in whatever order: nothing is asked of two peers at a time, every batch comes
//! back once, and nothing is left when everybody is gone.

use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PEERS: u8 = 4;

#[derive(Debug, Clone)]
enum Step {
    Connect(u8),
    Disconnect(u8),
    Announce(u8, Vec<u32>),
    Receive(u8, Vec<u32>),
    /// The peer answers its request with every n-th of what was asked for.
    Answer(u8, usize),
    Judge(Verdict),
    Pending(Vec<u32>),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let some = || proptest::collection::vec(0_u32..30, 0..8);
    let verdict = prop_oneof![
        4 => Just(Verdict::Added),
        1 => Just(Verdict::Known),
        2 => Just(Verdict::Refused),
        1 => Just(Verdict::Malformed),
    ];
    prop_oneof![
        (0..PEERS).prop_map(Step::Connect),
        (0..PEERS).prop_map(Step::Disconnect),
        ((0..PEERS), some()).prop_map(|(peer, some)| Step::Announce(peer, some)),
        ((0..PEERS), some()).prop_map(|(peer, some)| Step::Receive(peer, some)),
        ((0..PEERS), 1_usize..4).prop_map(|(peer, every)| Step::Answer(peer, every)),
        verdict.prop_map(Step::Judge),
        some().prop_map(Step::Pending),
        (0_u64..10_000).prop_map(Step::Pass),
    ]
}

/// What the driver knows.
#[derive(Default)]
struct Model {
    /// Requests that wait for an answer: since when, and what for.
    asked: BTreeMap<PeerId, (Instant, FetchToken, Vec<B256>)>,
    /// What the pool is checking: who sent it.
    checking: Vec<(PeerId, B256)>,
    open_batches: Vec<BatchId>,
}

impl Model {
    /// A transaction is here: if it is asked for again, it was dropped in between.
    fn arrived(&mut self, hash: &B256) {
        for (_, _, hashes) in self.asked.values_mut() {
            hashes.retain(|other| other != hash);
        }
    }

    fn take(&mut self, now: Instant, outputs: Vec<GossipOutput>) {
        for output in outputs {
            match output {
                GossipOutput::Request { peer, token, hashes } => {
                    assert!(!hashes.is_empty());
                    for (since, _, others) in self.asked.values() {
                        let late = now.saturating_since(*since) >= limits::FETCH_TIMEOUT;
                        let both = others.iter().any(|hash| hashes.contains(hash));
                        assert!(late || !both, "asked of two peers at a time");
                    }
                    self.asked.insert(peer, (now, token, hashes));
                }
                GossipOutput::Check { peer, batch, transactions } => {
                    let place = self.open_batches.iter().position(|open| *open == batch);
                    self.open_batches.remove(place.expect("each batch comes back once"));
                    for one in transactions {
                        assert!(!self.checking.iter().any(|(_, hash)| *hash == one.hash));
                        self.checking.push((peer, one.hash));
                        self.arrived(&one.hash);
                    }
                }
                GossipOutput::Fault { peer, .. } => {
                    self.asked.remove(&peer);
                }
                GossipOutput::Send { peers, .. } | GossipOutput::Announce { peers, .. } => {
                    assert!(!peers.is_empty());
                }
            }
        }
    }
}

fn play(test: &mut Test, model: &mut Model, step: Step) {
    let all = |some: Vec<u32>| some.into_iter().map(transaction).collect::<Vec<_>>();
    let outputs = match step {
        Step::Connect(number) => {
            model.asked.remove(&peer(number));
            test.handle(GossipInput::PeerConnected { peer: peer(number), offered: Vec::new() })
        }
        Step::Disconnect(number) => {
            model.asked.remove(&peer(number));
            test.handle(GossipInput::PeerDisconnected { peer: peer(number) })
        }
        Step::Announce(number, some) => test.announce(number, &all(some)),
        Step::Receive(number, some) => {
            model.open_batches.push(BatchId(test.batches + 1));
            test.receive(number, &all(some))
        }
        Step::Answer(number, every) => {
            let Some((_, token, wanted)) = model.asked.remove(&peer(number)) else { return };
            let have: Vec<_> = (0..30).map(transaction).collect();
            let found: Vec<_> = wanted
                .iter()
                .step_by(every)
                .filter_map(|hash| have.iter().find(|one| one.hash == *hash).cloned())
                .collect();
            model.open_batches.push(BatchId(test.batches + 1));
            test.answer(number, token, &found)
        }
        Step::Judge(verdict) => {
            let Some((from, hash)) = model.checking.pop() else { return };
            let verdicts = vec![(hash, verdict)];
            test.handle(GossipInput::Checked { peer: from, verdicts })
        }
        Step::Pending(some) => {
            let pending: Vec<_> = some.into_iter().map(|number| pooled(number, 1, 100)).collect();
            pending.iter().for_each(|one| model.arrived(&one.hash));
            test.handle(GossipInput::Pending(pending))
        }
        Step::Pass(millis) => {
            // Moment by moment: when something was asked for matters.
            let end = test.now + Duration::from_millis(millis);
            while let Some(due) = test.gossip.poll_timeout().filter(|due| *due <= end) {
                let outputs = test.pass(due.saturating_since(test.now));
                model.take(test.now, outputs);
            }
            test.pass(end.saturating_since(test.now))
        }
    };
    model.take(test.now, outputs);
    assert_eq!(model.open_batches, []);
}

proptest! {
    #[test]
    fn gossip_keeps_its_promises(steps in proptest::collection::vec(step(), 0..120)) {
        let mut test = Test::with_peers(PEERS);
        let mut model = Model::default();
        for step in steps {
            play(&mut test, &mut model, step);
        }
        for number in 0..PEERS {
            play(&mut test, &mut model, Step::Disconnect(number));
        }
        while !model.checking.is_empty() {
            play(&mut test, &mut model, Step::Judge(Verdict::Added));
        }
        let left = test.gossip.snapshot();
        prop_assert_eq!((left.peers, left.wanted, left.requests, left.checking), (0, 0, 0, 0));
        prop_assert_eq!(test.gossip.poll_timeout(), None);
    }
}
