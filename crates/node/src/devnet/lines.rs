//! The network as one plain line a second, for output that is no terminal.

use super::mesh::MeshView;
use super::sample::{NodeView, View};
use crate::cli::output::{bytes, short_hash};

/// Nodes that are told one by one; of more, only the sums.
const ONE_BY_ONE: usize = 8;

/// One line about the network.
pub(super) fn status(view: &View) -> String {
    let sum = |of: fn(&NodeView) -> u64| view.nodes.iter().map(of).sum::<u64>();
    let mesh = view.consortium.as_ref().map(|consortium| {
        let of = |of: fn(&MeshView) -> u64| {
            each(view, |node| node.mesh.as_ref().map(of).unwrap_or_default())
        };
        let last = consortium.pings.last;
        let answer = last.map_or_else(|| "-".into(), |last| format!("{:.1} ms", millis(last)));
        let (members, delivered) = (of(|mesh| mesh.members as u64), of(|mesh| mesh.delivered));
        format!("members {members}  delivered {delivered}  1 to {} {answer}  ", view.nodes.len())
    });
    let mesh = mesh.unwrap_or_default();
    let payments = view.payments.map(|payments| {
        format!("payments {} sent, {} in blocks  ", payments.sent, payments.included)
    });
    let payments = payments.unwrap_or_default();
    format!(
        "{}  head {} {}  heads {}  peers {}  {mesh}{payments}{:.1} blocks/s  in {}  out {}  {}",
        at(view.elapsed),
        view.best.number,
        short_hash(&view.best.hash),
        each(view, |node| node.head.number),
        each(view, |node| node.peers as u64),
        view.nodes.iter().map(|node| node.blocks_per_second).fold(0.0, f64::max),
        bytes(sum(|node| node.bytes_in)),
        bytes(sum(|node| node.bytes_out)),
        view.phase(),
    )
}

/// One line about an event.
pub(super) fn event(event: &super::events::Event) -> String {
    format!("{}  {}", at(event.at), event.text)
}

fn millis(span: std::time::Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn at(since: std::time::Duration) -> String {
    format!("{:>6.1} s", since.as_secs_f64())
}

fn each(view: &View, of: impl Fn(&NodeView) -> u64) -> String {
    let numbers = view.nodes.iter().map(&of);
    if view.nodes.len() <= ONE_BY_ONE {
        return numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
    }
    let (least, most) = (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0));
    format!("{least}..{most}")
}
