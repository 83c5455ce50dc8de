//! The summary, the JSON document, the DOT graph. What a node chose is escaped and cut before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use chainmesh_net::discovery::fork_id;
use serde_json::{Value, json};

use super::super::output;
use super::super::ping::show::{fork_text, millis, millis_json, record_json, status_json};
use super::graph::{Network, Node, State};

/// Lines of each table of the summary.
const LINES: usize = 10;
/// Columns of the labels.
const LABEL: usize = 10;

/// How often each thing was seen, most often first.
fn counts(things: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for thing in things {
        *counts.entry(thing).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
    counts
}

fn answering(network: &Network) -> impl Iterator<Item = &Node> {
    network.nodes.iter().filter(|node| node.state == State::Answered)
}

/// Name and version of a client, without the platform: `Geth/v1.13.15-stable`.
fn client_of(node: &Node) -> Option<String> {
    let greeting = node.greeting.as_ref()?;
    let name = match (&greeting.client, &greeting.problem) {
        (Some(client), _) => client.split('/').take(2).collect::<Vec<_>>().join("/"),
        (None, Some(problem)) => format!("({problem})"),
        (None, None) => "(no Hello)".to_owned(),
    };
    Some(name)
}

fn fork_of(node: &Node) -> String {
    let Some(record) = &node.record else { return "(no record)".to_owned() };
    let fork = fork_id(record).map(|id| fork_text(id.hash.0, id.next));
    fork.unwrap_or_else(|| "(none)".to_owned())
}

fn network_of(node: &Node) -> Option<String> {
    let status = node.greeting.as_ref()?.status.as_ref()?;
    Some(format!("{}, genesis {}", status.network_id, output::short_hash(&status.genesis)))
}

/// Degrees of those that answered: whom each told of.
fn told(network: &Network) -> Vec<usize> {
    let mut degrees = vec![0; network.nodes.len()];
    for (from, _) in &network.edges {
        if let Some(degree) = degrees.get_mut(*from) {
            *degree += 1;
        }
    }
    let nodes = network.nodes.iter().zip(degrees);
    let mut degrees: Vec<usize> =
        nodes.filter(|(node, _)| node.told > 0).map(|(_, degree)| degree).collect();
    degrees.sort_unstable();
    degrees
}

/// For people.
pub(super) fn summary(network: &Network, network_id: Option<u64>) -> String {
    let mut text = String::new();
    let mut line = |label: &str, words: &str| {
        let _ = writeln!(text, "{label:<LABEL$} {words}");
    };
    let count = |number: usize| output::grouped(number as u64);
    let mut nodes = format!(
        "{} found, {} answered, {} silent",
        count(network.nodes.len()),
        count(network.answered()),
        count(network.count(State::Silent))
    );
    if network.count(State::Waiting) > 0 {
        let _ = write!(nodes, ", {} not asked", count(network.count(State::Waiting)));
    }
    line("nodes", &nodes);
    let degrees = told(network);
    let (least, most) = (degrees.first().copied(), degrees.last().copied());
    let middle = degrees.get(degrees.len() / 2).copied();
    let mut edges = format!("{} times a node told of another", count(network.edges.len()));
    if let (Some(least), Some(middle), Some(most)) = (least, middle, most) {
        let _ = write!(edges, "; each of {least} to {most}, median {middle}");
    }
    line("edges", &edges);
    let mut rtts: Vec<_> = answering(network).filter_map(|node| node.rtt).collect();
    rtts.sort_unstable();
    if let Some(median) = rtts.get(rtts.len() / 2) {
        line("RTT", &format!("median {}", millis(*median)));
    }
    if network.answered() > 0 {
        table(&mut line, "fork IDs", counts(answering(network).map(fork_of)));
    }
    table(&mut line, "networks", counts(answering(network).filter_map(network_of)));
    table(&mut line, "clients", counts(answering(network).filter_map(client_of)));
    if let Some(wanted) = network_id {
        line("of ours", &count(of_network(network, wanted)));
    } else if answering(network).any(|node| node.of_chain.is_some()) {
        let ours = answering(network).filter(|node| node.of_chain == Some(true)).count();
        line("of ours", &count(ours));
    }
    if network.beyond > 0 {
        line("beyond", &format!("{} times there was no room (--max-nodes)", network.beyond));
    }
    if network.unfit > 0 {
        line("unfit", &format!("{} contacts nobody could have reached", network.unfit));
    }
    line("took", &output::duration(network.took));
    if let Some(cut) = network.cut {
        line("not whole", cut);
    }
    text.truncate(text.trim_end().len());
    text
}

fn of_network(network: &Network, wanted: u64) -> usize {
    let of = |node: &&Node| {
        let status = node.greeting.as_ref().and_then(|greeting| greeting.status.as_ref());
        status.is_some_and(|status| status.network_id == wanted)
    };
    answering(network).filter(of).count()
}

fn table(line: &mut impl FnMut(&str, &str), label: &str, counts: Vec<(String, usize)>) {
    for (at, (thing, count)) in counts.iter().take(LINES).enumerate() {
        line(if at == 0 { label } else { "" }, &format!("{count:>5}  {thing}"));
    }
    if counts.len() > LINES {
        let rest: usize = counts.iter().skip(LINES).map(|(_, count)| count).sum();
        line("", &format!("{rest:>5}  of {} other kinds", counts.len() - LINES));
    }
}

/// For programs.
pub(super) fn document(network: &Network, network_id: Option<u64>) -> Value {
    let began = network.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let of = |counts: Vec<(String, usize)>| counts.into_iter().collect::<BTreeMap<_, _>>();
    json!({
        "began": began.as_secs(),
        "seconds": network.took.as_secs_f64(),
        "complete": network.cut.is_none() && network.beyond == 0,
        "cut": network.cut,
        "bootNodes": network.boot_nodes,
        "summary": {
            "found": network.nodes.len(),
            "answered": network.answered(),
            "silent": network.count(State::Silent),
            "notAsked": network.count(State::Waiting),
            "edges": network.edges.len(),
            "beyond": network.beyond,
            "unfit": network.unfit,
            "forkIds": of(counts(answering(network).map(fork_of))),
            "networks": of(counts(answering(network).filter_map(network_of))),
            "clients": of(counts(answering(network).filter_map(client_of))),
            "ofNetwork": network_id.map(|wanted| of_network(network, wanted)),
        },
        "nodes": network.nodes.iter().map(node).collect::<Vec<_>>(),
        "edges": network.edges,
    })
}

fn node(node: &Node) -> Value {
    let greeting = node.greeting.as_ref();
    json!({
        "id": node.contact.id.to_string(),
        "enode": node.contact.enode().to_string(),
        "ip": node.contact.endpoint.ip.to_string(),
        "udp": node.contact.endpoint.udp_port,
        "tcp": node.contact.endpoint.tcp_port,
        "state": node.state.label(),
        "rttMillis": node.rtt.map(millis_json),
        "record": node.record.as_deref().map(record_json),
        "ofChain": node.of_chain,
        "asked": node.asked,
        "answers": node.told,
        "client": greeting.and_then(|greeting| greeting.client.as_ref()),
        "capabilities": greeting.map(|greeting| &greeting.capabilities),
        "status": greeting.and_then(|g| g.status.as_deref()).map(status_json),
        "problem": greeting.and_then(|greeting| greeting.problem.as_ref()),
    })
}

/// A graph for Graphviz: an arrow from who told to whom it told of.
pub(super) fn dot(network: &Network) -> String {
    let mut text = String::from("digraph network {\n  node [shape=box, fontsize=10];\n");
    for (number, node) in network.nodes.iter().enumerate() {
        let mut label =
            format!("{}\n{}", node.contact.id.short(), node.contact.endpoint.udp_address());
        if let Some(client) = client_of(node) {
            let _ = write!(label, "\n{client}");
        }
        let style = match (network.boot_nodes.contains(&number), node.state) {
            (true, _) => ", style=bold",
            (false, State::Answered) => "",
            (false, _) => ", style=dotted",
        };
        let _ = writeln!(text, "  n{number} [label={}{style}];", quoted(&label));
    }
    for (from, to) in &network.edges {
        let _ = writeln!(text, "  n{from} -> n{to};");
    }
    text.push('}');
    text.push('\n');
    text
}

/// A string of DOT: within quotes only the quote and the backslash mean something.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
