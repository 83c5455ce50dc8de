//! Tests of the journal file: what was written is read, whatever the end of the file looks like.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Bytes in the shape of a transaction: a list, or a type with something behind it.
fn transaction() -> impl Strategy<Value = Bytes> {
    let typed = (1_u8..=4, vec(any::<u8>(), 1..200)).prop_map(|(tx_type, rest)| {
        let mut raw = vec![tx_type];
        raw.extend(rest);
        Bytes::from(raw)
    });
    let legacy = vec(any::<u8>(), 1..200).prop_map(|content| {
        let mut raw = Vec::new();
        Header { list: true, payload_length: content.len() }.encode(&mut raw);
        raw.extend(content);
        Bytes::from(raw)
    });
    prop_oneof![typed, legacy]
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        first in vec(transaction(), 0..5),
        second in vec(transaction(), 0..5),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(JOURNAL_FILE_NAME);
        let mut journal = Journal::rotate(&path, first.clone()).expect("written");
        for raw in &second {
            journal.append(raw).expect("written");
        }
        let all: Vec<Bytes> = first.into_iter().chain(second).collect();
        prop_assert_eq!(read(&path).expect("read"), (all.clone(), None));
        let journal = Journal::rotate(&path, all.clone()).expect("written anew");
        prop_assert!(!journal.is_long());
        prop_assert_eq!(read(&path).expect("read"), (all, None));
    }

    #[test]
    fn a_damaged_end_costs_what_is_behind_it(
        all in vec(transaction(), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let encoded: Vec<Vec<u8>> = all.iter().map(encode).collect();
        let content: Vec<u8> = encoded.concat();
        let cut = cut.index(content.len());
        let (found, damaged_at) = split(&content[..cut]);
        prop_assert_eq!(&found[..], &all[..found.len()]);
        let whole: usize = encoded[..found.len()].iter().map(Vec::len).sum();
        let expected = (cut != whole).then_some(whole as u64);
        prop_assert_eq!(damaged_at, expected);
        prop_assert!(cut < whole + encoded.get(found.len()).map_or(1, Vec::len));
    }

    #[test]
    fn no_bytes_make_it_panic(content in vec(any::<u8>(), 0..300)) {
        let (found, damaged_at) = split(&content);
        prop_assert!(found.iter().all(|raw| !raw.is_empty()));
        prop_assert!(damaged_at.is_none_or(|at| at < content.len() as u64));
    }
}

#[test]
fn a_length_that_was_made_up_takes_no_memory() {
    let content = [0xbb, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];
    assert_eq!(split(&content), (vec![], Some(0)));
}

#[test]
fn no_file_is_an_empty_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = read(&folder.path().join(JOURNAL_FILE_NAME)).expect("nothing");
    assert_eq!(found, (vec![], None));
}
