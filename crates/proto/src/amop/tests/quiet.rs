//! How many lines of the log a session can cause.

use core::time::Duration;

use crate::amop::NoticeBudget;
use crate::time::Instant;

#[test]
fn lines_are_a_stock_that_grows_with_time() {
    let period = Duration::from_secs(10);
    let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
    let mut budget = NoticeBudget::new(2, period, at(0));
    let taken: Vec<_> = (0..5).map(|_| budget.take(at(1))).collect();
    assert_eq!(taken, [Some(0), Some(0), None, None, None]);
    assert_eq!(budget.take(at(10)), None, "the period began with the first line");
    assert_eq!(budget.take(at(11)), Some(4));
    assert_eq!(budget.take(at(20)), None);
    assert_eq!(budget.left_out(), 1);
    // It never has more than its first stock.
    let taken: Vec<_> = (0..3).map(|_| budget.take(at(1_000_000))).collect();
    assert_eq!(taken, [Some(0), Some(0), None]);
}
