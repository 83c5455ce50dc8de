//! What is said in the end.

use std::path::Path;

use super::chatter::Pings;
use super::mesh::MeshView;
use super::sample::View;
use crate::cli::output::{bytes, duration, grouped};

/// The summary for people; `kept` is where the data are, if they are kept.
pub(super) fn text(view: &View, kept: Option<&Path>) -> String {
    let mut lines = vec![
        format!("The devnet ran for {}; {}", duration(view.elapsed), verdict(view)),
        String::new(),
        format!(
            "{:>5}  {:<9}  {:>9}  {:>9}  {:>5}  {:>8}  {:>8}",
            "NODE", "ROLE", "HEAD", "BLOCKS", "PEERS", "IN", "OUT"
        ),
    ];
    for node in &view.nodes {
        lines.push(format!(
            "{:>5}  {:<9}  {:>9}  {:>9}  {:>5}  {:>8}  {:>8}",
            node.number,
            node.role.name(),
            grouped(node.head.number),
            grouped(node.blocks),
            node.peers,
            bytes(node.bytes_in),
            bytes(node.bytes_out),
        ));
    }
    if let Some(consortium) = &view.consortium {
        lines.push(String::new());
        lines.push(format!(
            "{:>5}  {:>5}  {:>7}  {:<10}  {:>8}  {:>9}  {:>9}",
            "NODE", "LINKS", "MEMBERS", "ROUTES", "SENT", "DELIVERED", "PASSED ON"
        ));
        lines.extend(
            view.nodes.iter().filter_map(|node| Some(mesh(node.number, node.mesh.as_ref()?))),
        );
        lines.push(String::new());
        lines.push(messages(view.nodes.len(), &consortium.pings));
    }
    if let Some(payments) = &view.payments {
        lines.push(String::new());
        lines.push(format!(
            "Of {} payments that node {} sent, {} are in blocks.",
            grouped(payments.sent),
            view.nodes.len(),
            grouped(payments.included),
        ));
    }
    if let Some(path) = kept {
        lines.push(String::new());
        lines.push(format!(
            "Its data are in {}: run it again with --data-dir to go on.",
            path.display()
        ));
    }
    lines.join("\n")
}

fn mesh(number: usize, mesh: &MeshView) -> String {
    format!(
        "{:>5}  {:>5}  {:>7}  {:<10}  {:>8}  {:>9}  {:>9}",
        number,
        mesh.links,
        mesh.members,
        mesh.routes_text(),
        grouped(mesh.sent),
        grouped(mesh.delivered),
        grouped(mesh.forwarded),
    )
}

/// What became of the messages from the first node to the last.
fn messages(last: usize, pings: &Pings) -> String {
    let link = match last {
        0..3 => String::new(),
        _ => format!("Node 1 and node {last} have no link. "),
    };
    let (answered, all) = (pings.answered, pings.answered + pings.lost);
    format!("{link}Of {all} messages from node 1 to node {last}, {answered} were answered.")
}

fn verdict(view: &View) -> String {
    if view.heads_agree() {
        let (number, hash) = (view.best.number, view.best.hash);
        return format!("all heads agree: block {number}\n{hash}");
    }
    let with = view.nodes.iter().filter(|node| node.head.hash == view.best.hash).count();
    let (all, number) = (view.nodes.len(), view.best.number);
    format!("the heads differ: {with} of {all} nodes have the best one, block {number}")
}
