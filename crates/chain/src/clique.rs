//! Proof of authority as in EIP-225 ("clique"): known signers take turns to seal blocks.
//!
//! The extra data of a header are `vanity (32) ‖ seal (65)`, and in block 0 and in each block of
//! number `epoch`, `2 * epoch`, … (a checkpoint) `vanity (32) ‖ signers (20 each) ‖ seal (65)`.
//! The seal is `r ‖ s ‖ recovery id` over [`seal_hash`].
//!
//! Who may sign is the question of a [`Snapshot`]; what this node votes for stands in its
//! [`Proposals`], and a [`CliqueHandle`] is what operators look at and steer it with.
//!
//! go-ethereum's clique ends with London: it refuses headers of Shanghai and later. Networks of
//! chainmesh nodes alone may go on to Osaka: withdrawals are empty then, and the root of the beacon
//! chain, which there is none of, is zero.

mod handle;
mod proposals;
mod snapshot;
mod votes;

use alloy_consensus::Header;
use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy_primitives::{Address, B64, B256, U256, keccak256};
use alloy_rlp::Encodable;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};

use crate::ChainSpec;

pub use handle::{CliqueHandle, CliqueStatus, HandleError, ValidatorState};
pub use proposals::{MAX_PROPOSALS, Proposals, TooManyProposals};
pub use snapshot::Snapshot;
pub use votes::{Tally, Vote};

/// Bytes of extra data in front of everything else, for the signer to write what it likes.
pub const VANITY_LENGTH: usize = 32;

/// Bytes of the seal, at the end of the extra data.
pub const SEAL_LENGTH: usize = 65;

/// Blocks between two checkpoints when the genesis does not say (EIP-225, `EPOCH_LENGTH`).
pub const DEFAULT_EPOCH: u64 = 30_000;

/// Difficulty of a block whose signer is in turn (EIP-225, `DIFF_INTURN`).
pub const DIFFICULTY_IN_TURN: U256 = U256::from_limbs([2, 0, 0, 0]);

/// Difficulty of a block whose signer is not in turn (EIP-225, `DIFF_NOTURN`).
pub const DIFFICULTY_NO_TURN: U256 = U256::from_limbs([1, 0, 0, 0]);

/// Nonce of a vote to add a signer (EIP-225, `NONCE_AUTH`).
pub const NONCE_ADD: B64 = B64::new([0xff; 8]);

/// Nonce of a vote to drop a signer, and of no vote (EIP-225, `NONCE_DROP`).
pub const NONCE_DROP: B64 = B64::ZERO;

/// The rule of clique that a block breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CliqueError {
    /// There is no room for vanity and seal.
    #[error("the extra data have {length} bytes, a clique header has at least 97")]
    ExtraDataTooShort {
        /// Bytes.
        length: usize,
    },
    /// Signers stand in a block that is no checkpoint.
    #[error("the extra data have {length} bytes, a block between two checkpoints has 97")]
    SignersOutsideCheckpoint {
        /// Bytes.
        length: usize,
    },
    /// What stands between vanity and seal of a checkpoint is not the list of signers.
    #[error("the checkpoint does not list the signers of the network")]
    CheckpointSigners,
    /// A checkpoint votes.
    #[error("a checkpoint casts no vote: its beneficiary and its nonce must be 0")]
    VoteInCheckpoint,
    /// The nonce is neither of the two that there are.
    #[error("the nonce is {0}, it must be 0x0000000000000000 or 0xffffffffffffffff")]
    Nonce(B64),
    /// The mix digest is not 0.
    #[error("the mix hash must be 0")]
    MixHash,
    /// The block has ommers.
    #[error("a clique block has no ommers")]
    Ommers,
    /// The difficulty is neither 1 nor 2.
    #[error("the difficulty is {0}, it must be 1 or 2")]
    Difficulty(U256),
    /// The difficulty does not say whether the signer is in turn.
    #[error("the difficulty is {found}, for this signer and block it must be {expected}")]
    Turn {
        /// In the header.
        found: U256,
        /// By the rules.
        expected: U256,
    },
    /// The seal is no signature.
    #[error("the seal is not a valid signature")]
    Seal,
    /// The signer is not one of the network's.
    #[error("{signer} sealed the block and is no signer of this network")]
    Unauthorized {
        /// Who sealed the block.
        signer: Address,
    },
    /// The signer sealed one of the last blocks already.
    #[error("{signer} sealed block {last}, and may not seal another before block {next}")]
    SignedRecently {
        /// Who sealed the block.
        signer: Address,
        /// The earlier block.
        last: u64,
        /// The first block that it may seal again.
        next: u64,
    },
    /// The block has withdrawals, and nobody stakes anything in a clique network.
    #[error("a clique block has no withdrawals")]
    Withdrawals,
    /// The block names a block of a beacon chain, and there is none.
    #[error("the parent beacon block root must be 0")]
    BeaconRoot,
    /// A fork that is not known here.
    #[error("clique knows no {0} fork")]
    Fork(&'static str),
}

