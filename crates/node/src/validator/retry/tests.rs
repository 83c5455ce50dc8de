use std::io;

use super::*;

#[test]
fn the_beginning_of_a_trouble_is_kept_until_it_is_over() {
    let mut trouble = Trouble::default();
    assert!(trouble.is_over());
    let why = io::Error::other("full");
    let error = || "full".into();
    let first = ValidatorState::StoreFailed { since: 10, error: error() };
    assert_eq!(trouble.store_failed(&why, 10), first);
    assert_eq!(trouble.store_failed(&why, 15), first);
    assert_eq!(trouble.failed(&why, 20), ValidatorState::Failed { since: 10, error: error() });
    assert!(!trouble.is_over());
    trouble.end();
    assert!(trouble.is_over());
    let again = ValidatorState::Failed { since: 30, error: error() };
    assert_eq!(trouble.failed(&why, 30), again);
}

#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
struct Import(#[source] Store);

#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
struct Store(#[source] io::Error);

#[test]
fn each_cause_is_said_once() {
    let full = || Import(Store(io::Error::other("the disk is full")));
    assert_eq!(text(&full()), "the store failed: the disk is full");
    let wrapped = io::Error::other(full());
    assert_eq!(text(&wrapped), "the store failed: the disk is full");
}
