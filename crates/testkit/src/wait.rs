//! Waiting for a condition: with a deadline, and without a sleep that stands for the condition.

use std::time::{Duration, Instant};

/// Time between two looks at a condition. It is also how late a condition is seen, so measured
/// times are up to this much, and the time of one look, too long.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Long enough for a busy machine; whoever waits for all of it has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until `condition` gives a value, and gives it with the time that passed.
///
/// # Panics
/// When `patience` is over; `what` says what did not happen.
#[track_caller]
pub fn within<T>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
) -> (T, Duration) {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return (value, began.elapsed());
        }
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks until `condition` is true, for [`PATIENCE`] at most, and says how long it took.
///
/// # Panics
/// When [`PATIENCE`] is over.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    within(PATIENCE, what, || condition().then_some(())).1
}

/// Looks for all of `duration` whether `condition` stays true: for what must *not* happen.
///
/// # Panics
/// As soon as it is false.
#[track_caller]
pub fn holds_for(duration: Duration, what: &str, condition: impl FnMut() -> bool) {
    holds_for_with(LOOK_EVERY, duration, what, condition);
}

/// The same with so much time between two looks, where looking itself must not cost much.
///
/// # Panics
/// As soon as it is false.
#[track_caller]
pub fn holds_for_with(
    look_every: Duration,
    duration: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) {
    let began = Instant::now();
    while began.elapsed() < duration {
        assert!(condition(), "no longer so after {:?}: {what}", began.elapsed());
        std::thread::sleep(look_every.min(duration.saturating_sub(began.elapsed())));
    }
}
