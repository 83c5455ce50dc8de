//! A store that was cut or altered from outside: a diagnosis of one line, or all is as it was.

use std::fs::{self, OpenOptions};
use std::path::Path;

use chainmesh_chain::{Chain, ChainOptions, DATABASE_FILE_NAME};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};
use proptest::prelude::*;

use crate::common::{devnet, export};

/// Opens what is there and reads all of it. `Err` is the diagnosis.
fn read_all(dir: &Path) -> Result<(u64, Vec<u8>), String> {
    let chain = Chain::open_existing(dir, ChainOptions::default()).map_err(|e| e.to_string())?;
    let head = chain.head().number;
    Ok((head, export(&chain, 0, head)))
}

fn sample() -> (tempfile::TempDir, Vec<u8>, (u64, Vec<u8>)) {
    let dir = tempfile::tempdir().expect("directory");
    let net = devnet(2);
    let (blocks, _) = net.grow(&net.start(), 40);
    let chain = net.open(dir.path());
    for batch in blocks.chunks(10) {
        chain.import(batch).expect("import");
    }
    drop(chain);
    let good = read_all(dir.path()).expect("good");
    assert_eq!(good.0, 40);
    let bytes = fs::read(dir.path().join(DATABASE_FILE_NAME)).expect("file");
    (dir, bytes, good)
}

fn one_line(diagnosis: &str) {
    assert!(!diagnosis.contains('\n') && diagnosis.contains(DATABASE_FILE_NAME), "{diagnosis}");
}

#[test]
fn a_cut_store() {
    let (dir, bytes, good) = sample();
    let path = dir.path().join(DATABASE_FILE_NAME);
    let mut diagnosed = 0;
    for part in 0..32 {
        fs::write(&path, &bytes[..bytes.len() / 32 * part]).expect("write");
        match read_all(dir.path()) {
            Ok(all) => assert!(all == good, "part {part}: another chain"),
            Err(diagnosis) => {
                one_line(&diagnosis);
                diagnosed += 1;
            }
        }
    }
    assert!(diagnosed > 0, "no cut was noticed");
}

#[test]
fn a_file_that_is_no_store() {
    let dir = tempfile::tempdir().expect("directory");
    fs::write(dir.path().join(DATABASE_FILE_NAME), "not a database\n".repeat(1_000))
        .expect("write");
    one_line(&read_all(dir.path()).expect_err("no store"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_altered_store(
        places in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..40),
        header_only: bool,
    ) {
        thread_local! {
            static STORE: (tempfile::TempDir, Vec<u8>, (u64, Vec<u8>)) = sample();
        }
        STORE.with(|(dir, bytes, good)| {
            let mut altered = bytes.clone();
            let end = if header_only { 4_096 } else { altered.len() };
            for (place, value) in &places {
                altered[place.index(end)] ^= value;
            }
            let path = dir.path().join(DATABASE_FILE_NAME);
            let file = OpenOptions::new().write(true).open(&path).expect("file");
            file.set_len(bytes.len() as u64).expect("length");
            fs::write(&path, &altered).expect("write");
            match read_all(dir.path()) {
                Ok(all) => assert!(all == *good, "another chain"),
                Err(diagnosis) => one_line(&diagnosis),
            }
        });
    }
}

/// A process that is killed while it makes the store leaves a part of it beside its place: once it
/// lay in its place, and nobody could open it any more.
#[test]
fn a_store_that_was_never_finished_is_made_anew() {
    let dir = tempfile::tempdir().expect("directory");
    let half = dir.path().join(format!("{DATABASE_FILE_NAME}.new"));
    fs::write(&half, b"redb\x1a").expect("write");
    let net = devnet(1);
    let (blocks, tip) = net.grow(&net.start(), 3);
    net.open(dir.path()).import(&blocks).expect("import");
    assert!(!half.exists());
    assert_eq!(read_all(dir.path()).expect("whole").0, tip.header.number);
}
