//! Says in the log that our own certificate comes to its end, early and then more often.

use std::time::{SystemTime, UNIX_EPOCH};

use chainmesh_identity::certificate::{Date, InspectedCertificate};
use tracing::{error, warn};

const DAY: u64 = 86_400;
/// Days that are left when it is said.
const MARKS: [u64; 6] = [30, 14, 7, 3, 2, 1];

/// Remembers what was said.
#[derive(Debug)]
pub(super) struct ExpiryWatch {
    /// Which certificate it is, in the words of the log.
    whose: &'static str,
    /// The end of the certificate that was spoken of, and the last mark.
    said: Option<(u64, u64)>,
}

impl Default for ExpiryWatch {
    fn default() -> Self {
        Self { whose: "our certificate", said: None }
    }
}

impl ExpiryWatch {
    /// For the certificate that the ports for SDKs have for themselves.
    pub(super) const fn for_sdks() -> Self {
        Self { whose: "our certificate for SDKs", said: None }
    }

    /// Looks at the certificate, and logs when a mark was passed since the last look.
    pub(super) fn look(&mut self, certificate: &InspectedCertificate) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let end = certificate.not_after;
        match self.mark(end, now) {
            None => {}
            Some(0) => error!(
                "{} has ended ({}): no new session is possible until there is another (chainmesh ca \
                 issue)",
                self.whose,
                Date(end)
            ),
            Some(_) => warn!(
                "{} ends in {} days ({}): issue another for the same key, and put it in the place \
                 of this one",
                self.whose,
                end.saturating_sub(now) / DAY,
                Date(end)
            ),
        }
    }

    /// The mark that was passed and not said, in days; 0 when the end has come.
    fn mark(&mut self, end: u64, now: u64) -> Option<u64> {
        let left = end.saturating_sub(now);
        let mark = match left {
            0 => 0,
            left => MARKS.into_iter().rev().find(|mark| left <= mark * DAY)?,
        };
        let news = self.said != Some((end, mark));
        self.said = Some((end, mark));
        news.then_some(mark)
    }
}

#[cfg(test)]
mod tests;
