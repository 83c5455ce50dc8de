//! Clients that have not finished their handshakes: for each that is too many the oldest one goes.
//!
//! So whoever connects and says nothing, which takes no certificate, keeps nobody out: a client of
//! the consortium is done in milliseconds.

use std::collections::VecDeque;

use tokio::sync::oneshot::{Receiver, Sender, channel};

/// Clients of a port that have not finished TLS and the upgrade, at most. Chosen: many more than
/// finish a handshake at the same time, and a quarter of the file descriptors of many processes.
pub(super) const MAX_GREETING: usize = 256;

/// The clients of a port that have not finished, the oldest one first.
#[derive(Debug, Default)]
pub(super) struct Greetings(VecDeque<Sender<()>>);

impl Greetings {
    /// One more. What it gets says that it has to go; it is dropped when the client has finished.
    pub(super) fn enter(&mut self) -> Receiver<()> {
        self.0.retain(|one| !one.is_closed());
        while self.0.len() >= MAX_GREETING
            && let Some(oldest) = self.0.pop_front()
        {
            // It may have finished this moment.
            let _ = oldest.send(());
        }
        let (sender, receiver) = channel();
        self.0.push_back(sender);
        receiver
    }
}
