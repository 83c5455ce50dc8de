//! Votes on signers: the cases that go-ethereum's clique is known to be tested with, in a notation
//! of our own, and random histories against a model that remembers everything.
//!
//! Signers and candidates are called `A`, `B`, … A step is a block: who seals it, and `+X` or `-X`
//! for a vote to add or to drop somebody.

use std::collections::BTreeSet;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256};
use chainmesh_chain::clique::{self, CliqueError, Snapshot, Vote};
use proptest::prelude::*;

use crate::common::key;

fn address(name: char) -> Address {
    clique::address(&key(name as u8).public_key())
}

/// `A` for the address of A.
fn name(of: Address) -> char {
    ('A'..='Z').find(|name| address(*name) == of).expect("one of those with a name")
}

fn sorted(names: &str) -> Vec<Address> {
    let signers: BTreeSet<Address> = names.chars().map(address).collect();
    signers.into_iter().collect()
}

fn extra_data(signers: &[Address]) -> Vec<u8> {
    let mut extra = vec![0; clique::VANITY_LENGTH];
    extra.extend(signers.iter().flat_map(|signer| signer.0.0));
    extra.extend([0; clique::SEAL_LENGTH]);
    extra
}

fn genesis(signers: &str, epoch: u64) -> Snapshot {
    let header = Header { extra_data: extra_data(&sorted(signers)).into(), ..Header::default() };
    Snapshot::from_checkpoint(&header, header.hash_slow(), epoch).expect("genesis")
}

/// The block behind `snapshot` that `signer` seals, with a vote in it; a checkpoint lists the
/// signers and has no vote.
fn block(snapshot: &Snapshot, signer: char, vote: Option<(Address, bool)>) -> Header {
    let number = snapshot.number() + 1;
    let checkpoint = clique::is_checkpoint(number, snapshot.epoch());
    let (beneficiary, add) = vote.filter(|_| !checkpoint).unwrap_or_default();
    let mut header = Header {
        parent_hash: snapshot.hash(),
        number,
        beneficiary,
        nonce: if add { clique::NONCE_ADD } else { clique::NONCE_DROP },
        difficulty: snapshot.difficulty(number, address(signer)),
        extra_data: extra_data(if checkpoint { snapshot.signers() } else { &[] }).into(),
        ..Header::default()
    };
    clique::seal(&mut header, &key(signer as u8)).expect("seal");
    header
}

fn apply(
    snapshot: &Snapshot,
    signer: char,
    vote: Option<(Address, bool)>,
) -> Result<Snapshot, CliqueError> {
    let header = block(snapshot, signer, vote);
    snapshot.apply(&header, header.hash_slow())
}

/// Plays the steps; the names of the signers at the end, or the error of the last step.
fn play(epoch: u64, signers: &str, steps: &str) -> Result<String, CliqueError> {
    let mut snapshot = genesis(signers, epoch);
    let mut steps = steps.split_whitespace().peekable();
    while let Some(step) = steps.next() {
        let mut letters = step.chars();
        let signer = letters.next().expect("a signer");
        let vote = letters.next().map(|sign| {
            let whom = address(letters.next().expect("whom"));
            (whom, sign == '+')
        });
        snapshot = match apply(&snapshot, signer, vote) {
            Ok(next) => next,
            Err(error) => {
                assert_eq!(steps.peek(), None, "{step} was refused: {error}");
                return Err(error);
            }
        };
    }
    let names: BTreeSet<char> = snapshot.signers().iter().copied().map(name).collect();
    Ok(names.into_iter().collect())
}

/// What the steps are about, the signers at the start, the steps, and the signers at the end.
const SCENARIOS: &[(&str, &str, &str, &str)] = &[
    ("one signer, no vote", "A", "A", "A"),
    ("one signer adds two: the second needs both", "A", "A+B B A+C", "AB"),
    (
        "two add two, and three votes are needed for the fifth",
        "AB",
        "A+C B+C A+D B+D C A+E B+E",
        "ABCD",
    ),
    ("the only signer leaves, and nobody is left", "A", "A-A", ""),
    ("two signers: one alone drops nobody", "AB", "A-B", "AB"),
    ("two signers: both together, the dropped one among them", "AB", "A-B B-B", "A"),
    ("two of three drop the third", "ABC", "A-C B-C", "AB"),
    ("two of four are no majority", "ABCD", "A-C B-C", "ABCD"),
    ("three of four are", "ABCD", "A-D B-D C-D", "ABC"),
    ("to repeat a vote to add does not count twice", "AB", "A+C B A+C B A+C", "AB"),
    ("votes on several at once, in any order", "AB", "A+C B A+D B A B+D A B+C", "ABCD"),
    ("to repeat a vote to drop does not count twice", "AB", "A-B B A-B B A-B", "AB"),
    ("dropping several at once", "ABCD", "A-C B C A-D B C A B-D C-D A B-C", "AB"),
    ("who is dropped takes its votes to drop along", "ABC", "C-B A-C B-C A-B", "AB"),
    ("who is dropped takes its votes to add along", "ABC", "C+D A-C B-C A+D", "AB"),
    (
        "a vote that passes because the list grew shorter waits until it is touched",
        "ABCD",
        "A-C B C A-D B-C C A B-D C-D",
        "ABC",
    ),
    (
        "being touched, even by a vote that counts for nothing, it passes",
        "ABCD",
        "A-C B C A-D B-C C A B-D C-D A C+C",
        "AB",
    ),
    (
        "being touched by a voter who changed its mind, it does not pass",
        "ABCD",
        "A-C B C A-D B-C C A B-D C-D A B+C",
        "ABC",
    ),
    (
        "votes of before an address came and went do not count when it comes again",
        "ABCDE",
        "A+F B+F C+F D-F E-F B-F C-F D+F E+F B-A C-A D-A B+F",
        "BCDEF",
    ),
    (
        "the limit grows with the list: A may seal again two blocks later",
        "AB",
        "A+C B+C C A",
        "ABC",
    ),
    ("a vote to add who is a signer, and to drop who is none", "ABC", "A+B B-D C+A A+C", "ABC"),
];

