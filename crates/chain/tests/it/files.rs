//! Chain files that are not what they should be: the error says where, what was good stays.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::LazyLock;

use chainmesh_chain::file::{self, ExportError, FileError, ImportOptions, MAX_BLOCK_LENGTH};
use chainmesh_chain::rules::RuleError;
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, SyncBlock};
use proptest::prelude::*;

use crate::common::{Devnet, devnet, devnet_with, export, file_of, import};

const BLOCKS: usize = 12;

struct Sample {
    net: Devnet,
    blocks: Vec<SyncBlock>,
    bytes: Vec<u8>,
    /// The byte at which each block begins, and the end of the file.
    starts: Vec<usize>,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let net = devnet(2);
    let (blocks, _) = net.grow(&net.start(), BLOCKS);
    let bytes = file_of(&blocks);
    let starts = (0..=BLOCKS).map(|count| file_of(&blocks[..count]).len()).collect();
    Sample { net, blocks, bytes, starts }
});

/// Imports into an empty chain; checks that exactly `stored` blocks are in it then.
fn fails(bytes: &[u8], stored: usize) -> FileError {
    let dir = tempfile::tempdir().expect("directory");
    let chain = SAMPLE.net.open(dir.path());
    let error = import(&chain, bytes).expect_err("a bad file");
    assert_eq!(chain.head().number as usize, stored, "{error}");
    if stored > 0 {
        assert_eq!(chain.head().hash, SAMPLE.blocks[stored - 1].hash);
        assert!(export(&chain, 1, stored as u64) == SAMPLE.bytes[..SAMPLE.starts[stored]]);
    }
    let (block, offset) = error.position().expect("a position");
    let text = error.to_string();
    assert!(text.contains(&format!("block {block}")), "{text}");
    assert!(text.contains(&format!("byte {offset}")), "{text}");
    error
}

#[test]
fn a_file_with_the_genesis_block_in_front() {
    let sample = &*SAMPLE;
    let dir = tempfile::tempdir().expect("directory");
    let chain = sample.net.open(dir.path());
    let mut bytes = export(&chain, 0, 0);
    bytes.extend(&sample.bytes);
    let summary = import(&chain, &bytes).expect("import");
    assert_eq!((summary.progress.blocks, summary.progress.known), (BLOCKS as u64 + 1, 1));
    assert_eq!(chain.head().number, BLOCKS as u64);
    assert_eq!(export(&chain, 0, BLOCKS as u64), bytes);
}

#[test]
fn an_empty_file_is_no_mistake() {
    let dir = tempfile::tempdir().expect("directory");
    let chain = SAMPLE.net.open(dir.path());
    assert_eq!(import(&chain, &[]).expect("import").progress.blocks, 0);
}

#[test]
fn known_blocks_are_passed_over_and_the_rest_is_taken() {
    let sample = &*SAMPLE;
    let dir = tempfile::tempdir().expect("directory");
    let chain = sample.net.open(dir.path());
    chain.import(&sample.blocks[..5]).expect("first part");
    let summary = import(&chain, &sample.bytes).expect("import");
    assert_eq!((summary.progress.blocks, summary.progress.known), (BLOCKS as u64, 5));
    assert_eq!(summary.progress.bytes, sample.bytes.len() as u64);
    assert_eq!(chain.head().number, BLOCKS as u64);
}

#[test]
fn a_cut_file() {
    let sample = &*SAMPLE;
    let (start, next) = (sample.starts[7], sample.starts[8]);
    for end in [start + 1, start + 2, next - 1] {
        let error = fails(&sample.bytes[..end], 7);
        assert!(
            matches!(error, FileError::Cut { block: 8, offset } if offset == start as u64),
            "{error:?}"
        );
    }
}

#[test]
fn garbage_between_blocks() {
    let sample = &*SAMPLE;
    let start = sample.starts[3];
    let with = |garbage: &[u8]| {
        let (before, behind) = sample.bytes.split_at(start);
        fails(&[before, garbage, behind].concat(), 3)
    };
    let at = start as u64;
    let error = with(b"\x00");
    assert!(matches!(error, FileError::NotAList { block: 4, offset } if offset == at), "{error:?}");
    let error = with(&[0xc0]);
    assert!(matches!(error, FileError::Rlp { block: 4, offset, .. } if offset == at), "{error:?}");
    // A length that is a lie: refused, or found out at the end of the file.
    let error = with(&[0xff; 9]);
    assert!(
        matches!(error, FileError::TooLong { block: 4, offset, length: u64::MAX } if offset == at),
        "{error:?}"
    );
    let most = (MAX_BLOCK_LENGTH as u32).to_be_bytes();
    let error = with(&[&[0xfb][..], &most].concat());
    assert!(matches!(error, FileError::Cut { block: 4, offset } if offset == at), "{error:?}");
    let most = (MAX_BLOCK_LENGTH as u32 + 1).to_be_bytes();
    let error = with(&[&[0xfb][..], &most].concat());
    assert!(matches!(error, FileError::TooLong { block: 4, .. }), "{error:?}");
}

#[test]
fn blocks_in_another_order() {
    let sample = &*SAMPLE;
    let mut blocks = sample.blocks.clone();
    blocks.swap(5, 6);
    let error = fails(&file_of(&blocks), 5);
    let offset = sample.starts[5] as u64;
    let parent = sample.blocks[5].hash;
    assert!(
        matches!(error, FileError::OutOfOrder { block: 7, offset: at, parent: who } if at == offset && who == parent),
        "{error:?}"
    );
    let without_first = &sample.bytes[sample.starts[1]..];
    let error = fails(without_first, 0);
    assert!(matches!(error, FileError::OutOfOrder { block: 2, offset: 0, .. }), "{error:?}");
}

