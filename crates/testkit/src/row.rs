//! The fault matrix: what a row measured is recorded first, and asserted then.
//!
//! `crates/testkit/run` gathers the records of all rows in a table.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

/// The environment variable with the file to which each measurement is appended as a table row.
pub const RESULTS_VARIABLE: &str = "CHAINMESH_TESTKIT_RESULTS";

/// One row of the fault matrix, on one bed.
#[derive(Debug)]
pub struct Row {
    number: u32,
    fault: &'static str,
    bed: String,
}

impl Row {
    /// The row with this number in the matrix; `bed` says how many nodes over which transport.
    #[must_use]
    pub fn new(number: u32, fault: &'static str, bed: impl Into<String>) -> Self {
        Self { number, fault, bed: bed.into() }
    }

    /// A time that must be below a limit.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn below(&self, what: &str, measured: Duration, limit: Duration) {
        self.record(what, seconds(measured), format!("< {}", seconds(limit)), measured < limit);
    }

    /// A time for which the matrix has no number.
    ///
    /// # Panics
    /// When it cannot be recorded.
    pub fn note(&self, what: &str, measured: Duration) {
        self.record(what, seconds(measured), "–".into(), true);
    }

    /// A time that may reach a limit and not exceed it.
    ///
    /// # Panics
    /// When it does.
    #[track_caller]
    pub fn at_most(&self, what: &str, measured: Duration, limit: Duration) {
        let good = measured <= limit;
        self.record(what, seconds(measured), format!("<= {}", seconds(limit)), good);
    }

    /// A time that must lie between two limits.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn between(&self, what: &str, measured: Duration, least: Duration, most: Duration) {
        let limits = format!("{} to {}", seconds(least), seconds(most));
        self.record(what, seconds(measured), limits, (least..=most).contains(&measured));
    }

    /// A number of bytes that may not exceed a limit.
    ///
    /// # Panics
    /// When it does.
    #[track_caller]
    pub fn bytes_at_most(&self, what: &str, measured: u64, limit: u64) {
        let limits = format!("<= {}", mebibytes(limit));
        self.record(what, mebibytes(measured), limits, measured <= limit);
    }

    /// Something that must be exactly so.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn equals<T: PartialEq + fmt::Display>(&self, what: &str, measured: T, wanted: T) {
        let good = measured == wanted;
        self.record(what, measured.to_string(), wanted.to_string(), good);
    }

    #[track_caller]
    fn record(&self, what: &str, measured: String, wanted: String, good: bool) {
        let Self { number, fault, bed } = self;
        let verdict = if good { "yes" } else { "**NO**" };
        let line =
            format!("| {number} | {fault} | {bed} | {what} | {measured} | {wanted} | {verdict} |");
        println!("{line}");
        if let Some(path) = std::env::var_os(RESULTS_VARIABLE) {
            let file = OpenOptions::new().create(true).append(true).open(&path);
            // One write, so that lines of tests that run at once do not mix.
            let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
            written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        assert!(good, "row {number} ({fault}), {bed}: {what} is {measured}, wanted {wanted}");
    }
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if time.subsec_millis() == 0 || seconds >= 100.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{seconds:.3} s")
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
