//! The driver's clock: protocol time is the monotonic time since the node started.

use std::time::Instant as System;

use chainmesh_proto::time::Instant;

/// Tells the protocol machines what time it is. Copies tell the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: System,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { epoch: System::now() }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The same point of time for tokio's timers.
    pub(crate) fn at(self, instant: Instant) -> tokio::time::Instant {
        let since = core::time::Duration::from_micros(instant.as_micros());
        // Far beyond any time that matters when it does not fit.
        let far = || self.epoch + core::time::Duration::from_secs(1 << 30);
        tokio::time::Instant::from_std(self.epoch.checked_add(since).unwrap_or_else(far))
    }

    /// Waits until a machine wants to be woken; for ever if it does not.
    pub(crate) async fn sleep_until(self, deadline: Option<Instant>) {
        match deadline {
            Some(at) => tokio::time::sleep_until(self.at(at)).await,
            None => core::future::pending().await,
        }
    }
}