#[test]
fn scenarios_of_votes() {
    for (what, signers, steps, expected) in SCENARIOS {
        assert_eq!(play(100, signers, steps).as_deref(), Ok(*expected), "{what}");
    }
}

#[test]
fn a_checkpoint_ends_all_votes() {
    assert_eq!(play(100, "AB", "A+C B A B+C").as_deref(), Ok("ABC"));
    assert_eq!(play(3, "AB", "A+C B A B+C").as_deref(), Ok("AB"));
}

#[test]
fn who_may_not_seal() {
    let unauthorized = CliqueError::Unauthorized { signer: address('B') };
    assert_eq!(play(100, "A", "B"), Err(unauthorized));
    let recently = |signer, last, next| {
        Err(CliqueError::SignedRecently { signer: address(signer), last, next })
    };
    assert_eq!(play(100, "AB", "A A"), recently('A', 1, 3));
    // A checkpoint does not make anybody forget who sealed the last blocks.
    assert_eq!(play(3, "ABC", "A B A A"), recently('A', 3, 5));
    // In the first blocks, too, where "number - limit" is below 0.
    assert_eq!(play(100, "ABCDE", "A A"), recently('A', 1, 4));
    assert_eq!(play(100, "ABCDE", "A B A"), recently('A', 1, 4));
    // Dropped, and at once a stranger.
    let dropped = CliqueError::Unauthorized { signer: address('C') };
    assert_eq!(play(100, "ABC", "A-C B-C C"), Err(dropped));
    // The list grew from 3 to 4 in block 2: of three blocks in a row one may seal one.
    assert_eq!(play(100, "ABC", "A+D B+D A"), recently('A', 1, 4));
    assert_eq!(play(100, "ABC", "A B A").as_deref(), Ok("ABC"));
    // The list shrank from 4 to 3 in block 3: of two.
    assert_eq!(play(100, "ABCD", "A-D B-D C-D B").as_deref(), Ok("ABC"));
    assert_eq!(play(100, "ABCD", "A B C B"), recently('B', 2, 5));
}

/// The zero address stands in each block without a vote; to add it is a vote like any other, and
/// the next block without one takes it back.
#[test]
fn the_zero_address_is_an_address() {
    let start = genesis("AB", 100);
    let one = apply(&start, 'A', Some((Address::ZERO, true))).expect("a vote");
    assert_eq!(one.tally().get(&Address::ZERO).map(|tally| tally.votes), Some(1));
    let two = apply(&one, 'B', None).expect("no vote");
    assert_eq!(two.vote_count(), 1);
    let three = apply(&two, 'A', None).expect("no vote");
    assert_eq!((three.vote_count(), three.tally().len()), (0, 0));
    let both = apply(&two, 'A', Some((Address::ZERO, true))).expect("again");
    let both = apply(&both, 'B', Some((Address::ZERO, true))).expect("a vote");
    assert_eq!(both.signers().first(), Some(&Address::ZERO));
    // From then on a block without a vote is one to drop it.
    let dropping = apply(&both, 'A', None).expect("no vote");
    assert_eq!(dropping.vote_count(), 1);
    let dropped = apply(&dropping, 'B', None).expect("no vote");
    assert_eq!(dropped.signers(), start.signers());
}

