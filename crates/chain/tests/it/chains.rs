//! The two chains of go-ethereum's test suite: whole, in and out.

use std::fs;
use std::ops::ControlFlow;

use alloy_primitives::{B256, b256};
use chainmesh_chain::file;
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
