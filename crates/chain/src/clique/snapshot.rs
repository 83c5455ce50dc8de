//! [`Snapshot`]: who may sign the child of a block.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

use super::votes::{Tally, Vote, Votes};
use super::{CliqueError, DIFFICULTY_IN_TURN, DIFFICULTY_NO_TURN, NONCE_ADD, NONCE_DROP};

/// The state of the signers behind one block. It follows from the genesis block (or a checkpoint)
/// and the headers since; [`Snapshot::apply`] takes it one block further.
///
/// It changes as go-ethereum's does (v1.13.15, `consensus/clique`), also where EIP-225 leaves the
/// choice: see [`Snapshot::apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    number: u64,
    hash: B256,
    epoch: u64,
    /// In ascending order: the place in it decides the turns.
    signers: Vec<Address>,
    /// Who sealed the last blocks, by block number; no more than `signers.len() / 2 + 1`.
    recents: BTreeMap<u64, Address>,
    /// Shared between the snapshots of blocks that change nothing about them.
    votes: Arc<Votes>,
}

impl Snapshot {
    /// The snapshot behind a block that lists the signers: the genesis block, or a checkpoint
    /// that is known to be right.
    ///
    /// # Errors
    /// When the extra data list no signers, or not in ascending order.
    pub fn from_checkpoint(header: &Header, hash: B256, epoch: u64) -> Result<Self, CliqueError> {
        let signers = super::signers_in_extra_data(&header.extra_data)
            .filter(|signers| !signers.is_empty() && signers.is_sorted_by(|a, b| a < b))
            .ok_or(CliqueError::CheckpointSigners)?;
        let (recents, votes) = (BTreeMap::new(), Arc::default());
        Ok(Self { number: header.number, hash, epoch, signers, recents, votes })
    }

    /// Number of the block that this is the snapshot of.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Hash of the block that this is the snapshot of.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// The signers, in ascending order.
    #[must_use]
    pub fn signers(&self) -> &[Address] {
        &self.signers
    }

    /// Blocks between two checkpoints.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Who sealed the last blocks, by their numbers. The oldest of them may be allowed again.
    #[must_use]
    pub const fn recents(&self) -> &BTreeMap<u64, Address> {
        &self.recents
    }

    /// The votes that count and have not been decided, in the order in which they were cast.
    #[must_use]
    pub fn votes(&self) -> Vec<Vote> {
        self.votes.list()
    }

    /// How many votes count and have not been decided.
    #[must_use]
    pub fn vote_count(&self) -> usize {
        self.votes.len()
    }

    /// The sums of these votes, by the address that they are about.
    #[must_use]
    pub fn tally(&self) -> &BTreeMap<Address, Tally> {
        self.votes.tally()
    }

    /// Whether a vote to add (`authorize`) or to drop this address would change anything.
    #[must_use]
    pub fn is_vote_useful(&self, address: Address, authorize: bool) -> bool {
        self.signers.binary_search(&address).is_ok() != authorize
    }

