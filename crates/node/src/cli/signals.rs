//! Ctrl-C and SIGTERM: the first asks to stop, the second ends the process.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code after a second signal: as a shell says it of a process that died of SIGINT.
const INTERRUPTED: i32 = 130;

/// Listens to the signals that ask a process to end.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

/// SIGHUP, by which an operator asks a process to read its files again. From now on it does not end
/// the process. Needs a tokio runtime.
///
/// # Errors
/// When the system does not let us.
pub(crate) fn hangup() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot listen to signals")
}

impl StopSignals {
    /// From now on the signals do not end the process by themselves. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        let (interrupt, terminate) =
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The process is stopping; whoever asks once more does not want to wait for it.
    pub(crate) fn end_on_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(INTERRUPTED);
        });
    }
}
