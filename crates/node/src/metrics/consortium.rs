//! The mesh, the SDKs and the certificates of a consortium.

use chainmesh_identity::certificate::InspectedCertificate;
use chainmesh_net::P2pHandle;

use super::Page;
use crate::consortium::Reloader;

pub(super) fn mesh(page: &mut Page, net: &P2pHandle) {
    let Some(mesh) = net.mesh() else { return };
    let report = mesh.report();
    let reachable = report.members.iter().filter(|member| member.distance.is_some()).count();
    page.gauge("mesh_members", "Other members to whom there is a way", reachable);
    page.gauge("mesh_sessions", "Neighbours", report.sessions.len());
    page.gauge("mesh_pending", "Messages of ours that are not acknowledged", report.pending);
    let counters = &report.counters;
    let packets = [
        ("received", counters.packets_in),
        ("sent", counters.packets_out),
        ("passed_on", counters.forwarded),
        ("dropped_no_hops_left", counters.dropped_ttl),
        ("dropped_no_way", counters.dropped_no_way),
        ("dropped_queue_full", counters.dropped_full),
        ("dropped_over_limit", counters.dropped_limit),
    ];
    let packets = packets.map(|(what, count)| ([what.to_owned()], count));
    page.counters("mesh_packets", "Packets, by what became of them", &["what"], packets);
    let messages = [
        ("sent", counters.messages_sent),
        ("copies", counters.copies_sent),
        ("resent", counters.resent),
        ("delivered", counters.delivered),
        ("duplicate", counters.duplicates),
    ];
    let messages = messages.map(|(what, count)| ([what.to_owned()], count));
    page.counters("mesh_messages", "Messages of applications", &["what"], messages);
}

pub(super) fn amop(page: &mut Page, net: &P2pHandle) {
    let Some(report) = net.amop().and_then(|amop| amop.report()) else { return };
    page.gauge("amop_clients", "SDKs that are connected", report.sessions.len());
    page.gauge("amop_topics", "Topics that somebody follows", report.topics.len());
    page.gauge("amop_waiting", "Unicasts that have not ended", report.waiting);
    let counters = &report.counters;
    let messages = [
        ("published", counters.published),
        ("from_nodes", counters.from_nodes),
        ("pushed", counters.pushed),
        ("delivered", counters.delivered),
        ("failed", counters.failed),
        ("missed", counters.missed),
        ("over_limit", counters.over_limit),
    ];
    let messages = messages.map(|(what, count)| ([what.to_owned()], count));
    page.counters("amop_messages", "Messages, by what became of them", &["what"], messages);
    page.counter("amop_cut", "Clients that were cut because they did not read", counters.cut);
}

/// When certificates end: alert on `chainmesh_certificate_expiry_timestamp_seconds - time() < …`.
pub(super) fn certificates(page: &mut Page, reloader: Option<&Reloader>) {
    let Some(reloader) = reloader else { return };
    let (credentials, trust) = (reloader.material().credentials(), reloader.material().trust());
    let end = |whose: &str, certificate: &InspectedCertificate| {
        ([whose.to_owned(), certificate.subject.clone()], certificate.not_after)
    };
    let own = end("node", credentials.certificate());
    let authorities = trust.authorities().iter().map(|authority| end("ca", authority));
    let of_ports = reloader.sdk_material().map(|material| {
        let credentials = material.credentials();
        end("sdk", credentials.certificate())
    });
    let ends: Vec<_> = std::iter::once(own).chain(of_ports).chain(authorities).collect();
    let help = "When a certificate ends, seconds since 1970";
    page.gauges("certificate_expiry_timestamp_seconds", help, &["whose", "subject"], ends);
}
