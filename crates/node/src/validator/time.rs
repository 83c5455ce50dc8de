//! Waiting for the wall clock.

use std::time::{Duration, SystemTime};

/// Waits until the wall clock shows this second. It is looked at again at least each second: the
/// clock may be set while we wait.
pub(super) async fn sleep_until(at: u64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at.min(u64::from(u32::MAX)));
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}
