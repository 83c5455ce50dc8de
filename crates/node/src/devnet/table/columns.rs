//! The columns of the table: those of a network of any kind, and those of a consortium.

use ratatui::layout::Constraint;

use crate::cli::output::{bytes, grouped, short_hash};
use crate::devnet::sample::NodeView;

/// A column: its name, its width, whether it holds numbers (which stand to the right), and what is
/// in it.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) width: Constraint,
    pub(super) number: bool,
    pub(super) text: fn(&NodeView) -> String,
}

impl Column {
    const fn text(name: &'static str, width: u16, text: fn(&NodeView) -> String) -> Self {
        Self { name, width: Constraint::Length(width), number: false, text }
    }

    const fn number(name: &'static str, width: u16, text: fn(&NodeView) -> String) -> Self {
        Self { name, width: Constraint::Length(width), number: true, text }
    }
}

const NODE: Column = Column::number("NODE", 4, |node| node.number.to_string());
const ROLE: Column = Column::text("ROLE", 9, |node| node.role.name().into());
/// The last one: what it shows is no text alone. It gets what is left, 8 of 80 at least.
const SYNC: Column =
    Column { name: "SYNC", width: Constraint::Min(8), number: false, text: |_| String::new() };

/// Of a network without a mesh.
pub(super) const OPEN: [Column; 10] = [
    NODE,
    ROLE,
    Column::number("PEERS", 5, |node| node.peers.to_string()),
    Column::number("HEAD", 9, |node| grouped(node.head.number)),
    Column::text("HASH", 9, |node| short_hash(&node.head.hash)),
    Column::number("BLK/S", 6, |node| rate(node.blocks_per_second)),
    Column::number("POOL", 5, |node| grouped(node.pool as u64)),
    Column::number("IN", 7, |node| bytes(node.bytes_in)),
    Column::number("OUT", 7, |node| bytes(node.bytes_out)),
    SYNC,
];

/// Of a consortium.
pub(super) const CONSORTIUM: [Column; 10] = [
    NODE,
    ROLE,
    Column::number("LINKS", 5, |node| of_mesh(node, |mesh| mesh.links.to_string())),
    Column::number("MEMBERS", 7, |node| of_mesh(node, |mesh| mesh.members.to_string())),
    Column::text("ROUTES", 10, |node| of_mesh(node, super::MeshView::routes_text)),
    Column::number("TOPICS", 6, |node| of_mesh(node, |mesh| mesh.topics.len().to_string())),
    Column::number("SENT", 5, |node| of_mesh(node, |mesh| grouped(mesh.sent))),
    Column::number("GOT", 6, |node| of_mesh(node, |mesh| grouped(mesh.delivered))),
    Column::number("HEAD", 7, |node| grouped(node.head.number)),
    SYNC,
];

fn of_mesh(node: &NodeView, text: impl Fn(&super::MeshView) -> String) -> String {
    node.mesh.as_ref().map_or_else(|| "-".into(), text)
}

fn rate(blocks_per_second: f64) -> String {
    match blocks_per_second {
        slow if slow < 99.95 => format!("{slow:.1}"),
        fast => grouped(fast.round() as u64),
    }
}
