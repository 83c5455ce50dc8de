//! Inbound connections before they have an identity, and slots.

use super::*;

fn taken(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Accept { .. }))
}

fn refusal(outputs: &[Output]) -> Option<RefuseReason> {
    outputs.iter().find_map(|output| match output {
        Output::RefuseInbound { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn one_address_gets_eight_handshakes_at_once_and_loopback_any_number() {
    let mut bed = Bed::new(50);
    let first: Vec<_> = (0..8).map(|_| bed.inbound(address(1))).collect();
    assert!(first.iter().all(|(_, outputs)| taken(outputs)));
    let (_, ninth) = bed.inbound(address(1));
    assert_eq!(refusal(&ninth), Some(RefuseReason::TooManyFromAddress));
    assert!(taken(&bed.inbound(address(2)).1), "another address is not affected");
    bed.authenticated(first[0].0, 1);
    assert!(taken(&bed.inbound(address(1)).1), "who proved an identity does not count any more");
    bed.lost(first[1].0);
    assert!(taken(&bed.inbound(address(1)).1), "who left does not count any more");
    let loopback = SocketAddr::from(([127, 0, 0, 1], 9));
    for _ in 0..20 {
        assert!(taken(&bed.inbound(loopback).1));
    }
    let refused = bed.manager.snapshot().counters.refused;
    assert_eq!(refused.get(&RefuseReason::TooManyFromAddress), Some(&1));
}

#[test]
fn addresses_of_one_ipv6_network_and_mapped_ipv4_addresses_are_one_source() {
    let mut bed = Bed::new(50);
    for host in 0..8 {
        let from = SocketAddr::new(format!("2001:db8:1:2::{host:x}").parse().unwrap(), 1);
        assert!(taken(&bed.inbound(from).1));
    }
    let same = SocketAddr::new("2001:db8:1:2:ffff::1".parse().unwrap(), 1);
    assert_eq!(refusal(&bed.inbound(same).1), Some(RefuseReason::TooManyFromAddress));
    let other = SocketAddr::new("2001:db8:1:3::1".parse().unwrap(), 1);
    assert!(taken(&bed.inbound(other).1));
    for _ in 0..8 {
        assert!(taken(&bed.inbound(address(1)).1));
    }
    let mapped = SocketAddr::new("::ffff:198.51.100.1".parse().unwrap(), 1);
    assert_eq!(refusal(&bed.inbound(mapped).1), Some(RefuseReason::TooManyFromAddress));
}

#[test]
fn connections_are_taken_at_a_rate_after_a_burst() {
    let mut bed = Bed::new(50);
    for n in 0..100 {
        assert!(taken(&bed.inbound(address(n)).1), "{n}");
    }
    assert_eq!(refusal(&bed.inbound(address(200)).1), Some(RefuseReason::TooFast));
    bed.pass(Duration::from_millis(19));
    assert_eq!(refusal(&bed.inbound(address(200)).1), Some(RefuseReason::TooFast));
    bed.pass(Duration::from_millis(1));
    assert!(taken(&bed.inbound(address(200)).1), "one token per 20 ms");
    assert_eq!(refusal(&bed.inbound(address(201)).1), Some(RefuseReason::TooFast));
}

#[test]
fn handshakes_are_limited_in_all() {
    let mut bed = Bed::with(|config| config.accept_burst = 1000, 50);
    for n in 0..256_u16 {
        let from = SocketAddr::from(([10, 0, (n / 200) as u8, (n % 200) as u8], 1));
        assert!(taken(&bed.inbound(from).1));
    }
    assert_eq!(refusal(&bed.inbound(address(1)).1), Some(RefuseReason::TooManyPending));
    assert_eq!(bed.manager.snapshot().pending_inbound, 256);
}

#[test]
fn a_handshake_ends_at_its_deadline_whatever_trickles_in() {
    let mut bed = Bed::new(50);
    let (silent, _) = bed.inbound(address(1));
    let (slow, _) = bed.inbound(address(2));
    bed.pass(Duration::from_millis(4900));
    assert_eq!(closed(&bed.authenticated(slow, 2)), []);
    let ended = bed.pass(Duration::from_millis(100));
    let timeout = DisconnectReason::PingTimeout;
    assert_eq!(closed(&ended), [(silent, timeout), (slow, timeout)]);
    assert_eq!(bed.manager.snapshot().pending_inbound, 0);
    assert_eq!(bed.manager.snapshot().slots.used(), 0);
}

#[test]
fn inbound_peers_never_get_the_outbound_reserve() {
    let mut bed = Bed::new(9);
    for n in 1..=6 {
        bed.comes_in(n);
    }
    let (seventh, _) = bed.inbound(address(7));
    let refused = bed.authenticated(seventh, 7);
    assert_eq!(closed(&refused), [(seventh, DisconnectReason::TooManyPeers)]);
    for n in 11..=13 {
        let conn = bed.dials(n);
        assert_eq!(closed(&bed.authenticated(conn, n)), [], "a reserved slot for {n}");
    }
    let slots = bed.manager.snapshot().slots;
    assert_eq!((slots.inbound, slots.outbound, slots.used()), (6, 3, 9));
    assert_eq!(bed.add(target(14), NodeKind::Static), [], "full: no dial");
}

#[test]
fn a_configured_peer_that_comes_in_may_use_the_reserve() {
    let mut bed = Bed::new(3);
    bed.comes_in(1);
    bed.comes_in(2);
    let conn = bed.dials(3);
    bed.handle(Input::Closed { conn, reason: DisconnectReason::TcpError, by: ClosedBy::Network });
    bed.comes_in(3);
    assert_eq!(bed.manager.snapshot().slots.outbound, 1);
}

#[test]
fn trusted_peers_are_beside_max_peers() {
    let mut bed = Bed::new(2);
    bed.comes_in(1);
    let conn = bed.dials(2);
    bed.authenticated(conn, 2);
    let dial = dialled(&bed.add(target(3), NodeKind::Trusted));
    assert_eq!(dial.len(), 1, "dialled although the node is full");
    bed.handle(Input::Dialed { conn: dial[0], result: Err(DialError::Refused) });
    bed.comes_in(3);
    let slots = bed.manager.snapshot().slots;
    assert_eq!((slots.used(), slots.trusted), (2, 1));
    // A peer that becomes trusted makes room.
    bed.add(target(1), NodeKind::Trusted);
    let slots = bed.manager.snapshot().slots;
    assert_eq!((slots.used(), slots.trusted), (1, 2));
}

#[test]
fn a_single_slot_serves_either_direction() {
    let mut bed = Bed::new(1);
    let conn = bed.comes_in(1);
    assert_eq!(bed.add(target(2), NodeKind::Static), []);
    let freed = bed.lost(conn);
    assert_eq!(dialled(&freed).len(), 1, "the waiting target gets the slot at once");
}

#[test]
fn shutdown_closes_everything_and_refuses_the_rest() {
    let mut bed = Bed::new(50);
    let session = bed.comes_in(1);
    let dial = bed.dials(2);
    let outputs = bed.handle(Input::Shutdown);
    let quitting = DisconnectReason::ClientQuitting;
    assert_eq!(closed(&outputs), [(session, quitting), (dial, quitting)]);
    assert_eq!(seen(&outputs), [(1, false)]);
    assert_eq!(refusal(&bed.inbound(address(3)).1), Some(RefuseReason::ShuttingDown));
    assert_eq!(bed.add(target(4), NodeKind::Trusted), []);
    assert_eq!(bed.manager.poll_timeout(), None, "nothing is left to wake up for");
}
