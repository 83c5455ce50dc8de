//! Nodes of other chains: left alone for long, and not for ever.

use super::*;

const OTHER: &str = "genesis 0xabababab… (ours 0xcdcdcdcd…)";

fn is_candidate(book: &mut AddressBook, now: UnixTime, number: u32) -> bool {
    book.candidates(now, 100, |peer| *peer == id(number)) == [node(number)]
}

#[test]
fn a_node_of_another_chain_is_left_alone_for_a_day_then_two() {
    let mut book = book();
    book.add(NOW, &node(1), AddressOrigin::Discovery, None);
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..6 {
        book.mismatched(now, &id(1), MismatchKind::Genesis, OTHER);
        let mark = book.get(&id(1)).unwrap().mismatch.clone().unwrap();
        let until = mark.until();
        assert!(!is_candidate(&mut book, until - 1, 1));
        assert!(is_candidate(&mut book, until, 1));
        assert_eq!(book.due_at(&id(1)), Some(until));
        waits.push((until - now) / MISMATCH_WAIT);
        now = until;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 16]);
}

#[test]
fn a_fork_is_softer_than_a_genesis_block() {
    let mut book = book();
    good(&mut book, NOW, &node(1));
    good(&mut book, NOW, &node(2));
    book.mismatched(NOW, &id(1), MismatchKind::Fork, "fork");
    book.mismatched(NOW, &id(2), MismatchKind::Genesis, OTHER);
    assert!(book.get(&id(1)).unwrap().tried, "it keeps its place");
    assert!(!book.get(&id(2)).unwrap().tried);
    assert!(is_candidate(&mut book, NOW + FORK_MISMATCH_WAIT, 1));
    assert!(!is_candidate(&mut book, NOW + FORK_MISMATCH_WAIT, 2));
    assert!(!book.is_terrible(NOW, &id(1)) && book.is_terrible(NOW, &id(2)));
    // Our own head passes a fork.
    book.mismatched(NOW, &id(1), MismatchKind::Fork, "fork");
    book.fork_passed();
    assert!(book.get(&id(1)).unwrap().fits() && !book.get(&id(2)).unwrap().fits());
}

#[test]
fn a_newcomer_takes_the_place_of_a_node_of_another_chain() {
    let mut book = book();
    // Two nodes with the same new place.
    let mut seen = BTreeMap::new();
    let (old, newcomer) = (0..100_000)
        .find_map(|number| {
            let record = PeerRecord::new(node(number % 60_000), AddressOrigin::Exchange, None, NOW);
            let place = book.places.new_place(&record);
            let first = seen.insert(place, record.enode.clone())?;
            Some((first, record.enode))
        })
        .unwrap();
    book.add(NOW, &old, AddressOrigin::Exchange, None);
    assert_eq!(book.add(NOW, &newcomer, AddressOrigin::Exchange, None), Added::NoRoom);
    book.mismatched(NOW, &old.id, MismatchKind::Network, "network 5 (ours 1)");
    assert_eq!(book.add(NOW, &newcomer, AddressOrigin::Exchange, None), Added::New);
    assert_eq!(book.get(&old.id), None);
}

#[test]
fn an_anchor_of_another_chain_is_not_dialled_first() {
    let mut first = book();
    good(&mut first, NOW, &node(1));
    first.mismatched(NOW, &id(1), MismatchKind::Genesis, OTHER);
    let changes = first.take_changes();
    let record = first.get(&id(1)).unwrap().encode();
    let records = [record.as_slice()].into_iter();
    let head = changes.head.unwrap();
    let mut book = AddressBook::load(id(9), [8; 32], NOW, &head, records).unwrap().book;
    assert!(book.candidates(NOW, 1, |_| true).is_empty());
    assert_eq!(book.get(&id(1)).unwrap().mismatch.as_ref().unwrap().text, OTHER);
}