    /// Of so many blocks in a row, one signer seals at most one (EIP-225, `SIGNER_LIMIT`).
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.signers.len() as u64 / 2 + 1
    }

    /// Whether this signer is in turn for the block with this number.
    #[must_use]
    pub fn in_turn(&self, number: u64, signer: Address) -> bool {
        let turn = number.checked_rem(self.signers.len() as u64);
        let place = self.signers.iter().position(|other| *other == signer);
        place.is_some_and(|place| turn == Some(place as u64))
    }

    /// The difficulty of the block with this number when this signer seals it.
    #[must_use]
    pub fn difficulty(&self, number: u64, signer: Address) -> U256 {
        if self.in_turn(number, signer) { DIFFICULTY_IN_TURN } else { DIFFICULTY_NO_TURN }
    }

    /// Whether `signer` may seal the next block.
    ///
    /// # Errors
    /// [`CliqueError::Unauthorized`] and [`CliqueError::SignedRecently`].
    pub fn authorize(&self, signer: Address) -> Result<(), CliqueError> {
        if self.signers.binary_search(&signer).is_err() {
            return Err(CliqueError::Unauthorized { signer });
        }
        let number = self.number.saturating_add(1);
        let mut recent = self.recents.iter().rev();
        if let Some((last, _)) = recent.find(|(_, recent)| **recent == signer) {
            let next = last.saturating_add(self.limit());
            if number < next {
                return Err(CliqueError::SignedRecently { signer, last: *last, next });
            }
        }
        Ok(())
    }

    /// The snapshot behind `header`, a child of the block of this one that has passed
    /// [`rules::verify`](crate::rules::verify).
    ///
    /// The vote of a block counts at once: when more than half of the signers (of before the
    /// block) agree, the list changes behind this very block. What has become moot is dropped:
    /// votes by somebody who is no signer any more, and all about an address that was decided.
    /// Votes that would have passed because the list grew shorter pass when the address is voted
    /// on the next time. A vote that could not change anything is no error.
    ///
    /// # Errors
    /// When its seal is wrong, or it is not the turn that it says it is.
    pub fn apply(&self, header: &Header, hash: B256) -> Result<Self, CliqueError> {
        let number = header.number;
        let signer = super::signer(header)?;
        self.authorize(signer)?;
        let (found, expected) = (header.difficulty, self.difficulty(number, signer));
        if found != expected {
            return Err(CliqueError::Turn { found, expected });
        }
        let checkpoint = super::is_checkpoint(number, self.epoch);
        if checkpoint {
            let listed = super::signers_in_extra_data(&header.extra_data);
            if listed.as_deref() != Some(&self.signers) {
                return Err(CliqueError::CheckpointSigners);
            }
        }
        let authorize = match header.nonce {
            NONCE_ADD => true,
            NONCE_DROP => false,
            other => return Err(CliqueError::Nonce(other)),
        };
        let mut next = Self { number, hash, ..self.clone() };
        if checkpoint {
            next.votes = Arc::default();
        }
        next.forget_recents();
        next.recents.insert(number, signer);
        next.vote(Vote { signer, block: number, address: header.beneficiary, authorize });
        Ok(next)
    }

    /// The block `number - limit` and those before it no longer keep anybody from sealing.
    fn forget_recents(&mut self) {
        if let Some(forgotten) = self.number.checked_sub(self.limit()) {
            self.recents = self.recents.split_off(&forgotten.saturating_add(1));
        }
    }

    /// Counts what a block says, and carries out what has been decided by it.
    fn vote(&mut self, vote: Vote) {
        let Vote { signer, address, authorize, .. } = vote;
        if self.is_vote_useful(address, authorize) {
            Arc::make_mut(&mut self.votes).cast(vote);
        } else if self.votes.has(signer, address) {
            Arc::make_mut(&mut self.votes).withdraw(signer, address);
        }
        let Some(tally) = self.votes.tally().get(&address).copied() else { return };
        if tally.votes <= self.signers.len() as u64 / 2 {
            return;
        }
        match self.signers.binary_search(&address) {
            Err(place) => self.signers.insert(place, address),
            Ok(place) => {
                self.signers.remove(place);
                self.forget_recents();
                Arc::make_mut(&mut self.votes).withdraw_all(address);
            }
        }
        Arc::make_mut(&mut self.votes).settle(address);
    }

    pub(crate) fn to_rlp(&self) -> Vec<u8> {
        let vote = |vote: Vote| StoredVote {
            signer: vote.signer,
            block: vote.block,
            address: vote.address,
            authorize: vote.authorize,
        };
        alloy_rlp::encode(Stored {
            number: self.number,
            hash: self.hash,
            signers: self.signers.clone(),
            recents: self.recents.iter().map(|(n, who)| Recent { number: *n, who: *who }).collect(),
            votes: self.votes.list().into_iter().map(vote).collect(),
        })
    }

    pub(crate) fn from_rlp(rlp: &[u8], epoch: u64) -> Result<Self, alloy_rlp::Error> {
        let stored: Stored = alloy_rlp::decode_exact(rlp)?;
        let recents = stored.recents.into_iter().map(|recent| (recent.number, recent.who));
        let votes = stored.votes.into_iter().map(|vote| Vote {
            signer: vote.signer,
            block: vote.block,
            address: vote.address,
            authorize: vote.authorize,
        });
        Ok(Self {
            number: stored.number,
            hash: stored.hash,
            epoch,
            signers: stored.signers,
            recents: recents.collect(),
            votes: Arc::new(Votes::from_list(votes)),
        })
    }
}

/// A snapshot on disk.
#[derive(RlpEncodable, RlpDecodable)]
struct Stored {
    number: u64,
    hash: B256,
    signers: Vec<Address>,
    recents: Vec<Recent>,
    votes: Vec<StoredVote>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct Recent {
    number: u64,
    who: Address,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredVote {
    signer: Address,
    block: u64,
    address: Address,
    authorize: bool,
}
