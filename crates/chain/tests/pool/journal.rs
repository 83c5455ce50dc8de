//! Transactions of our own users over a restart.

use std::fs;

use chainmesh_chain::pool::{JOURNAL_FILE_NAME, JournalReport};

use crate::common::{Bench, Key, NOW, hash};

const ALICE: Key = Key(0);
const BOB: Key = Key(1);
const RICH: u128 = 1_000_000_000_000;

fn bench() -> Bench {
    let mut bench = Bench::usual();
    bench.fund([0, 1], RICH);
    bench
}

#[test]
fn a_restart_keeps_what_is_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(JOURNAL_FILE_NAME);
    let first = bench();
    let report = first.pool.open_journal(&path, NOW).expect("a new journal");
    assert_eq!(report, JournalReport::default());
    let ours = [ALICE.transfer(0, 10), ALICE.dynamic(1, 10, 5), ALICE.transfer(7, 10)];
    for raw in &ours {
        first.pool.add_local(raw, NOW).expect("valid");
    }
    let theirs = BOB.transfer(0, 10);
    first.add(&theirs).expect("valid");

    let second = bench();
    let report = second.pool.open_journal(&path, NOW).expect("the journal");
    assert_eq!(report, JournalReport { taken: 3, refused: 0, damaged_at: None });
    assert_eq!(second.nonces(ALICE), (vec![0, 1], vec![7]));
    assert!(!second.pool.contains(&hash(&theirs)));
    assert_eq!(second.pool.status().local, 3);

    // What was mined meanwhile is not kept any more.
    let mut third = bench();
    third.account(ALICE).nonce = 1;
    third.refresh();
    let report = third.pool.open_journal(&path, NOW).expect("the journal");
    assert_eq!(report, JournalReport { taken: 2, refused: 1, damaged_at: None });
    let report = bench().pool.open_journal(&path, NOW).expect("the journal");
    assert_eq!(report.taken, 2);
}

#[test]
fn a_damaged_end_is_reported_and_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(JOURNAL_FILE_NAME);
    let first = bench();
    first.pool.open_journal(&path, NOW).expect("a new journal");
    let ours = ALICE.transfer(0, 10);
    first.pool.add_local(&ours, NOW).expect("valid");
    first.pool.add_local(&ALICE.transfer(1, 10), NOW).expect("valid");
    let content = fs::read(&path).expect("written");
    fs::write(&path, &content[..content.len() - 3]).expect("cut");

    let second = bench();
    let report = second.pool.open_journal(&path, NOW).expect("the journal");
    let damaged_at = Some(ours.len() as u64);
    assert_eq!(report, JournalReport { taken: 1, refused: 0, damaged_at });
    second.pool.add_local(&ALICE.transfer(1, 10), NOW).expect("valid");
    let report = bench().pool.open_journal(&path, NOW).expect("the journal");
    assert_eq!(report, JournalReport { taken: 2, refused: 0, damaged_at: None });
}

#[test]
fn a_journal_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = bench();
    bench.pool.open_journal(folder.path(), NOW).expect_err("a folder is no journal");
    bench.pool.add_local(&ALICE.transfer(0, 10), NOW).expect("the pool works without it");
}

#[test]
fn a_journal_whose_folder_is_gone_says_so_and_recovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    let path = data.join(JOURNAL_FILE_NAME);
    let mut bench = bench();
    bench.pool.open_journal(&path, NOW).expect("a new journal");
    // Long enough to be written anew, where it cannot be.
    let large = |nonce| ALICE.with_data(nonce, 1, 100_000);
    bench.fund([0], u128::MAX);
    for nonce in 0..45 {
        bench.pool.add_local(&large(nonce), NOW).expect("valid");
    }
    fs::rename(&data, folder.path().join("away")).expect("moved");
    bench.pool.maintain(NOW);
    assert!(bench.pool.journal_error().is_some());
    bench.pool.add_local(&large(45), NOW).expect("taken all the same");
    fs::create_dir(&data).expect("a folder");
    bench.pool.maintain(NOW);
    assert_eq!(bench.pool.journal_error(), None);
    let mut again = self::bench();
    again.fund([0], u128::MAX);
    assert_eq!(again.pool.open_journal(&path, NOW).expect("the journal").taken, 46);
}
