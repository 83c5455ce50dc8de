//! `chainmesh import` and `chainmesh export`.

use std::fs;

use crate::support::{Blocks, chainmesh, directory, fails, succeeds, text};

/// What is in a data directory, as an export of all of it.
fn exported(data: &str) -> Vec<u8> {
    let output = chainmesh(&["export", "--data-dir", data, "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Imports a bad file into a new directory, which must fail; gives the error and what was kept.
fn import_fails(blocks: &Blocks, bytes: &[u8]) -> (String, Option<Vec<u8>>) {
    let dir = directory();
    let data = text(&dir.path().join("node"));
    let file = blocks.file("bad.rlp", bytes);
    let error = fails(1, &["import", "--data-dir", &data, "--genesis", &blocks.genesis(), &file]);
    let kept = chainmesh(&["export", "--data-dir", &data, "-"]);
    (error, kept.status.success().then_some(kept.stdout))
}

#[test]
fn what_was_imported_is_exported_byte_for_byte() {
    let blocks = Blocks::make(1, 20);
    let whole = blocks.rlp.concat();
    let file = blocks.file("chain.rlp", &whole);
    let dir = directory();
    let data = text(&dir.path().join("node"));
    let said = succeeds(&["import", "--data-dir", &data, "--genesis", &blocks.genesis(), &file]);
    assert!(said.contains("imported 20 blocks (0 were there already)"), "{said}");
    assert!(said.contains(&blocks.hashes[19]), "{said}");
    assert_eq!(exported(&data), whole);

    // The genesis is known now; all blocks are, too.
    let said = succeeds(&["import", "--data-dir", &data, &file]);
    assert!(said.contains("imported 0 blocks (20 were there already)"), "{said}");

    let part = text(&dir.path().join("part.rlp"));
    succeeds(&["export", "--data-dir", &data, "--from", "5", "--to", "7", &part]);
    assert_eq!(fs::read(&part).unwrap(), blocks.rlp[4..7].concat());
}

#[test]
fn an_export_outside_of_the_chain_is_refused_and_writes_nothing() {
    let blocks = Blocks::make(1, 3);
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    let dir = directory();
    let data = text(&dir.path().join("node"));
    succeeds(&["import", "--data-dir", &data, "--genesis", &blocks.genesis(), &file]);
    let out = dir.path().join("out.rlp");
    let error = fails(1, &["export", "--data-dir", &data, "--to", "4", &text(&out)]);
    assert!(error.contains("the chain has 0 to 3"), "{error}");
    let error = fails(1, &["export", "--data-dir", &data, "--from", "9", &text(&out)]);
    assert!(error.contains("the head of the chain is block 3"), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_cut_file_names_block_and_byte_and_keeps_the_rest() {
    let blocks = Blocks::make(1, 10);
    let start = blocks.rlp[..6].concat().len();
    let cut = &blocks.rlp.concat()[..start + 100];
    let (error, kept) = import_fails(&blocks, cut);
    assert!(error.contains("block 7"), "{error}");
    assert!(error.contains(&format!("byte {start}")), "{error}");
    assert_eq!(kept, Some(blocks.rlp[..6].concat()));
}

#[test]
fn a_reordered_file_names_block_and_byte_and_keeps_the_rest() {
    let blocks = Blocks::make(1, 10);
    let mut reordered = blocks.rlp.clone();
    reordered.swap(4, 5);
    let start = blocks.rlp[..4].concat().len();
    let (error, kept) = import_fails(&blocks, &reordered.concat());
    assert!(error.contains("block 6"), "{error}");
    assert!(error.contains(&format!("byte {start}")), "{error}");
    assert_eq!(kept, Some(blocks.rlp[..4].concat()));
}

#[test]
fn a_file_of_another_genesis_is_refused_at_its_first_block() {
    let (blocks, others) = (Blocks::make(1, 1), Blocks::make(2, 10));
    let (error, kept) = import_fails(&blocks, &others.rlp.concat());
    assert!(error.contains("another network"), "{error}");
    assert!(error.contains("block 1 at byte 0"), "{error}");
    // There is nothing but the genesis block, which is never exported.
    assert_eq!(kept, None);
}

#[test]
fn garbage_behind_good_blocks_is_named_by_its_byte() {
    let blocks = Blocks::make(1, 5);
    let good = blocks.rlp.concat();
    let (error, kept) = import_fails(&blocks, &[good.as_slice(), b"garbage"].concat());
    assert!(error.contains("block 6"), "{error}");
    assert!(error.contains(&format!("byte {}", good.len())), "{error}");
    assert_eq!(kept, Some(good));
}

#[test]
fn a_directory_of_another_network_is_refused() {
    let (blocks, others) = (Blocks::make(1, 3), Blocks::make(2, 3));
    let dir = directory();
    let data = text(&dir.path().join("node"));
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    succeeds(&["import", "--data-dir", &data, "--genesis", &blocks.genesis(), &file]);
    let error = fails(1, &["import", "--data-dir", &data, "--genesis", &others.genesis(), &file]);
    assert!(error.contains("is of another network"), "{error}");
    assert_eq!(exported(&data), blocks.rlp.concat());
}

#[test]
fn a_wrong_name_makes_no_directory() {
    let blocks = Blocks::make(1, 1);
    let dir = directory();
    let data = text(&dir.path().join("node"));
    let missing = text(&dir.path().join("missing.rlp"));
    let genesis = blocks.genesis();
    let error = fails(1, &["import", "--data-dir", &data, "--genesis", &genesis, &missing]);
    assert!(error.contains("missing.rlp"), "{error}");
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    let error = fails(1, &["import", "--data-dir", &data, "--genesis", &missing, &file]);
    assert!(error.contains("missing.rlp"), "{error}");
    let error = fails(1, &["export", "--data-dir", &data, "-"]);
    assert!(error.contains("there is no data directory"), "{error}");
    assert!(!dir.path().join("node").exists());
}

#[test]
fn without_a_genesis_it_says_what_is_missing() {
    let blocks = Blocks::make(1, 1);
    let dir = directory();
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    let error = fails(1, &["import", "--data-dir", &text(dir.path()), &file]);
    assert!(error.contains("--genesis FILE"), "{error}");
}
