//! How long to wait before the next attempt.

use core::time::Duration;

use crate::config::Reconnect;

/// Decorrelated jitter: each pause is drawn between the base and three times the one before
/// ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[derive(Debug)]
pub(crate) struct Backoff {
    rule: Reconnect,
    last: Option<Duration>,
}

impl Backoff {
    pub(crate) const fn new(rule: Reconnect) -> Self {
        Self { rule, last: None }
    }

    /// The next attempt is a first one again.
    pub(crate) const fn reset(&mut self) {
        self.last = None;
    }

    /// The next pause; `random` is any number.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let Reconnect { first, base, longest } = self.rule;
        let between = |low: Duration, high: Duration| {
            let share = random as f64 / u64::MAX as f64;
            low + high.saturating_sub(low).mul_f64(share)
        };
        match self.last {
            None => {
                self.last = Some(base);
                between(Duration::ZERO, first).min(longest)
            }
            Some(last) => {
                let pause = between(base, last.saturating_mul(3)).min(longest);
                self.last = Some(pause);
                pause
            }
        }
    }
}

#[cfg(test)]
mod tests;
