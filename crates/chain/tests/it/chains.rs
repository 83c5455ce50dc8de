//! The two chains of go-ethereum's test suite: whole, in and out.

use std::fs;
use std::ops::ControlFlow;

use alloy_primitives::{B256, b256};
use chainmesh_chain::{ChainSpec, file, forks};
use chainmesh_proto::eth::chain::ChainReader;

use crate::common::{chain_folder, export, import, open};

#[derive(Debug, PartialEq, Eq)]
struct Known {
    genesis: B256,
    blocks: u64,
    head: B256,
}

fn in_and_out(name: &str, known: &Known) {
    let Some(folder) = chain_folder(name) else { return };
    let data = tempfile::tempdir().expect("directory");
    let chain = open(data.path(), &folder.join("genesis.json"));
    assert_eq!(chain.genesis_hash(), known.genesis);
    let path = folder.join("chain.rlp");
    let mut seen = Vec::new();
    let summary = file::import_path(&chain, &path, |progress| {
        seen.push(*progress);
        ControlFlow::Continue(())
    })
    .expect("import");
    let head = chain.head();
    assert_eq!((head.number, head.hash), (known.blocks, known.head));
    assert_eq!((summary.progress.blocks, summary.progress.known), (known.blocks, 0));
    let bytes = fs::read(&path).expect("file");
    assert_eq!(summary.progress.bytes, bytes.len() as u64);
    assert_eq!(seen.last(), Some(&summary.progress));
    assert!(export(&chain, 1, head.number) == bytes, "the export differs from the file");
    // Once more: all of it is known.
    let again = import(&chain, &bytes).expect("again");
    assert_eq!((again.progress.blocks, again.progress.known), (known.blocks, known.blocks));
    drop(chain);
    let chain = open(data.path(), &folder.join("genesis.json"));
    assert_eq!(chain.head(), head);
}

#[test]
fn pow_3000_in_and_out() {
    in_and_out(
        "pow-3000",
        &Known {
            genesis: b256!("0xd6f7972e854d4d7812fca9f911e9a1c1db3b89e2650a25b7782a1d8972ced000"),
            blocks: 3_000,
            head: b256!("0x08b44ea00a0898751b1561439f7355138dba4561b0f2a5470b6b2daf890585c9"),
        },
    );
}

#[test]
fn prague_600_in_and_out() {
    in_and_out(
        "prague-600",
        &Known {
            genesis: b256!("0xbd6a252af394d80904c5993b859574bd4669642cea00a116970ec7887db67533"),
            blocks: 600,
            head: b256!("0x44e3809c9a3cda717f00aea3a9da336d149612c8d5657fbc0028176ef8d94d2a"),
        },
    );
}

/// The checksum of zip files (reflected polynomial 0xedb88320), bit by bit.
fn crc32(parts: &[&[u8]]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in parts.concat() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    (!crc).to_be_bytes()
}

/// EIP-2124: the checksum of the genesis hash and each passed fork, and the next fork.
#[test]
fn fork_ids_of_the_two_chains() {
    assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926_u32.to_be_bytes());
    let Some(folder) = chain_folder("pow-3000") else { return };
    let spec = ChainSpec::read(&folder.join("genesis.json")).expect("genesis");
    let id = forks::fork_id(&spec, 3_000, 30_000);
    assert_eq!((id.hash.0, id.next), (crc32(&[spec.genesis_hash().as_slice()]), 0));
    let Some(folder) = chain_folder("prague-600") else { return };
    let spec = ChainSpec::read(&folder.join("genesis.json")).expect("genesis");
    let genesis = spec.genesis_hash();
    let (cancun, prague) = (60_u64.to_be_bytes(), 120_u64.to_be_bytes());
    for (time, passed, next) in [
        (0, vec![], 60),
        (59, vec![], 60),
        (60, vec![&cancun[..]], 120),
        (119, vec![&cancun[..]], 120),
        (120, vec![&cancun[..], &prague[..]], 0),
        (6_000, vec![&cancun[..], &prague[..]], 0),
    ] {
        let id = forks::fork_id(&spec, time / 10, time);
        let parts = [vec![genesis.as_slice()], passed].concat();
        assert_eq!((id.hash.0, id.next), (crc32(&parts), next), "at {time} seconds");
    }
}