#[test]
fn votes_and_their_sums_can_be_seen() {
    let mut snapshot = genesis("ABC", 100);
    for (signer, vote) in [('B', ('D', true)), ('A', ('C', false)), ('C', ('D', true))] {
        let vote = Some((address(vote.0), vote.1));
        if signer == 'C' {
            assert_eq!(snapshot.votes().len(), 2);
            let tally = snapshot.tally().get(&address('D')).expect("sum");
            assert_eq!((tally.authorize, tally.votes), (true, 1));
            let first =
                Vote { signer: address('B'), block: 1, address: address('D'), authorize: true };
            let second =
                Vote { signer: address('A'), block: 2, address: address('C'), authorize: false };
            assert_eq!(snapshot.votes(), [first, second]);
        }
        snapshot = apply(&snapshot, signer, vote).expect("block");
    }
    assert_eq!(snapshot.signers(), sorted("ABCD"));
    assert_eq!(snapshot.votes().len(), 1);
    let sealed: Vec<(u64, char)> =
        snapshot.recents().iter().map(|(number, who)| (*number, name(*who))).collect();
    assert_eq!(sealed, [(2, 'A'), (3, 'C')]);
}

/// Everything that ever happened; what follows from it is worked out anew each time.
struct Model {
    epoch: u64,
    signers: BTreeSet<Address>,
    /// The votes that stand, oldest first.
    votes: Vec<Vote>,
    /// Who sealed each block, from block 1 on.
    sealed: Vec<Address>,
}

impl Model {
    fn replay(epoch: u64, signers: &str, history: &[(Address, Address, bool)]) -> Option<Self> {
        let signers = sorted(signers).into_iter().collect();
        let mut model = Self { epoch, signers, votes: Vec::new(), sealed: Vec::new() };
        history.iter().try_for_each(|block| model.block(*block)).map(|()| model)
    }

    fn count(&self, address: Address) -> usize {
        self.votes.iter().filter(|vote| vote.address == address).count()
    }

    fn block(&mut self, (signer, address, authorize): (Address, Address, bool)) -> Option<()> {
        let majority = self.signers.len() / 2 + 1;
        let of_late = self.sealed.iter().rev().take(majority - 1);
        if !self.signers.contains(&signer) || of_late.copied().any(|who| who == signer) {
            return None;
        }
        self.sealed.push(signer);
        let block = self.sealed.len() as u64;
        if block.is_multiple_of(self.epoch) {
            self.votes.clear();
        }
        self.votes.retain(|vote| (vote.signer, vote.address) != (signer, address));
        if self.signers.contains(&address) != authorize {
            self.votes.push(Vote { signer, block, address, authorize });
        }
        if self.count(address) >= majority {
            if !self.signers.remove(&address) {
                self.signers.insert(address);
            }
            let signers = self.signers.clone();
            self.votes.retain(|vote| vote.address != address && signers.contains(&vote.signer));
        }
        Some(())
    }
}

#[derive(Debug, Clone)]
struct Step {
    signer: usize,
    /// Whom the vote is about, and what it wants; nobody for no vote.
    vote: Option<(usize, bool)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Votes that want the same again and again, so that some pass.
    let vote = proptest::option::weighted(0.8, (0..7_usize, any::<bool>()));
    let step = (0..6_usize, vote).prop_map(|(signer, vote)| Step { signer, vote });
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Block by block the same as a replay of the whole history, refusals included.
    #[test]
    fn a_snapshot_is_what_all_headers_make(
        steps in steps(),
        count in 1..5_usize,
        epoch in 4..40_u64,
    ) {
        const NAMES: &str = "ABCDEF";
        let who = |n: usize| NAMES.chars().nth(n);
        let start = &NAMES[..count];
        let mut snapshot = genesis(start, epoch);
        let mut history = Vec::new();
        for step in &steps {
            let signer = who(step.signer).expect("a name");
            let vote = step.vote.map(|(n, add)| (who(n).map_or(Address::ZERO, address), add));
            let header = block(&snapshot, signer, vote);
            let authorize = header.nonce == clique::NONCE_ADD;
            history.push((address(signer), header.beneficiary, authorize));
            let next = snapshot.apply(&header, header.hash_slow());
            let Some(model) = Model::replay(epoch, start, &history) else {
                prop_assert!(next.is_err());
                history.pop();
                continue;
            };
            snapshot = next.expect("the model takes it");
            let signers: Vec<Address> = model.signers.iter().copied().collect();
            prop_assert_eq!(snapshot.signers(), signers);
            prop_assert_eq!(snapshot.votes(), model.votes.clone());
            for (address, tally) in snapshot.tally() {
                prop_assert_eq!(tally.votes as usize, model.count(*address));
            }
            let sums: u64 = snapshot.tally().values().map(|tally| tally.votes).sum();
            prop_assert_eq!(sums as usize, model.votes.len());
            for (number, who) in snapshot.recents() {
                prop_assert_eq!(model.sealed[*number as usize - 1], *who);
            }
        }
    }
}

/// A header that is none of the two votes is refused by itself.
#[test]
fn a_nonce_is_one_of_two() {
    let snapshot = genesis("A", 100);
    let mut header = block(&snapshot, 'A', None);
    header.nonce = alloy_primitives::B64::repeat_byte(1);
    clique::seal(&mut header, &key(b'A')).expect("seal");
    let refused = snapshot.apply(&header, B256::ZERO);
    assert_eq!(refused, Err(CliqueError::Nonce(header.nonce)));
}
