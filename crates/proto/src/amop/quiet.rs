//! How often a client can make the log say something.

use core::time::Duration;

use crate::time::Instant;

/// Lines of the log that one session can cause at once. Chosen: more than an SDK that works ever
/// causes, and few enough to be read.
pub const NOTICES: u32 = 16;
/// Time after which it can cause one more.
pub const NOTICE_PERIOD: Duration = Duration::from_secs(10);

/// A stock of lines for the log that grows with time, so that whoever floods us does not fill the
/// disk. What is left out is counted, and told with the next line that is not.
#[derive(Debug, Clone)]
pub struct NoticeBudget {
    most: u32,
    period: Duration,
    left: u32,
    /// Since when `left` has not grown.
    since: Instant,
    left_out: u64,
}

impl NoticeBudget {
    /// So many lines at once, and one more after each `period`.
    #[must_use]
    pub const fn new(most: u32, period: Duration, now: Instant) -> Self {
        Self { most, period, left: most, since: now, left_out: 0 }
    }

    /// [`NOTICES`] and [`NOTICE_PERIOD`].
    #[must_use]
    pub const fn of_session(now: Instant) -> Self {
        Self::new(NOTICES, NOTICE_PERIOD, now)
    }

    /// Takes one line. `None`: it is to be left out; else how many were, since the last one that was
    /// not.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        while self.left < self.most && now.saturating_since(self.since) >= self.period {
            self.left += 1;
            self.since = self.since + self.period;
        }
        if self.left == self.most {
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(self.left_out())
            }
            None => {
                self.left_out += 1;
                None
            }
        }
    }

    /// How many were left out and not told of yet; from now on they are.
    pub const fn left_out(&mut self) -> u64 {
        core::mem::replace(&mut self.left_out, 0)
    }
}
