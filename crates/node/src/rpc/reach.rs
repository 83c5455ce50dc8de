//! Whether others can reach this node, for programs and for `chainmesh peers`.

use chainmesh_net::reach::{Outcome, ReachStatus};
use serde::{Deserialize, Serialize};

/// What is known of whether others can reach this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reachability {
    /// `null`: no peer has tried so far.
    pub reachable: Option<bool>,
    /// The same in words, with what to do.
    pub text: String,
    /// TCP port that was dialled.
    pub port: u16,
    /// Where the node's record says that it is.
    pub advertised: Option<String>,
    /// Where others see it.
    pub seen: Option<String>,
    /// Whether the two are different addresses.
    pub mismatch: bool,
    /// Time since the last round of questions.
    pub checked_seconds: Option<f64>,
    /// Time until the next.
    pub next_seconds: Option<f64>,
    /// What the peers said in the last round.
    pub answers: Vec<ReachAnswer>,
    /// Peers that this node has dialled back.
    pub dialled_for_others: u64,
}

/// What one peer said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReachAnswer {
    /// Who.
    pub id: String,
    /// `reached`, `refused`, `timed out`, `another node`, `unreachable` or `not tried`.
    pub outcome: String,
    /// Where it sees this node.
    pub seen: Option<String>,
}

const fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Reached => "reached",
        Outcome::Refused => "refused",
        Outcome::TimedOut => "timed out",
        Outcome::AnotherNode => "another node",
        Outcome::Unreachable => "unreachable",
        _ => "not tried",
    }
}

impl Reachability {
    pub(super) fn new(status: &ReachStatus) -> Self {
        let report = &status.report;
        let answers = report.statements.iter().map(|said| ReachAnswer {
            id: said.by.to_string(),
            outcome: label(said.outcome).to_owned(),
            seen: said.seen.map(|ip| ip.to_string()),
        });
        let observed = status.observed.map(|observed| observed.to_string());
        Self {
            reachable: report.verdict.is_reachable(),
            text: report.verdict.to_string(),
            port: report.port,
            advertised: status.advertised.map(|advertised| advertised.to_string()),
            seen: observed.or_else(|| status.seen().map(|ip| ip.to_string())),
            mismatch: status.mismatch().is_some(),
            checked_seconds: status.checked_ago.map(|ago| ago.as_secs_f64()),
            next_seconds: status.next_in.map(|next| next.as_secs_f64()),
            answers: answers.collect(),
            dialled_for_others: report.dialled.values().sum(),
        }
    }
}
