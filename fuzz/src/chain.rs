//! Files that people give to a node: chains and genesis files.

use std::path::Path;

use bytes::Bytes;
use chainmesh_chain::file::{BlockReader, FileError, MAX_BLOCK_LENGTH};
use chainmesh_chain::{ChainSpec, block, body, forks, genesis};
use chainmesh_proto::eth::chain::SyncBlock;
use chainmesh_wire::eth::{BlockBody, BlockHeader};

/// Blocks of a chain file, one after the other: offsets that add up, blocks that encode to what
/// was read, and bodies of which the file's reader and the peers' reader think the same.
pub fn chain_file(data: &[u8]) {
    let mut reader = BlockReader::new(data);
    let mut number = 0;
    let mut offset = 0;
    loop {
        let read = match reader.next_block(number) {
            Ok(Some(read)) => read,
            Ok(None) => {
                assert_eq!(offset, data.len() as u64, "the end of the file is its end");
                return;
            }
            Err(error) => return check_error(&error, number, offset),
        };
        assert_eq!(read.offset, offset);
        let length = read.rlp.len() as u64;
        assert_eq!(data.get(to_usize(offset)..to_usize(offset + length)), Some(&read.rlp[..]));
        assert!(read.rlp.len() <= MAX_BLOCK_LENGTH + 9);
        offset += length;
        number += 1;
        assert_eq!(reader.offset(), offset);
        if let Ok(decoded) = block::decode(&read.rlp) {
            let encoded = block::encode(&decoded.header_rlp, &decoded.body_rlp);
            assert_eq!(encoded.as_deref(), Ok(&read.rlp[..]));
            check_body(decoded);
        }
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("a machine of 64 bits")
}

fn check_error(error: &FileError, number: u64, offset: u64) {
    assert_eq!(error.position(), Some((number, offset)), "{error}");
}

/// What a peer may send is what a file may have, once the header names its roots: no block that
/// synchronisation lets through is refused for its body later.
fn check_body(block: SyncBlock) {
    let from_file = body::check(&block.header, &block.body_rlp);
    let Ok(from_peer) = BlockBody::decode(Bytes::clone(&block.body_rlp)) else {
        // Peers are held to more: how many ommers, and how large their fields.
        return;
    };
    assert_eq!(from_file.is_ok(), from_peer.belongs_to(&block.header), "{from_file:?}");
    let mut header = block.header;
    header.transactions_root = from_peer.transactions_root;
    header.ommers_hash = from_peer.ommers_hash;
    header.withdrawals_root = from_peer.withdrawals_root;
    assert_eq!(body::check(&header, &block.body_rlp), Ok(()));
    let sealed = block::seal(header, block.body_rlp);
    let rlp = block::encode(&sealed.header_rlp, &sealed.body_rlp).expect("its own body");
    assert_eq!(block::decode(&rlp), Ok(sealed.clone()));
    if let Ok(header) = BlockHeader::decode(sealed.header_rlp) {
        assert_eq!(header.hash, sealed.hash);
    }
}

/// A genesis file: either an error that names the file, or a chain whose JSON makes the same chain.
pub fn genesis_json(data: &[u8]) {
    let path = Path::new("genesis.json");
    let genesis = match genesis::parse(data, path) {
        Ok(genesis) => genesis,
        Err(error) => return assert!(error.to_string().contains("genesis.json")),
    };
    let Ok(spec) = ChainSpec::new(genesis) else { return };
    for (number, timestamp) in [(0, 0), (1, spec.genesis_header().timestamp), (u64::MAX, u64::MAX)]
    {
        let ours = forks::fork_id(&spec, number, timestamp);
        let filter = forks::fork_filter(&spec, number, timestamp);
        // EIP-6122 tells times from block numbers by their size: a fork at a time so small that it
        // may be a number is taken for passed when the chain is that long.
        if ours.next == 0 || number < ours.next {
            assert!(filter.validate(ours).is_ok(), "a node is compatible with itself");
        }
        let _ = spec.blob_params(number, timestamp);
    }
    let text = serde_json::to_vec(spec.genesis()).expect("a genesis is JSON");
    let again = genesis::parse(&text, path).expect("what was written can be read");
    let again = ChainSpec::new(again).expect("the same genesis");
    assert_eq!(again.genesis_hash(), spec.genesis_hash());
    assert_eq!(again.consensus(), spec.consensus());
}
