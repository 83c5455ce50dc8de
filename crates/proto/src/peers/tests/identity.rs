//! Who is at the other end, and which of two connections to one peer is kept.

use super::*;

const ALREADY: DisconnectReason = DisconnectReason::AlreadyConnected;

/// Both directions of one pair, in their handshake: ours and theirs.
fn crossed(bed: &mut Bed, number: u8) -> (ConnectionId, ConnectionId) {
    let ours = bed.dials(number);
    let (theirs, _) = bed.inbound(address(number));
    (ours, theirs)
}

/// The manager's ID is 100. Whatever the order, the connection that the lower ID dialled is kept.
#[test]
fn of_two_directions_the_one_dialled_by_the_lower_id_is_kept() {
    for (peer, we_are_lower) in [(200, true), (50, false)] {
        for ours_first in [true, false] {
            for established in [true, false] {
                let mut bed = Bed::new(50);
                let (ours, theirs) = crossed(&mut bed, peer);
                let (first, second) = if ours_first { (ours, theirs) } else { (theirs, ours) };
                let mut outputs = bed.authenticated(first, peer);
                if established {
                    outputs.extend(bed.established(first));
                }
                outputs.extend(bed.authenticated(second, peer));
                let (kept, lost) = if we_are_lower { (ours, theirs) } else { (theirs, ours) };
                assert_eq!(closed(&outputs), [(lost, ALREADY)]);
                outputs.extend(bed.established(kept));
                assert_eq!(seen(&outputs), [(peer, true)], "observers see one peer, once");
                let report = bed.manager.snapshot();
                assert_eq!(report.slots.used(), 1);
                assert_eq!(report.peers.len(), 1);
                assert_eq!(report.peers[0].connection, Some(kept));
                assert_eq!(bed.pass(Duration::from_secs(100)), [], "no dial, no close follows");
            }
        }
    }
}

#[test]
fn of_two_connections_in_one_direction_the_older_is_kept() {
    let mut bed = Bed::new(50);
    let (first, _) = bed.inbound(address(1));
    let (second, _) = bed.inbound(address(1));
    bed.authenticated(second, 1);
    assert_eq!(closed(&bed.authenticated(first, 1)), [(first, ALREADY)], "older by its proof");
    bed.established(second);
    assert!(bed.manager.is_connected(&id(1)));
}

/// The survivor fails before it is a session: only then do observers hear of an end.
#[test]
fn observers_hear_of_a_replaced_session_only_if_the_survivor_fails() {
    let mut bed = Bed::new(50);
    let (ours, theirs) = crossed(&mut bed, 200);
    bed.authenticated(theirs, 200);
    assert_eq!(seen(&bed.established(theirs)), [(200, true)]);
    let outputs = bed.authenticated(ours, 200);
    assert_eq!(closed(&outputs), [(theirs, ALREADY)]);
    assert_eq!(seen(&outputs), []);
    assert_eq!(bed.manager.peer_count(), 1);
    assert_eq!(seen(&bed.lost(ours)), [(200, false)]);
    assert_eq!(bed.manager.peer_count(), 0);
}

/// The peer's word that it prefers our dial comes before its proof on that dial.
#[test]
fn a_session_that_the_peer_closes_for_our_dial_goes_on_for_observers() {
    let mut bed = Bed::new(2);
    let (ours, theirs) = crossed(&mut bed, 200);
    bed.authenticated(theirs, 200);
    bed.established(theirs);
    let outputs = bed.handle(Input::Closed { conn: theirs, reason: ALREADY, by: ClosedBy::Peer });
    assert_eq!(seen(&outputs), []);
    assert_eq!(bed.manager.snapshot().slots.used(), 1, "the dial keeps the slot");
    bed.authenticated(ours, 200);
    let outputs = bed.established(ours);
    assert_eq!(seen(&outputs), []);
    assert_eq!(events(&outputs), [PeerEvent::PeerMoved { id: id(200), conn: ours }]);
    assert_eq!(bed.manager.snapshot().slots.used(), 1);
    assert_eq!(seen(&bed.lost(ours)), [(200, false)]);
    assert_eq!(bed.manager.snapshot().slots.used(), 0);

    // And when the dial then fails, observers hear so.
    let mut bed = Bed::new(2);
    let (ours, theirs) = crossed(&mut bed, 200);
    bed.authenticated(theirs, 200);
    bed.established(theirs);
    bed.handle(Input::Closed { conn: theirs, reason: ALREADY, by: ClosedBy::Peer });
    assert_eq!(seen(&bed.lost(ours)), [(200, false)]);
    assert_eq!(bed.manager.snapshot().slots.used(), 0);
}

/// The dial that inherits a slot meets yet another connection of the same peer: one slot remains.
#[test]
fn an_inherited_slot_is_not_counted_twice() {
    for (peer, ours_wins) in [(200, true), (50, false)] {
        let mut bed = Bed::new(9);
        let (ours, theirs) = crossed(&mut bed, peer);
        bed.authenticated(theirs, peer);
        bed.established(theirs);
        bed.handle(Input::Closed { conn: theirs, reason: ALREADY, by: ClosedBy::Peer });
        let (third, _) = bed.inbound(address(peer));
        bed.authenticated(third, peer);
        let outputs = bed.authenticated(ours, peer);
        let loser = if ours_wins { third } else { ours };
        assert_eq!(closed(&outputs), [(loser, ALREADY)]);
        assert_eq!(bed.manager.snapshot().slots.used(), 1);
        let kept = if ours_wins { ours } else { third };
        assert_eq!(
            events(&bed.established(kept)),
            [PeerEvent::PeerMoved { id: id(peer), conn: kept }]
        );
        bed.lost(kept);
        assert_eq!(bed.manager.snapshot().slots.used(), 0);
    }
}

