//! `chainmesh mesh`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use chainmesh_identity::certificate::Date;
use chainmesh_net::Escaped;
use clap::Args;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use super::output;
use super::running::{RunningNode, refusal};
use crate::rpc::mesh::status::{MemberStatus, MeshStatus};

/// Show the consortium as a running node sees it: members, links, routes and topics
///
/// HOPS is the number of links on the way to a member and VIA the neighbour on that way; LINKED TO
/// are the members it has sessions with, as far as this node can see, each named by its number in
/// the first column. STATUS is the number of the member's last status that this node has.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh mesh --data-dir ./n0
  chainmesh mesh --data-dir ./n0 --json | jq '.members[].hops'
  chainmesh mesh --data-dir ./n0 --reload      after lists have changed")]
pub(super) struct MeshArgs {
    #[command(flatten)]
    node: RunningNode,
    /// Let the node read its certificates, lists and configuration again, and show what changed
    #[arg(long)]
    reload: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &MeshArgs) -> anyhow::Result<()> {
    let method = if args.reload { "mesh_reload" } else { "mesh_status" };
    let answer = super::runtime()?.block_on(async {
        let mut node = args.node.connect().await?;
        node.call(method, json!([])).await
    });
    let answer = answer.map_err(refusal)?;
    if args.json {
        return output::line(&answer.to_string());
    }
    if args.reload {
        return reloaded(&answer);
    }
    let status: MeshStatus = serde_json::from_value(answer)
        .context("the node's answer cannot be understood; is it of another version?")?;
    show(&status)
}

fn reloaded(answer: &Value) -> anyhow::Result<()> {
    let changes = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if changes.is_empty() {
        output::line("Nothing is different.")?;
    }
    for change in changes {
        output::line(change.as_str().unwrap_or_default())?;
    }
    match answer["sessionsEnded"].as_u64() {
        None | Some(0) => Ok(()),
        Some(1) => output::line("1 session was ended, since its peer is refused now"),
        Some(ended) => {
            output::line(&format!("{ended} sessions were ended, since their peers are refused now"))
        }
    }
}

fn show(status: &MeshStatus) -> anyhow::Result<()> {
    output::line(&format!("node         {}", status.id))?;
    output::line(&format!("groups       {}", Escaped(&status.groups.join(" "))))?;
    if let Some(certificate) = &status.certificate {
        let (subject, end) = (Escaped(&certificate.subject), Date(certificate.not_after));
        output::line(&format!("certificate  {subject}, valid to {end}"))?;
    }
    output::line(&format!(
        "numbers      status {}, routes {}, topics {}",
        status.status_seq, status.router_seq, status.topic_seq
    ))?;
    let c = &status.counters;
    output::line(&format!(
        "messages     {} sent in {} copies, {} delivered here, {} passed on for others",
        c.messages_sent, c.copies_sent, c.delivered, c.forwarded
    ))?;
    output::line("")?;
    output::line(&members(status).to_string())?;
    for neighbour in status.sessions.iter().filter(|session| session.kind == "fisco2") {
        let (id, topics) = (short(&neighbour.peer), topics(&neighbour.topics));
        output::line(&format!("neighbour of FISCO BCOS 2.x  {id}  topics: {topics}"))?;
    }
    Ok(())
}

fn members(status: &MeshStatus) -> Table {
    let ids = [&status.id].into_iter().chain(status.members.iter().map(|member| &member.id));
    let numbers: BTreeMap<&str, usize> =
        ids.enumerate().map(|(index, id)| (id.as_str(), index + 1)).collect();
    let mut linked: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (one, other) in &status.links {
        for (from, to) in [(one, other), (other, one)] {
            let number = numbers.get(to.as_str()).copied();
            linked.entry(from).or_default().extend(number);
        }
    }
    let links = |id: &str| {
        let numbers = linked.get(id).into_iter().flatten();
        numbers.map(usize::to_string).collect::<Vec<_>>().join(" ")
    };
    let mut table = super::peers::table(&[
        "#",
        "MEMBER",
        "ROLE",
        "HEIGHT",
        "HOPS",
        "VIA",
        "LINKED TO",
        "STATUS",
        "TOPICS",
    ]);
    table.add_row([
        "1".to_owned(),
        short(&status.id),
        status.role.clone(),
        status.height.to_string(),
        "-".into(),
        "this node".into(),
        links(&status.id),
        status.status_seq.to_string(),
        topics(&status.topics),
    ]);
    for member in &status.members {
        let number = numbers.get(member.id.as_str()).copied().unwrap_or_default();
        let via = member.via.as_deref().and_then(|via| numbers.get(via).copied());
        table.add_row([
            number.to_string(),
            short(&member.id),
            role(member),
            or_unknown(member.height),
            or_unknown(member.hops),
            via_text(member, via, number),
            links(&member.id),
            or_unknown(member.status_seq),
            topics(&member.topics),
        ]);
    }
    for column in [0, 3, 4, 7] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Our own nodes tell their role in their status, FISCO's have none in it.
fn role(member: &MemberStatus) -> String {
    let unknown = if member.status_seq.is_some() { "FISCO" } else { "-" };
    member.role.clone().unwrap_or_else(|| unknown.into())
}

fn via_text(member: &MemberStatus, via: Option<usize>, number: usize) -> String {
    match (member.hops, via) {
        (None, _) => "no way".into(),
        (Some(_), Some(via)) if via == number => "direct".into(),
        (Some(_), via) => or_unknown(via),
    }
}

fn topics(topics: &[String]) -> String {
    Escaped(&topics.join(" ")).to_string()
}

fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// An ID for people: its first eight digits.
pub(super) fn short(id: &str) -> String {
    let head: String = id.chars().take(8).collect();
    format!("{}…", Escaped(&head))
}
