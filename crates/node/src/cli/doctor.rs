//! `chainmesh doctor`: why something does not work, in words that say what to do.
//!
//! | file | holds |
//! |---|---|
//! | `arguments.rs` | what the command understands |
//! | `ours.rs` | what we bring along: CAs, certificate, key |
//! | `connect.rs` | from the text HOST:PORT to an open TCP connection |
//! | `probe.rs` | one connection: the handshake, and what comes right after it |
//! | `observer.rs` | the two questions of rustls that are listened in on |
//! | `first_words.rs` | which protocol the peer's first bytes inside TLS are |
//! | `finding.rs` | what is wrong: one value for each cause, and words for it |
//! | `advice.rs` | what to do next |
//! | `examine.rs` | how the finding is come by |
//! | `clocks.rs` | dates against our clock, in words |
//! | `report.rs` | all of it, for people and as JSON |

mod advice;
mod arguments;
mod clocks;
mod connect;
mod examine;
mod finding;
mod first_words;
mod observer;
mod ours;
mod probe;
mod report;

pub(super) use arguments::DoctorCommand;
use arguments::TlsArgs;

use super::output;

pub(super) fn run(command: &DoctorCommand) -> anyhow::Result<()> {
    match command {
        DoctorCommand::Tls(args) => tls(args),
    }
}

/// The report is on stdout, whatever it says; that there is no session is the failure.
fn tls(args: &TlsArgs) -> anyhow::Result<()> {
    let report = examine::examine(args)?;
    if args.json {
        output::line(&report.to_json(crate::unix_time()).to_string())?;
    } else {
        output::line(&report.to_text(crate::unix_time()))?;
    }
    if report.finding.is_well() {
        return Ok(());
    }
    anyhow::bail!("no session with {} ({})", report.endpoint, report.finding.label())
}
