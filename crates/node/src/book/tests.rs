//! The file of the address book: what was written is there again, and a damaged one stops nobody.

use chainmesh_identity::{Enode, NodeKey};
use chainmesh_proto::peers::book::AddressOrigin;

use super::*;

fn local_id() -> PeerId {
    NodeKey::from_entropy([9; 32]).peer_id()
}

fn node(number: u8) -> Enode {
    let id = NodeKey::from_entropy([number; 32]).peer_id();
    Enode::new(id, [20, number, 0, 1].into(), 30303)
}

fn written(dir: &Path) {
    let (store, mut book) = open(dir, local_id());
    for number in 1..=5 {
        book.add(crate::unix_time(), &node(number), AddressOrigin::Discovery, None);
    }
    let mut pending = Pending::default();
    pending.add(book.take_changes());
    write(&store.unwrap().database, &pending).unwrap();
}

fn files(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let files = std::fs::read_dir(dir).unwrap().map(name);
    let mut files: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
    files.sort();
    files
}

#[test]
fn what_was_written_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let (store, mut book) = open(dir.path(), local_id());
    assert_eq!(book.len(), 5);
    assert_eq!(book.get(&node(3).id).unwrap().enode, node(3));
    assert!(book.take_changes().is_empty());
    drop(store);
    // A record that is gone is gone from disk.
    let (store, mut book) = open(dir.path(), local_id());
    book.forget(&node(3).id);
    let mut pending = Pending::default();
    pending.add(book.take_changes());
    write(&store.unwrap().database, &pending).unwrap();
    let (_store, book) = open(dir.path(), local_id());
    assert_eq!((book.len(), book.get(&node(3).id)), (4, None));
}

#[test]
fn a_damaged_file_is_set_aside_and_begun_anew() {
    let lengths = |bytes: &[u8]| [0, 1, 500, 4096, bytes.len() / 2, bytes.len() - 1];
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let path = dir.path().join(BOOK_FILE_NAME);
    let sound = std::fs::read(&path).unwrap();
    for (round, length) in lengths(&sound).into_iter().enumerate() {
        std::fs::write(&path, &sound[..length]).unwrap();
        let (store, book) = open(dir.path(), local_id());
        assert!(store.is_some() && book.is_empty(), "cut to {length}");
        drop(store);
        let aside = files(dir.path());
        let aside: Vec<_> = aside.iter().filter(|name| name.contains(".damaged-")).collect();
        assert_eq!(aside.len(), 1, "round {round}: {aside:?}");
        std::fs::remove_file(dir.path().join(aside[0])).unwrap();
    }
}

#[test]
fn no_flipped_byte_stops_a_node() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let path = dir.path().join(BOOK_FILE_NAME);
    let sound = std::fs::read(&path).unwrap();
    // All of what is not zero, in steps: headers, pages of trees, records.
    let places = sound.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at);
    for at in places.step_by(151) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&path, &bytes).unwrap();
        let (store, book) = open(dir.path(), local_id());
        assert!(store.is_some(), "byte {at}");
        assert!(book.records().all(|r| (1..=5).any(|n| node(n) == r.enode)), "byte {at}");
    }
}

#[test]
fn a_book_that_cannot_be_kept_is_done_without() {
    let dir = tempfile::tempdir().unwrap();
    let (store, book) = open(&dir.path().join("missing"), local_id());
    assert!(store.is_none() && book.is_empty());
}
