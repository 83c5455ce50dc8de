//! The fault matrix: what a row measured is recorded, all of it, and asserted in the end.
//!
//! `crates/testkit/run` gathers the records of all rows in a table.

use std::cell::RefCell;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

/// The environment variable with the file to which each measurement is appended as a table row.
pub const RESULTS_VARIABLE: &str = "CHAINMESH_TESTKIT_RESULTS";

/// One row of the fault matrix, on one bed.
///
/// A number that is not as it must be fails the test when the row is dropped, so that those behind
/// it are measured, too.
#[derive(Debug)]
pub struct Row {
    number: u32,
    fault: &'static str,
    bed: String,
    wrong: RefCell<Vec<String>>,
}

impl Drop for Row {
    fn drop(&mut self) {
        let wrong = self.wrong.take();
        if !wrong.is_empty() && !std::thread::panicking() {
            let Self { number, fault, bed, .. } = self;
            panic!("row {number} ({fault}), {bed}: {}", wrong.join("; "));
        }
    }
}

impl Row {
    /// The row with this number in the matrix; `bed` says how many nodes over which transport.
    #[must_use]
    pub fn new(number: u32, fault: &'static str, bed: impl Into<String>) -> Self {
        Self { number, fault, bed: bed.into(), wrong: RefCell::default() }
    }

    /// A time that must be below a limit.
    pub fn below(&self, what: &str, measured: Duration, limit: Duration) {
        self.record(what, seconds(measured), format!("< {}", seconds(limit)), measured < limit);
    }

    /// A time for which the matrix has no number.
    pub fn note(&self, what: &str, measured: Duration) {
        self.record(what, seconds(measured), "–".into(), true);
    }

    /// A time that may reach a limit and not exceed it.
    pub fn at_most(&self, what: &str, measured: Duration, limit: Duration) {
        let good = measured <= limit;
        self.record(what, seconds(measured), format!("<= {}", seconds(limit)), good);
    }

    /// A time that must not be shorter.
    pub fn at_least(&self, what: &str, measured: Duration, limit: Duration) {
        let good = measured >= limit;
        self.record(what, seconds(measured), format!(">= {}", seconds(limit)), good);
    }

    /// A count that may not exceed a limit.
    pub fn number_at_most(&self, what: &str, measured: usize, limit: usize) {
        self.record(what, measured.to_string(), format!("<= {limit}"), measured <= limit);
    }

    /// A time that must lie between two limits.
    pub fn between(&self, what: &str, measured: Duration, least: Duration, most: Duration) {
        let limits = format!("{} to {}", seconds(least), seconds(most));
        self.record(what, seconds(measured), limits, (least..=most).contains(&measured));
    }

    /// A number of bytes that may not exceed a limit.
    pub fn bytes_at_most(&self, what: &str, measured: u64, limit: u64) {
        let limits = format!("<= {}", mebibytes(limit));
        self.record(what, mebibytes(measured), limits, measured <= limit);
    }

    /// Something that must be exactly so.
    pub fn equals<T: PartialEq + fmt::Display>(&self, what: &str, measured: T, wanted: T) {
        let good = measured == wanted;
        self.record(what, measured.to_string(), wanted.to_string(), good);
    }

    fn record(&self, what: &str, measured: String, wanted: String, good: bool) {
        let Self { number, fault, bed, wrong } = self;
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
        if !good {
            wrong.borrow_mut().push(format!("{what} is {measured}, wanted {wanted}"));
        }
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
