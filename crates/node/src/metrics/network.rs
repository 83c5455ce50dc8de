//! Peers, dials, discovery and gossip.

use chainmesh_net::P2pHandle;
use chainmesh_proto::peers::{ClosedBy, Direction, PeerState};

use super::Page;

/// The word for a direction in labels.
const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// The word for who ended a connection in labels.
const fn closed_by(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Us => "us",
        ClosedBy::Peer => "peer",
        ClosedBy::Network => "network",
    }
}

pub(super) async fn peers(page: &mut Page, net: &P2pHandle) {
    let Ok(report) = net.peer_report().await else { return };
    let connected = |wanted: Direction| {
        let peers = report.peers.iter().filter(|peer| peer.state == PeerState::Connected);
        peers.filter(|peer| peer.direction == Some(wanted)).count()
    };
    let directions = [Direction::Inbound, Direction::Outbound];
    let counts = directions.map(|way| ([direction(way).to_owned()], connected(way)));
    page.gauges("peers", "Sessions, by who made the connection", &["direction"], counts);
    let slots = report.slots;
    let used =
        [("inbound", slots.inbound), ("outbound", slots.outbound), ("trusted", slots.trusted)];
    let used = used.map(|(kind, count)| ([kind.to_owned()], count));
    page.gauges("peer_slots_used", "Slots in use; trusted peers are beside them", &["slot"], used);
    page.gauge("peer_slots", "Peers at most, trusted ones not counted", slots.max_peers);
    let pending = report.pending_inbound;
    page.gauge("inbound_handshakes", "Inbound connections without a proven identity", pending);
    page.gauge("dialing", "Dials and their handshakes under way", report.dialing);

    let counters = &report.counters;
    page.counter("dials", "Dials made", counters.dials);
    let failures = counters.dial_failures.iter();
    let failures = failures.map(|(error, count)| ([error.to_string()], *count));
    page.counters("dial_failures", "Dials that led to no connection", &["reason"], failures);
    page.counter("accepted_connections", "Inbound connections taken", counters.accepted);
    let refused = counters.refused.iter();
    let refused = refused.map(|(reason, count)| ([reason.to_string()], *count));
    page.counters("refused_connections", "Inbound connections not taken", &["reason"], refused);
    let ended = counters.disconnects.iter().map(|((reason, by, way), count)| {
        let labels = [reason.to_string(), closed_by(*by).into(), direction(*way).into()];
        (labels, *count)
    });
    let labels = ["reason", "by", "direction"];
    page.counters("disconnects", "Connections that ended", &labels, ended);
    let offences = counters.offences.iter();
    let offences = offences.map(|(offence, count)| ([offence.to_string()], *count));
    page.counters("peer_offences", "What peers did wrong", &["offence"], offences);
    let help = "Peers that were banned for their conduct";
    page.counter("peer_conduct_bans", help, counters.conduct_bans);
    page.counter("peers_rotated", "Peers that were let go for others", counters.rotated);
    let help = "Whether there are fewer peers than the minimum: 1 or 0";
    page.gauge("too_few_peers", help, u8::from(report.too_few_peers));
    let help = "Live second holders of a connected peer's key";
    page.counter("duplicate_identities", help, counters.duplicate_identity);
}

pub(super) async fn discovery(page: &mut Page, net: &P2pHandle) {
    let Some(discovery) = net.discovery() else { return };
    let Ok(report) = discovery.snapshot().await else { return };
    let (sizes, counters) = (&report.sizes, &report.counters);
    page.gauge("discovery_table", "Nodes in the table", sizes.table);
    page.gauge("discovery_proofs", "Nodes that proved where they are", sizes.bonds);
    page.counter("discovery_found", "Nodes that were announced", counters.found);
    page.counter("discovery_foreign", "Nodes of another network", counters.foreign);
    let sent = "Bytes sent in datagrams";
    page.counter("discovery_sent_bytes", sent, counters.sent_bytes);
    let dropped = counters.dropped.iter();
    let dropped = dropped.map(|(reason, count)| ([format!("{reason:?}")], *count));
    let help = "Datagrams dropped without an answer";
    page.counters("discovery_dropped", help, &["reason"], dropped);
}

pub(super) fn pex(page: &mut Page, net: &P2pHandle) {
    let Some(report) = net.pex_report() else { return };
    let counters = &report.counters;
    page.gauge("pex_peers", "Peers that take part in peer exchange", report.peers);
    page.counter("pex_asked", "Questions to peers", counters.asked);
    page.counter("pex_answered", "Questions that peers answered in time", counters.answered);
    page.counter("pex_answers", "Questions of peers that were answered", counters.answers);
    page.counter("pex_refused", "Questions of peers that came too soon", counters.refused);
    page.counter("pex_told", "Nodes that peers were told of", counters.told);
    page.counter("pex_taken", "Nodes that peers told of, taken as hearsay", counters.taken);
    let ignored = counters.ignored.iter();
    let ignored = ignored.map(|(why, count)| ([why.name().to_owned()], *count));
    page.counters("pex_ignored", "Nodes that peers told of, not taken", &["reason"], ignored);
    page.counter("pex_breaches", "Sessions ended for it", counters.breaches);
}

pub(super) fn gossip(page: &mut Page, net: &P2pHandle) {
    let Some(report) = net.gossip_report() else { return };
    page.gauge("gossip_wanted", "Announced transactions that are waited for", report.wanted);
    page.counter("gossip_sent", "Transactions sent whole, each receiver counted", report.sent);
    let help = "Announcements of transactions, each receiver counted";
    page.counter("gossip_announced", help, report.announced);
    page.counter("gossip_fetched", "Transactions asked for that came", report.fetched);
}
