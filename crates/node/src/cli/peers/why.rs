//! `chainmesh peers --why`: the story of one peer.

use std::path::Path;

use anyhow::Context as _;
use chainmesh_net::EscapedTo;
use serde_json::json;

use super::{NOT_UNDERSTOOD, span, table};
use crate::cli::output;
use crate::cli::running::refusal;
use crate::ipc::client::IpcClient;
use crate::rpc::story::{BanReport, MismatchReport, PeerReport};

/// Characters of a text that came from a peer.
const SHOWN: usize = 160;

pub(super) fn run(data_dir: &Path, peer: &str, as_json: bool) -> anyhow::Result<()> {
    let answer = crate::cli::runtime()?.block_on(async {
        IpcClient::connect(data_dir).await?.call("admin_explainPeer", json!([peer])).await
    });
    let answer = answer.map_err(refusal)?;
    if as_json {
        return output::line(&answer.to_string());
    }
    let stories: Vec<PeerReport> = serde_json::from_value(answer).context(NOT_UNDERSTOOD)?;
    if stories.is_empty() {
        return output::line(
            "This node knows of no such peer: nobody named it, discovery has not found it, and it \
             never came here.",
        );
    }
    for (place, story) in stories.iter().enumerate() {
        if place > 0 {
            output::line("")?;
        }
        show(story)?;
    }
    Ok(())
}

/// What the line of a mismatch begins with.
fn mismatch_name(kind: &str) -> &'static str {
    match kind {
        "network" | "genesis" => "other chain",
        "fork" => "other forks",
        "refused" => "refuses us",
        _ => "of no use",
    }
}

/// What does not fit, when that was seen, and what follows from it.
fn mismatch_text(mismatch: &MismatchReport, kind: Option<&str>, now: u64) -> String {
    let seen = span(now.saturating_sub(mismatch.seen) as f64);
    let then = match kind {
        Some("boot" | "static" | "trusted") => {
            "dialled all the same, since it is configured".into()
        }
        _ => match mismatch.not_dialled_before.saturating_sub(now) {
            0 => "may be dialled again".into(),
            left => format!("not dialled for another {}", span(left as f64)),
        },
    };
    format!("{}, seen {seen} ago; {then}", mismatch.text)
}

pub(super) fn show(story: &PeerReport) -> anyhow::Result<()> {
    let now = crate::unix_time();
    let ago = |at: Option<u64>| match at {
        Some(at) => format!("{} ago", span(now.saturating_sub(at) as f64)),
        None => "never".to_owned(),
    };
    let line =
        |name: &str, value: &str| output::line(&format!("{name:<14}{}", EscapedTo(value, 300)));
    line("peer", story.id.as_deref().unwrap_or("not known"))?;
    line("enode", story.enode.as_deref().unwrap_or("not known where it listens"))?;
    let mut state = story.state.clone();
    let slot = story.slot.as_ref().map(|slot| format!("{slot} slot"));
    for part in [&story.direction, &slot].into_iter().flatten() {
        state = format!("{state}, {part}");
    }
    if let Some(seconds) = story.connected_seconds {
        state = format!("{state}, for {}", span(seconds));
    }
    line("state", &state)?;
    if story.score != 0 {
        line("score", &story.score.to_string())?;
    }
    if let Some(client) = &story.client {
        line("client", client)?;
    }
    let wanted: Vec<&str> = [
        story.kind.as_deref(),
        story.is_static.then_some("added by the operator"),
        story.is_trusted.then_some("trusted by the operator"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !wanted.is_empty() {
        line("wanted", &wanted.join(", "))?;
    }
    if let Some(origin) = &story.origin {
        let by = story.told_by.as_ref().map_or_else(String::new, |by| format!(", told by {by}"));
        line("address from", &format!("{origin}{by}, {}", ago(story.known_since)))?;
    }
    line(
        "dials",
        &format!(
            "{} in this run; {} led to a session in all runs, the last {}; {} failures in a row",
            story.attempts,
            story.successes,
            ago(story.last_success),
            story.failures
        ),
    )?;
    line("last dial", &ago(story.last_tried))?;
    line("heard of", &ago(story.last_seen))?;
    if let Some(error) = &story.last_error {
        line("last error", error)?;
    }
    if let Some(mismatch) = &story.mismatch {
        line(mismatch_name(&mismatch.kind), &mismatch_text(mismatch, story.kind.as_deref(), now))?;
    }
    for (name, ban) in [("banned", &story.ban), ("address ban", &story.address_ban)] {
        if let Some(BanReport { since, until, reason }) = ban {
            let end = until.map_or_else(
                || "until it is lifted".to_owned(),
                |until| format!("for another {}", span(until.saturating_sub(now) as f64)),
            );
            line(name, &format!("{}, {end}: {reason}", ago(Some(*since))))?;
        }
    }
    line("next", &story.next)?;
    if story.incidents.is_empty() {
        return Ok(());
    }
    let mut table = table(&["WHEN", "DIR", "STAGE", "WHAT"]);
    for incident in &story.incidents {
        table.add_row([
            format!("{} ago", span(incident.seconds_ago as f64)),
            if incident.direction == "inbound" { "in" } else { "out" }.to_owned(),
            EscapedTo(&incident.stage, SHOWN).to_string(),
            EscapedTo(&incident.text, SHOWN).to_string(),
        ]);
    }
    output::line("")?;
    output::line(&table.to_string())
}
