//! What peers tell is dialled as long as it proves true.

use super::*;

/// A node of which a teller in the given /16 spoke.
fn hearsay(book: &mut AddressBook, number: u32, teller: u32) -> Enode {
    let enode = node(number);
    book.add(NOW, &enode, AddressOrigin::Exchange, Some(ip(0x0800_0001 + (teller << 16))));
    enode
}

/// Names whom it can, all of whom fail or all of whom answer; gives how many.
fn dial_all(book: &mut AddressBook, now: UnixTime, answers: bool) -> usize {
    let chosen = book.candidates(now, 100, |_| true);
    for enode in &chosen {
        match answers {
            true => book.connected(now, &enode.id, true),
            false => book.failed(now, &enode.id),
        }
    }
    chosen.len()
}

#[test]
fn a_teller_whose_word_is_not_true_gets_few_dials_and_then_fewer() {
    let mut book = book();
    for number in 0..64 {
        hearsay(&mut book, number, 1);
    }
    let allowance = TELLER_ALLOWANCE as usize;
    assert_eq!(dial_all(&mut book, NOW, false), allowance);
    assert_eq!(dial_all(&mut book, NOW + TELLER_WAIT - 1, false), 0);
    assert_eq!(dial_all(&mut book, NOW + TELLER_WAIT, false), 1);
    assert_eq!(dial_all(&mut book, NOW + 3 * TELLER_WAIT - 1, false), 0);
    assert_eq!(dial_all(&mut book, NOW + 3 * TELLER_WAIT, false), 1);
    // Another one is not to blame.
    let later = NOW + 3 * TELLER_WAIT;
    let other = hearsay(&mut book, 100, 2);
    assert_eq!(book.candidates(later, 100, |_| true), core::slice::from_ref(&other));
    book.forget(&other.id);
    // In two days it is not many: after 40 minutes, 80, ... and then one in 10 h 40 min.
    let more = (1..48 * 60).map(|minute| dial_all(&mut book, later + minute * 60, false));
    let more: usize = more.sum();
    assert_eq!(more, 7);
}

#[test]
fn a_teller_whose_word_is_true_is_believed_all_of_it() {
    let mut book = book();
    let told = (0..32).filter(|number| {
        let enode = hearsay(&mut book, *number, 1);
        book.get(&enode.id).is_some()
    });
    let told = told.count();
    let mut dialled = 0;
    for tick in 0..20 {
        dialled += dial_all(&mut book, NOW + tick * 5, true);
    }
    assert_eq!(dialled, told);
}

#[test]
fn two_lies_for_one_truth_are_forgiven_and_more_are_not() {
    for (lies, all) in [(2, true), (8, false)] {
        let mut book = book();
        let mut told = 0;
        for number in 0..120 {
            let enode = hearsay(&mut book, number, 1);
            told += usize::from(book.get(&enode.id).is_some());
        }
        let mut dialled = BTreeSet::new();
        for tick in 0..200 {
            for enode in book.candidates(NOW + tick % 25, 1, |id| !dialled.contains(id)) {
                dialled.insert(enode.id);
                match dialled.len() % (lies + 1) {
                    0 => book.connected(NOW, &enode.id, true),
                    _ => book.failed(NOW, &enode.id),
                }
            }
        }
        assert_eq!(dialled.len() == told, all, "{} of {told} with {lies} lies", dialled.len());
    }
}

#[test]
fn what_discovery_or_the_operator_says_needs_no_credit() {
    let mut book = book();
    for number in 0..8 {
        let enode = node(number);
        book.add(NOW, &enode, AddressOrigin::Configured, None);
    }
    assert_eq!(book.candidates(NOW, 100, |_| true).len(), book.len());
}
