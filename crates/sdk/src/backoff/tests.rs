use core::time::Duration;

use super::Backoff;
use crate::config::Reconnect;

#[test]
fn the_first_is_quick_and_the_others_grow_to_the_longest() {
    let rule = Reconnect::default();
    let mut backoff = Backoff::new(rule);
    assert_eq!(backoff.next(0), Duration::ZERO);
    backoff.reset();
    assert_eq!(backoff.next(u64::MAX), rule.first);
    let pauses: Vec<u64> = (0..6).map(|_| backoff.next(u64::MAX).as_secs()).collect();
    assert_eq!(pauses, [3, 9, 27, 60, 60, 60]);
    assert_eq!(backoff.next(0), rule.base, "a long pause may be followed by a short one");
    backoff.reset();
    assert!(backoff.next(7) <= rule.first);
}
