//! [`Snapshot`]: who may sign the child of a block.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

use super::{CliqueError, DIFFICULTY_IN_TURN, DIFFICULTY_NO_TURN};

/// The state of the signers behind one block. It follows from the genesis block (or a checkpoint)
/// and the headers since; [`Snapshot::apply`] takes it one block further.
///
/// Votes are not counted yet: the signers stay those of the genesis block, and a checkpoint that
/// lists others is refused. Counting needs one more field here, and one more step in `apply`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    number: u64,
    hash: B256,
    epoch: u64,
    /// In ascending order: the place in it decides the turns.
    signers: Vec<Address>,
    /// Who sealed the last blocks, by block number; no more than `signers.len() / 2`.
    recents: BTreeMap<u64, Address>,
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
        Ok(Self { number: header.number, hash, epoch, signers, recents: BTreeMap::new() })
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
        if super::is_checkpoint(number, self.epoch) {
            let listed = super::signers_in_extra_data(&header.extra_data);
            if listed.as_deref() != Some(&self.signers) {
                return Err(CliqueError::CheckpointSigners);
            }
        }
        let mut next = self.clone();
        next.recents.insert(number, signer);
        let first = number.saturating_sub(self.limit().saturating_sub(2));
        next.recents = next.recents.split_off(&first);
        if self.limit() < 2 {
            next.recents.clear();
        }
        Ok(Self { number, hash, ..next })
    }

    pub(crate) fn to_rlp(&self) -> Vec<u8> {
        alloy_rlp::encode(Stored {
            number: self.number,
            hash: self.hash,
            signers: self.signers.clone(),
            recents: self.recents.iter().map(|(n, who)| Recent { number: *n, who: *who }).collect(),
        })
    }

    pub(crate) fn from_rlp(rlp: &[u8], epoch: u64) -> Result<Self, alloy_rlp::Error> {
        let stored: Stored = alloy_rlp::decode_exact(rlp)?;
        let recents = stored.recents.into_iter().map(|recent| (recent.number, recent.who));
        Ok(Self {
            number: stored.number,
            hash: stored.hash,
            epoch,
            signers: stored.signers,
            recents: recents.collect(),
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
}

#[derive(RlpEncodable, RlpDecodable)]
struct Recent {
    number: u64,
    who: Address,
}
