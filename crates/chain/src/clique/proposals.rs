//! [`Proposals`]: what this node will vote for, when it seals a block.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::Address;

use super::Snapshot;

/// Proposals at most. One vote fits into a block, so that a longer list would hardly be voted on.
pub const MAX_PROPOSALS: usize = 1_000;

/// The list of proposals is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {MAX_PROPOSALS} proposals already: discard one first")]
pub struct TooManyProposals;

/// What the operator of this node wants with the signers. Copies share the same list. It is kept
/// in memory only, as in go-ethereum, and a proposal stays there until it is discarded, also when
/// it was carried out: then it is passed over until it would change something again.
#[derive(Debug, Clone, Default)]
pub struct Proposals(Arc<Mutex<BTreeMap<Address, bool>>>);

impl Proposals {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Address, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Votes from now on to add this address (`authorize`), or to drop it.
    ///
    /// # Errors
    /// When there are [`MAX_PROPOSALS`] about other addresses.
    pub fn propose(&self, address: Address, authorize: bool) -> Result<(), TooManyProposals> {
        let mut list = self.lock();
        if list.len() >= MAX_PROPOSALS && !list.contains_key(&address) {
            return Err(TooManyProposals);
        }
        list.insert(address, authorize);
        Ok(())
    }

    /// Votes no more about this address; what it has voted stays cast. Returns whether there was a
    /// proposal.
    #[must_use = "whether there was one"]
    pub fn discard(&self, address: Address) -> bool {
        self.lock().remove(&address).is_some()
    }

    /// All of them: address, and whether it is to be added.
    #[must_use]
    pub fn list(&self) -> BTreeMap<Address, bool> {
        self.lock().clone()
    }

    /// One of those that would change something behind this snapshot, by `chance`: any number will
    /// do, and all of them are as likely as one another if it is random.
    #[must_use]
    pub fn choose(&self, snapshot: &Snapshot, chance: u64) -> Option<(Address, bool)> {
        let list = self.lock();
        let useful = || list.iter().filter(|(who, add)| snapshot.is_vote_useful(**who, **add));
        let place = chance.checked_rem(useful().count() as u64)?;
        useful().nth(usize::try_from(place).ok()?).map(|(who, add)| (*who, *add))
    }
}
