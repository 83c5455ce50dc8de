//! How a stream of messages goes: how many, how fast, and how long answers take.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use chainmesh_sdk::{PublishError, Reply};
use tokio::time::Instant;

use crate::cli::output;

/// Answer times that are kept for the percentiles; of more, every second one is forgotten, again and
/// again.
const KEPT: usize = 100_000;

/// How a stream of messages goes.
pub(super) struct Tally {
    multicast: bool,
    terminal: bool,
    began: Instant,
    last: (Instant, u64, u64),
    done: u64,
    bytes: u64,
    failed: u64,
    /// The first reason, and of how many it is the reason.
    reason: Option<PublishError>,
    times: Vec<Duration>,
    /// Only every so many-th time is kept.
    step: u64,
    shown: bool,
}

impl Tally {
    pub(super) fn new(multicast: bool) -> Self {
        let now = Instant::now();
        Self {
            multicast,
            terminal: std::io::stderr().is_terminal(),
            began: now,
            last: (now, 0, 0),
            done: 0,
            bytes: 0,
            failed: 0,
            reason: None,
            times: Vec::new(),
            step: 1,
            shown: false,
        }
    }

    /// Notes what came of a message of so many bytes; its answer, if there is one.
    pub(super) fn note<'a>(
        &mut self,
        bytes: usize,
        result: &'a Result<Option<Reply>, PublishError>,
    ) -> Option<&'a Reply> {
        match result {
            Err(error) => {
                self.failed += 1;
                if self.reason.is_none() {
                    self.clear();
                    output::note(&format!("a message was not delivered: {error}"));
                    self.reason = Some(error.clone());
                }
                None
            }
            Ok(reply) => {
                self.done += 1;
                self.bytes += bytes as u64;
                if let Some(reply) = reply {
                    self.time(reply.after);
                    self.clear();
                }
                reply.as_ref()
            }
        }
    }

    fn time(&mut self, after: Duration) {
        if !self.done.is_multiple_of(self.step) {
            return;
        }
        if self.times.len() == KEPT {
            let mut keep = false;
            self.times.retain(|_| {
                keep = !keep;
                keep
            });
            self.step *= 2;
        }
        self.times.push(after);
    }

    /// One line on a terminal that is written over again and again.
    pub(super) fn show(&mut self, now: Instant) {
        let (then, done, bytes) = self.last;
        self.last = (now, self.done, self.bytes);
        if !self.terminal || self.done + self.failed == 0 {
            return;
        }
        let seconds = (now - then).as_secs_f64().max(1e-9);
        let rate = rates(self.done - done, self.bytes - bytes, seconds);
        let line = format!("{}  {rate}{}", self.counts(), self.percentiles());
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
        self.shown = true;
    }

    /// Makes room for another line.
    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[2K").and_then(|()| stderr.flush());
        }
    }

    fn counts(&self) -> String {
        let word = if self.multicast { "handed to the node" } else { "answered" };
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {} failed", output::grouped(failed)),
        };
        format!("{} {word}{failed}", output::grouped(self.done))
    }

    fn percentiles(&self) -> String {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1));
        if times.is_empty() {
            return String::new();
        }
        let show = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        format!(", answer time p50 {:.2} ms, p99 {:.2} ms", show(at(50)), show(at(99)))
    }

    /// The summary.
    ///
    /// # Errors
    /// When something was not delivered.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.clear();
        let span = self.began.elapsed();
        let rate = rates(self.done, self.bytes, span.as_secs_f64().max(1e-9));
        let (counts, times) = (self.counts(), self.percentiles());
        let span = match span.as_millis() {
            short @ ..1_000 => format!("{short} ms"),
            _ => output::duration(span),
        };
        output::note(&format!("{counts} in {span}: {rate}{times}"));
        match (self.failed, self.reason) {
            (0, _) | (_, None) => Ok(()),
            (failed, Some(reason)) => {
                bail!(
                    "{} of {} messages were not delivered; the first: {reason}",
                    output::grouped(failed),
                    output::grouped(failed + self.done)
                )
            }
        }
    }
}

fn rates(messages: u64, bytes: u64, seconds: f64) -> String {
    let (messages, megabytes) = (messages as f64 / seconds, bytes as f64 / seconds / 1e6);
    format!("{messages:.0} messages/s, {megabytes:.2} MB/s")
}
