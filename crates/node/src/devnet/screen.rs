//! Where the network is shown: a table in a terminal, lines, or JSON.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::sample::View;
use super::table::{CONSORTIUM_LINES, LiveTable};
use super::{json, lines};
use crate::cli::output;

/// The three of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScreenKind {
    Table,
    Lines,
    Json,
}

impl ScreenKind {
    /// The table needs a terminal at both ends: it listens to keys.
    pub(super) fn choose(json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match json {
            true => Self::Json,
            false if !dumb && io::stdout().is_terminal() && io::stdin().is_terminal() => {
                Self::Table
            }
            false => Self::Lines,
        }
    }
}

pub(super) enum Screen {
    Table(Box<LiveTable>),
    /// How many events were shown.
    Lines(u64),
    Json(u64),
}

impl Screen {
    pub(super) fn open(kind: ScreenKind, nodes: usize, consortium: bool) -> anyhow::Result<Self> {
        let more = if consortium { CONSORTIUM_LINES } else { 0 };
        Ok(match kind {
            ScreenKind::Table => Self::Table(Box::new(LiveTable::open(nodes, more)?)),
            ScreenKind::Lines => Self::Lines(0),
            ScreenKind::Json => Self::Json(0),
        })
    }

    /// Time between two pictures.
    pub(super) const fn pace(&self) -> Duration {
        match self {
            Self::Table(_) => Duration::from_millis(200),
            Self::Lines(_) | Self::Json(_) => Duration::from_secs(1),
        }
    }

    pub(super) fn show(&mut self, view: &View) -> anyhow::Result<()> {
        match self {
            Self::Table(table) => table.show(view),
            Self::Lines(seen) => {
                for event in view.events_after(*seen) {
                    output::line(&lines::event(event))?;
                }
                *seen = view.event_count;
                output::line(&lines::status(view))
            }
            Self::Json(seen) => {
                let line = json::status(view, *seen);
                *seen = view.event_count;
                output::line(&line)
            }
        }
    }

    /// Waits until the user presses a key that ends the program.
    pub(super) async fn quit(&mut self) {
        match self {
            Self::Table(table) => table.quit().await,
            Self::Lines(_) | Self::Json(_) => core::future::pending().await,
        }
    }

    /// Leaves the terminal as it was.
    pub(super) fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Table(table) => table.close(),
            Self::Lines(_) | Self::Json(_) => Ok(()),
        }
    }
}