#[test]
fn a_crossed_dial_needs_no_inbound_slot() {
    let mut bed = Bed::new(3);
    bed.comes_in(1);
    bed.comes_in(2);
    let (_, theirs) = crossed(&mut bed, 50);
    assert_eq!(closed(&bed.authenticated(theirs, 50)), []);
    assert_eq!(bed.manager.snapshot().slots.outbound, 1);
}

#[test]
fn a_node_never_talks_to_itself_and_dials_its_own_address_once() {
    let mut bed = Bed::new(50);
    let conn = dialled(&bed.add(unnamed(1), NodeKind::Static))[0];
    bed.handle(Input::Dialed { conn, result: Ok(address(1)) });
    let (other_end, _) = bed.inbound(address(1));
    let own = DisconnectReason::SelfConnection;
    assert_eq!(closed(&bed.authenticated(other_end, 100)), [(other_end, own)]);
    let outputs = bed.authenticated(conn, 100);
    assert_eq!(closed(&outputs), [(conn, own)]);
    assert!(events(&outputs).contains(&PeerEvent::OwnAddress { target: unnamed(1).key() }));
    assert_eq!(dialled(&bed.pass(Duration::from_secs(3600))), []);
    // Under whatever name, and whoever asks.
    assert_eq!(bed.add(unnamed(1), NodeKind::Trusted), []);
    assert_eq!(bed.add(target(1), NodeKind::Static), []);
    assert!(bed.manager.snapshot().peers.iter().all(|info| info.state == PeerState::OwnAddress));
    // The node behind the name has moved: its new address is tried.
    let moved = DialTarget { host: Host::Ip(ip(2)), ..target(1) };
    assert_eq!(dialled(&bed.add(moved, NodeKind::Static)).len(), 1);
}

#[test]
fn another_node_than_the_dialled_one_is_refused_and_stays_welcome_itself() {
    let mut bed = Bed::new(50);
    let conn = bed.dials(1);
    let outputs = bed.authenticated(conn, 2);
    assert_eq!(closed(&outputs), [(conn, DisconnectReason::UnexpectedIdentity)]);
    assert_eq!(
        events(&outputs)[0],
        PeerEvent::UnexpectedIdentity { expected: id(1), found: id(2), address: Some(address(1)) }
    );
    let info = &bed.manager.snapshot().peers[0];
    assert_eq!(info.history[0].outcome, Outcome::UnexpectedIdentity { found: id(2) });
    bed.comes_in(2);
    bed.comes_in(1);
}

/// The other end of a session has crashed without a word: its new connection is refused, but the
/// old one is probed, and the next attempt gets in.
#[test]
fn a_dead_session_makes_room_after_a_probe() {
    let mut bed = Bed::new(50);
    let dead = bed.comes_in(1);
    bed.pass(Duration::from_secs(60));
    let (again, _) = bed.inbound(address(1));
    let outputs = bed.authenticated(again, 1);
    assert_eq!(closed(&outputs), [(again, ALREADY)]);
    assert!(outputs.contains(&Output::Probe { conn: dead }));
    let outputs = bed.pass(PROBE_TIMEOUT);
    assert_eq!(closed(&outputs), [(dead, DisconnectReason::PingTimeout)]);
    assert_eq!(seen(&outputs), [(1, false)]);
    bed.comes_in(1);
}

/// Further attempts while the probe runs do not give the dead session more time.
#[test]
fn a_probe_ends_on_time_however_often_the_peer_tries() {
    let mut bed = Bed::new(50);
    let dead = bed.comes_in(1);
    bed.pass(Duration::from_secs(60));
    let mut ended = Vec::new();
    for _ in 0..11 {
        let (again, _) = bed.inbound(address(1));
        bed.authenticated(again, 1);
        ended.extend(closed(&bed.pass(Duration::from_secs(2))));
    }
    assert!(ended.contains(&(dead, DisconnectReason::PingTimeout)), "{ended:?}");
}

/// Two nodes with one key: the first one stays, both know, nothing flips.
#[test]
fn duplicate_identity_is_named_and_does_not_flip_flop() {
    let mut bed = Bed::new(50);
    let first = bed.comes_in(1);
    let mut probes = 0;
    for _ in 0..120 {
        bed.pass(Duration::from_millis(500));
        let (second, _) = bed.inbound(address(2));
        let outputs = bed.authenticated(second, 1);
        assert_eq!(closed(&outputs), [(second, ALREADY)]);
        if outputs.contains(&Output::Probe { conn: first }) {
            probes += 1;
            let outputs = bed.handle(Input::Alive { conn: first });
            assert_eq!(events(&outputs), [PeerEvent::DuplicateIdentity { id: id(1) }]);
        }
    }
    assert_eq!(probes, 12, "one probe in five seconds");
    assert_eq!(bed.manager.snapshot().counters.duplicate_identity, 12);
    assert!(bed.manager.is_connected(&id(1)));
}

#[test]
fn reports_about_forgotten_connections_are_ignored() {
    let mut bed = Bed::new(50);
    let conn = bed.comes_in(1);
    bed.handle(Input::Disconnect { id: id(1), reason: DisconnectReason::BreachOfProtocol });
    let before = bed.manager.snapshot();
    assert_eq!(bed.lost(conn), []);
    assert_eq!(bed.authenticated(conn, 1), []);
    assert_eq!(bed.established(conn), []);
    assert_eq!(bed.handle(Input::Alive { conn }), []);
    assert_eq!(bed.manager.snapshot(), before);
}
