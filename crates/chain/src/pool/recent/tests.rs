//! Tests of what is remembered, and for how long.

use alloy_primitives::U256;

use super::*;

fn hash(number: usize) -> B256 {
    B256::from(U256::from(number))
}

#[test]
fn each_kind_is_bounded_and_forgets_what_came_first() {
    let mut recent = Recent::default();
    for number in 0..MAX_HASHES + 10 {
        recent.refused(hash(number), &Refusal::InvalidSender, 0);
        recent.refused(hash(number), &Refusal::Full, 0);
        recent.mined(hash(number));
    }
    let lengths =
        [recent.bad.values.len(), recent.underpriced.values.len(), recent.mined.values.len()];
    assert_eq!(lengths, [MAX_HASHES; 3]);
    assert_eq!(recent.bad.order.len(), MAX_HASHES);
    assert!(!recent.is_unwanted(&hash(9), 0));
    assert!(recent.is_unwanted(&hash(10), 0));
}

#[test]
fn only_what_can_never_be_valid_is_bad() {
    let mut recent = Recent::default();
    recent.refused(hash(1), &Refusal::NonceMax, 0);
    recent.refused(hash(2), &Refusal::NonceTooLow { next: 2, nonce: 1 }, 0);
    recent.refused(hash(3), &Refusal::Full, 7);
    assert_eq!(recent.bad(&hash(1)), Some(Refusal::NonceMax));
    assert_eq!([2, 3].map(|number| recent.bad(&hash(number))), [None, None]);
    assert!(!recent.is_unwanted(&hash(2), 0), "it may be valid on another branch");
    assert!(recent.is_unwanted(&hash(3), 7 + UNDERPRICED_SECONDS - 1));
    assert!(!recent.is_unwanted(&hash(3), 7 + UNDERPRICED_SECONDS));
}

#[test]
fn what_a_reorganisation_gives_back_may_be_asked_for() {
    let mut recent = Recent::default();
    recent.mined(hash(1));
    assert!(recent.is_unwanted(&hash(1), 0));
    recent.reverted(&hash(1));
    assert!(!recent.is_unwanted(&hash(1), 0));
}
