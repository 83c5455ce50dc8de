//! [`Votes`]: what the signers have said about each other since the last checkpoint.

use std::collections::BTreeMap;

use alloy_primitives::Address;

/// What one signer wants with one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// Who voted.
    pub signer: Address,
    /// The block that the vote stands in.
    pub block: u64,
    /// Whom it is about.
    pub address: Address,
    /// Whether that one is to become a signer, or to be one no longer.
    pub authorize: bool,
}

/// How many signers want the same with one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Whether the address is to become a signer, or to be one no longer.
    pub authorize: bool,
    /// Signers that want it.
    pub votes: u64,
}

/// The votes that count, and their sums. All votes about one address want the same: whoever is a
/// signer can only be dropped, and whoever is none can only be added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Votes {
    /// By the address that they are about, and by who cast them: one signer has one vote about
    /// one address.
    cast: BTreeMap<(Address, Address), Cast>,
    tally: BTreeMap<Address, Tally>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cast {
    block: u64,
    authorize: bool,
}

impl Votes {
    pub(super) fn len(&self) -> usize {
        self.cast.len()
    }

    pub(super) const fn tally(&self) -> &BTreeMap<Address, Tally> {
        &self.tally
    }

    /// In the order in which they were cast.
    pub(super) fn list(&self) -> Vec<Vote> {
        let vote = |(&(address, signer), cast): (&(Address, Address), &Cast)| Vote {
            signer,
            block: cast.block,
            address,
            authorize: cast.authorize,
        };
        let mut list: Vec<Vote> = self.cast.iter().map(vote).collect();
        list.sort_by_key(|vote| vote.block);
        list
    }

    pub(super) fn from_list(list: impl IntoIterator<Item = Vote>) -> Self {
        let mut votes = Self::default();
        for vote in list {
            votes.cast(vote);
        }
        votes
    }

    /// Whether this signer's vote about this address counts now.
    pub(super) fn has(&self, signer: Address, address: Address) -> bool {
        self.cast.contains_key(&(address, signer))
    }

    /// Counts a vote in the place of the one that the same signer may have cast about the same
    /// address.
    pub(super) fn cast(&mut self, vote: Vote) {
        let Vote { signer, block, address, authorize } = vote;
        self.withdraw(signer, address);
        self.cast.insert((address, signer), Cast { block, authorize });
        self.tally.entry(address).or_insert(Tally { authorize, votes: 0 }).votes += 1;
    }

    /// Takes back what this signer said about this address.
    pub(super) fn withdraw(&mut self, signer: Address, address: Address) {
        if self.cast.remove(&(address, signer)).is_none() {
            return;
        }
        if let Some(tally) = self.tally.get_mut(&address) {
            tally.votes -= 1;
            if tally.votes == 0 {
                self.tally.remove(&address);
            }
        }
    }

    /// Takes back everything that this signer said.
    pub(super) fn withdraw_all(&mut self, signer: Address) {
        let keys = self.cast.keys().filter(|(_, who)| *who == signer);
        let about: Vec<Address> = keys.map(|(address, _)| *address).collect();
        for address in about {
            self.withdraw(signer, address);
        }
    }

    /// Forgets what was said about this address.
    pub(super) fn settle(&mut self, address: Address) {
        self.cast.retain(|(about, _), _| *about != address);
        self.tally.remove(&address);
    }
}
