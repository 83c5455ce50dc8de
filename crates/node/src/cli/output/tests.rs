//! Numbers as people read them.

use std::time::Duration;

use super::{bytes, duration, grouped, sentence};

#[test]
fn bytes_keep_about_three_digits() {
    let cases = [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (12_345_678, "12 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_000_000_000_000, "7.0 TB"),
    ];
    for (count, text) in cases {
        assert_eq!(bytes(count), text, "{count}");
    }
}

#[test]
fn thousands_stand_apart() {
    let cases = [(0, "0"), (999, "999"), (1000, "1 000"), (12_345_678, "12 345 678")];
    for (number, text) in cases {
        assert_eq!(grouped(number), text);
    }
}

#[test]
fn a_time_span_has_two_units_at_most() {
    let cases = [
        (Duration::from_millis(4_249), "4.2 s"),
        (Duration::from_secs(59), "59 s"),
        (Duration::from_secs(185), "3 min 5 s"),
        (Duration::from_secs(7_800), "2 h 10 min"),
        (Duration::from_secs(90_000), "1 d 1 h"),
    ];
    for (span, text) in cases {
        assert_eq!(duration(span), text);
    }
}

#[test]
fn a_cause_is_told_once() {
    let cause = std::io::Error::other("disk full");
    let error = anyhow::Error::new(cause).context("writing failed: disk full").context("no chain");
    assert_eq!(sentence(&error), "no chain: writing failed: disk full");
}