#[test]
fn a_file_of_another_network() {
    let ours = SAMPLE.net.spec.genesis_hash();
    let other = devnet_with(2, 1, |genesis| genesis.timestamp += 1);
    let found = other.spec.genesis_hash();
    let dir = tempfile::tempdir().expect("directory");
    let chain = other.open(dir.path());
    let (blocks, _) = other.grow(&other.start(), 2);
    chain.import(&blocks).expect("import");
    for first in [0, 1] {
        let error = fails(&export(&chain, first, 2), 0);
        assert!(
            matches!(error, FileError::OtherGenesis { block, offset: 0, found: a, ours: b } if block == first && (a, b) == (found, ours)),
            "{error:?}"
        );
    }
}

#[test]
fn a_wrong_body_and_a_broken_rule() {
    let sample = &*SAMPLE;
    let offset = sample.starts[4] as u64;
    let mut blocks = sample.blocks.clone();
    blocks[4].body_rlp = vec![0xc3, 0xc0, 0xc0, 0xc0].into();
    let error = fails(&file_of(&blocks), 4);
    assert!(
        matches!(error, FileError::Body { block: 5, offset: at, .. } if at == offset),
        "{error:?}"
    );
    let mut blocks = sample.blocks.clone();
    let mut header = blocks[4].header.clone();
    header.gas_used = 1;
    blocks[4] = chainmesh_chain::block::seal(header, blocks[4].body_rlp.clone());
    let error = fails(&file_of(&blocks), 4);
    let FileError::Invalid { block: 5, offset: at, reason } = error else { panic!("{error:?}") };
    assert_eq!(at, offset);
    assert!(matches!(reason.downcast_ref(), Some(RuleError::Clique(_))), "{reason}");
}

#[test]
fn a_reader_that_fails() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let sample = &*SAMPLE;
    let dir = tempfile::tempdir().expect("directory");
    let chain = sample.net.open(dir.path());
    let input = sample.bytes[..sample.starts[6]].chain(Broken);
    let progress = |_: &_| ControlFlow::Continue(());
    let error =
        file::import(&chain, input, ImportOptions::default(), progress).expect_err("broken");
    assert!(matches!(error, FileError::Read { block: 7, .. }), "{error:?}");
    assert_eq!(chain.head().number, 6);
}

#[test]
fn progress_is_told_and_may_stop_the_import() {
    let sample = &*SAMPLE;
    let dir = tempfile::tempdir().expect("directory");
    let chain = sample.net.open(dir.path());
    let options = ImportOptions { batch_blocks: 5, total_bytes: Some(sample.bytes.len() as u64) };
    let mut told = Vec::new();
    let summary = file::import(&chain, sample.bytes.as_slice(), options, |progress| {
        assert_eq!(progress.head.number, progress.blocks);
        told.push((progress.blocks, progress.bytes as usize));
        if progress.blocks == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .expect("import");
    assert_eq!(told, [(5, sample.starts[5]), (10, sample.starts[10])]);
    assert!(summary.stopped);
    assert_eq!(chain.head().number, 10);
}

#[test]
fn exports_that_cannot_be() {
    let dir = tempfile::tempdir().expect("directory");
    let chain = SAMPLE.net.open(dir.path());
    let error = file::export(&chain, 1..=1, io::sink(), |_, _| ControlFlow::Continue(()));
    assert!(matches!(error, Err(ExportError::Range { first: 1, last: 1, head: 0 })), "{error:?}");
    chain.import(&SAMPLE.blocks).expect("import");
    let full = io::Cursor::new([0; 10]);
    let mut space = full.into_inner();
    let error = file::export(&chain, 2..=5, &mut space[..], |_, _| ControlFlow::Continue(()));
    assert!(matches!(error, Err(ExportError::Write { block: 2, .. })), "{error:?}");
    let mut some = Vec::new();
    let stop = |written, total| {
        assert_eq!(total, 4);
        if written == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(file::export(&chain, 2..=5, &mut some, stop).expect("export"), 2);
    assert!(some == SAMPLE.bytes[SAMPLE.starts[1]..SAMPLE.starts[3]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is cut and flipped: what is before the first change is taken, and nothing that
    /// was not in the file as it was.
    #[test]
    fn cut_and_flipped_files(
        cut in 0..=SAMPLE.bytes.len(),
        flips in proptest::collection::vec(0..SAMPLE.bytes.len() * 8, 0..3),
    ) {
        let sample = &*SAMPLE;
        let mut bytes = sample.bytes[..cut].to_vec();
        for bit in flips {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        let same = bytes.iter().zip(&sample.bytes).take_while(|(a, b)| a == b).count();
        let good = sample.starts.iter().filter(|start| **start > 0 && **start <= same).count();
        let dir = tempfile::tempdir().expect("directory");
        let chain = sample.net.open(dir.path());
        let result = import(&chain, &bytes);
        let head = chain.head().number as usize;
        prop_assert_eq!(head, good, "{:?}", result);
        let whole = sample.starts.contains(&cut) && same == cut;
        prop_assert_eq!(result.is_ok(), whole, "{:?}", result);
    }

    #[test]
    fn random_files(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
        let dir = tempfile::tempdir().expect("directory");
        let chain = SAMPLE.net.open(dir.path());
        prop_assert!(import(&chain, &bytes).is_err());
        prop_assert_eq!(chain.head().number, 0);
    }
}