#[test]
fn a_session_lifts_the_mark_whoever_dialled() {
    for outbound in [false, true] {
        let mut book = book();
        book.add(NOW, &node(1), AddressOrigin::Discovery, None);
        book.mismatched(NOW, &id(1), MismatchKind::Genesis, OTHER);
        book.connected(NOW + 1, &id(1), outbound);
        assert!(book.get(&id(1)).unwrap().fits());
        // What it was before does not count.
        book.disconnected(NOW + 1, &id(1));
        book.mismatched(NOW + 2, &id(1), MismatchKind::Genesis, OTHER);
        assert_eq!(book.get(&id(1)).unwrap().mismatch.as_ref().unwrap().times, 1);
    }
}

#[test]
fn a_new_record_makes_a_candidate_of_it_once() {
    let mut book = book();
    book.add(NOW, &node(1), AddressOrigin::Discovery, None);
    book.heard_record(&id(1), 7);
    book.mismatched(NOW, &id(1), MismatchKind::Network, "network 5 (ours 1)");
    let later = NOW + RECORD_PATIENCE;
    book.heard_record(&id(1), 7);
    book.heard_record(&id(1), 6);
    assert!(!is_candidate(&mut book, later, 1), "it is the record that it had");
    book.heard_record(&id(1), 8);
    assert!(!is_candidate(&mut book, later - 1, 1), "records cost their owner nothing");
    assert!(is_candidate(&mut book, later, 1));
    // It was in vain: now it waits for two days, however often that record is told.
    book.mismatched(later, &id(1), MismatchKind::Network, "network 5 (ours 1)");
    book.heard_record(&id(1), 8);
    assert!(!is_candidate(&mut book, later + 2 * MISMATCH_WAIT - 1, 1));
    assert!(is_candidate(&mut book, later + 2 * MISMATCH_WAIT, 1));
}

#[test]
fn the_first_record_that_is_heard_may_be_the_one_that_did_not_fit() {
    let mut book = book();
    book.add(NOW, &node(1), AddressOrigin::Exchange, None);
    book.mismatched(NOW, &id(1), MismatchKind::Network, "network 5 (ours 1)");
    book.heard_record(&id(1), 7);
    assert!(!is_candidate(&mut book, NOW + RECORD_PATIENCE, 1));
    book.heard_record(&id(1), 8);
    assert!(is_candidate(&mut book, NOW + RECORD_PATIENCE, 1));
}

#[test]
fn marks_of_the_node_that_this_one_was_are_void() {
    let mut book = book();
    book.set_fingerprint(Fingerprint::repeat_byte(1));
    book.add(NOW, &node(1), AddressOrigin::Discovery, None);
    book.mismatched(NOW, &id(1), MismatchKind::Genesis, OTHER);
    book.set_fingerprint(Fingerprint::repeat_byte(1));
    assert!(!book.get(&id(1)).unwrap().fits());
    book.set_fingerprint(Fingerprint::repeat_byte(2));
    assert!(book.get(&id(1)).unwrap().fits());
}

#[test]
fn a_clock_that_was_set_back_makes_nobody_wait_for_ever() {
    let mut book = book();
    book.add(NOW, &node(1), AddressOrigin::Discovery, None);
    book.mismatched(NOW, &id(1), MismatchKind::Genesis, OTHER);
    assert!(is_candidate(&mut book, NOW - 1, 1));
}

#[test]
fn what_is_known_is_not_forgotten_when_the_peer_says_nothing() {
    let mut book = book();
    book.add(NOW, &node(1), AddressOrigin::Discovery, None);
    book.mismatched(NOW, &id(1), MismatchKind::Refused, "subprotocol error");
    assert_eq!(book.due_at(&id(1)), Some(NOW + FORK_MISMATCH_WAIT));
    book.mismatched(NOW, &id(1), MismatchKind::Genesis, OTHER);
    book.mismatched(NOW, &id(1), MismatchKind::Refused, "subprotocol error");
    let mark = book.get(&id(1)).unwrap().mismatch.clone().unwrap();
    assert_eq!((mark.kind, mark.text.as_str()), (MismatchKind::Genesis, OTHER));
    assert_eq!(book.due_at(&id(1)), Some(NOW + MISMATCH_WAIT));
}