/// What the signer signs: keccak256 of the header's RLP without the seal in the extra data.
///
/// # Errors
/// When the extra data are too short to have a seal.
pub fn seal_hash(header: &Header) -> Result<B256, CliqueError> {
    let (unsealed, _) = split_seal(header)?;
    let mut without = header.clone();
    without.extra_data = unsealed.to_vec().into();
    let mut rlp = Vec::with_capacity(without.length());
    without.encode(&mut rlp);
    Ok(keccak256(&rlp))
}

/// Seals a header whose extra data end with room for the seal.
///
/// # Errors
/// When the extra data are too short to have a seal.
pub fn seal(header: &mut Header, key: &SecretKey) -> Result<(), CliqueError> {
    let message = Message::from_digest(seal_hash(header)?.0);
    let signature = RecoverableSignature::sign_ecdsa_recoverable(message, key);
    let (id, compact) = signature.serialize_compact();
    let (unsealed, _) = split_seal(header)?;
    header.extra_data = [unsealed, &compact, &[id.to_u8()]].concat().into();
    Ok(())
}

/// Who sealed a header.
///
/// # Errors
/// When there is no seal, or it is not a signature with a recovery id of 0 or 1.
pub fn signer(header: &Header) -> Result<Address, CliqueError> {
    let (_, seal) = split_seal(header)?;
    let (id, compact) = seal.split_last().ok_or(CliqueError::Seal)?;
    let id = match id {
        0 => RecoveryId::Zero,
        1 => RecoveryId::One,
        _ => return Err(CliqueError::Seal),
    };
    let message = Message::from_digest(seal_hash(header)?.0);
    let key = RecoverableSignature::from_compact(compact, id)
        .and_then(|signature| signature.recover_ecdsa(message))
        .map_err(|_| CliqueError::Seal)?;
    Ok(address(&key))
}

/// The address of a public key: the last 20 bytes of its keccak256.
#[must_use]
pub fn address(key: &PublicKey) -> Address {
    let uncompressed = key.serialize_uncompressed();
    let (_, point) = uncompressed.split_at(1);
    Address::from_raw_public_key(point)
}

fn split_seal(header: &Header) -> Result<(&[u8], &[u8]), CliqueError> {
    let extra = &header.extra_data;
    let length = extra.len();
    if length < VANITY_LENGTH + SEAL_LENGTH {
        return Err(CliqueError::ExtraDataTooShort { length });
    }
    extra.split_at_checked(length - SEAL_LENGTH).ok_or(CliqueError::ExtraDataTooShort { length })
}

/// The signers between vanity and seal, as they stand there; `None` when what is there is not a
/// list of addresses.
#[must_use]
pub fn signers_in_extra_data(extra: &[u8]) -> Option<Vec<Address>> {
    let end = extra.len().checked_sub(SEAL_LENGTH)?;
    let list = extra.get(VANITY_LENGTH..end)?;
    let addresses = list.chunks_exact(Address::len_bytes());
    addresses.remainder().is_empty().then(|| addresses.map(Address::from_slice).collect())
}

/// The rules that need neither the parent nor the signers.
pub(crate) fn verify_form(
    spec: &ChainSpec,
    epoch: u64,
    header: &Header,
) -> Result<(), CliqueError> {
    if spec.is_amsterdam(header.number, header.timestamp) {
        return Err(CliqueError::Fork("Amsterdam"));
    }
    if header.withdrawals_root.is_some_and(|root| root != EMPTY_WITHDRAWALS) {
        return Err(CliqueError::Withdrawals);
    }
    if header.parent_beacon_block_root.is_some_and(|root| !root.is_zero()) {
        return Err(CliqueError::BeaconRoot);
    }
    let length = header.extra_data.len();
    let (unsealed, _) = split_seal(header)?;
    if header.nonce != NONCE_ADD && header.nonce != NONCE_DROP {
        return Err(CliqueError::Nonce(header.nonce));
    }
    if is_checkpoint(header.number, epoch) {
        if !header.beneficiary.is_zero() || header.nonce != NONCE_DROP {
            return Err(CliqueError::VoteInCheckpoint);
        }
        if signers_in_extra_data(&header.extra_data).is_none_or(|signers| signers.is_empty()) {
            return Err(CliqueError::CheckpointSigners);
        }
    } else if unsealed.len() != VANITY_LENGTH {
        return Err(CliqueError::SignersOutsideCheckpoint { length });
    }
    if !header.mix_hash.is_zero() {
        return Err(CliqueError::MixHash);
    }
    if header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return Err(CliqueError::Ommers);
    }
    if header.difficulty != DIFFICULTY_IN_TURN && header.difficulty != DIFFICULTY_NO_TURN {
        return Err(CliqueError::Difficulty(header.difficulty));
    }
    Ok(())
}

/// Whether the list of signers stands in the block with this number.
#[must_use]
pub const fn is_checkpoint(number: u64, epoch: u64) -> bool {
    epoch != 0 && number.is_multiple_of(epoch)
}
