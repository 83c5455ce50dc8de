//! Dates against our clock, in words.

use std::time::Duration;

use chainmesh_identity::certificate::{Date, InspectedCertificate};

use super::super::output;

/// A date that is off by no more than this may well be the fault of a clock, seconds: a day, since a
/// wrong time zone makes hours.
pub(super) const CLOCK_FAULT: u64 = 86_400;

/// How a certificate stands to our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is valid, for so many seconds more.
    Valid { left: u64 },
    /// It came to its end so many seconds ago.
    Expired { since: u64 },
    /// It begins in so many seconds.
    Early { until: u64 },
}

impl Standing {
    pub(super) const fn of(certificate: &InspectedCertificate, now: u64) -> Self {
        if now > certificate.not_after {
            Self::Expired { since: now - certificate.not_after }
        } else if now < certificate.not_before {
            Self::Early { until: certificate.not_before - now }
        } else {
            Self::Valid { left: certificate.not_after - now }
        }
    }

    /// It is off by so little that a clock may be wrong.
    pub(super) const fn may_be_a_clock(self) -> bool {
        match self {
            Self::Valid { .. } => false,
            Self::Expired { since: seconds } | Self::Early { until: seconds } => {
                seconds <= CLOCK_FAULT
            }
        }
    }
}

/// `valid to 2029-11-20T14:14:44Z (1094 days left)`.
pub(super) fn validity(certificate: &InspectedCertificate, now: u64) -> String {
    let (from, to) = (Date(certificate.not_before), Date(certificate.not_after));
    match Standing::of(certificate, now) {
        Standing::Valid { left } => format!("valid to {to} ({} left)", span(left)),
        Standing::Expired { since } => format!("EXPIRED at {to} ({} ago)", span(since)),
        Standing::Early { until } => format!("NOT VALID before {from} (in {})", span(until)),
    }
}

/// Days, where there are two or more; below that hours and minutes.
pub(super) fn span(seconds: u64) -> String {
    match seconds / 86_400 {
        0 | 1 => output::duration(Duration::from_secs(seconds)),
        days => format!("{days} days"),
    }
}
