//! Which nodes can be peers, and what a person is told otherwise.

use alloy_eip2124::{ForkFilter, ForkFilterKey, ForkHash, ForkId, Head};
use alloy_primitives::{B256, U256};
use chainmesh_wire::eth::{BlockRange, EthVersion, Status, StatusHead};

use super::super::chain::ChainHead;
use super::{ChainIdentity, Incompatible};

fn identity(forks: &[u64]) -> ChainIdentity {
    let genesis_hash = B256::repeat_byte(7);
    let forks = forks.iter().copied().map(ForkFilterKey::Block);
    ChainIdentity {
        network_id: 1515,
        genesis_hash,
        forks: ForkFilter::new(Head::default(), genesis_hash, 0, forks),
        earliest: 0,
    }
}

fn head(number: u64) -> ChainHead {
    let hash = B256::with_last_byte(1);
    ChainHead { number, hash, timestamp: 0, total_difficulty: U256::from(2 * number + 1) }
}

#[test]
fn the_same_chain_fits_in_every_version() {
    let identity = identity(&[100]);
    for version in EthVersion::ALL {
        let status = identity.status(version, &head(10));
        assert_eq!(status.version, version.number());
        assert_eq!(identity.check(version, &head(99), &status), Ok(()));
        assert_eq!(identity.check(version, &head(500), &status), Ok(()));
    }
    let status = identity.status(EthVersion::Eth69, &head(10));
    let range = BlockRange { earliest: 0, latest: 10, latest_hash: head(10).hash };
    assert_eq!(status.head, StatusHead::Range(range));
    let status = identity.status(EthVersion::Eth68, &head(10));
    let (total_difficulty, best_hash) = (U256::from(21), head(10).hash);
    assert_eq!(status.head, StatusHead::TotalDifficulty { total_difficulty, best_hash });
}

#[test]
fn the_fork_id_moves_with_the_head() {
    let identity = identity(&[100]);
    let before = identity.status(EthVersion::Eth68, &head(99)).fork_id;
    let after = identity.status(EthVersion::Eth68, &head(100)).fork_id;
    assert_eq!((before.next, after.next), (100, 0));
    assert_ne!(before.hash, after.hash);
}

#[test]
fn each_difference_is_said_in_words() {
    let ours = identity(&[100]);
    let check = |change: &dyn Fn(&mut Status)| {
        let mut theirs = ours.status(EthVersion::Eth68, &head(10));
        change(&mut theirs);
        ours.check(EthVersion::Eth68, &head(200), &theirs).unwrap_err()
    };
    let error = check(&|status| status.network_id = 5);
    assert_eq!(error, Incompatible::NetworkId { ours: 1515, theirs: 5 });
    assert_eq!(error.to_string(), "the peer is on network 5, this node on 1515");

    let error = check(&|status| status.version = 67);
    assert_eq!(error.to_string(), "the peer's Status says eth/67, but eth/68 was negotiated");

    let error = check(&|status| status.genesis = B256::ZERO);
    assert!(matches!(error, Incompatible::Genesis { theirs: B256::ZERO, .. }));
    assert!(error.to_string().starts_with("the peer's chain begins with block 0x0000"), "{error}");

    // The peer does not know the fork at block 100, which this node has passed.
    let stale = identity(&[]).status(EthVersion::Eth68, &head(10)).fork_id;
    let error = check(&|status| status.fork_id = stale);
    assert!(error.to_string().contains("has not been upgraded"), "{error}");

    let error = check(&|status| status.fork_id = ForkId { hash: ForkHash([0, 1, 2, 3]), next: 9 });
    let words = error.to_string();
    assert!(words.contains("its fork id is 0x00010203 (next fork at 9)"), "{words}");
}
