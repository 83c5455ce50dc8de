//! Whom the manager dials, and when.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Refuses every dial for `time` and says when each was made.
fn refuse_all(bed: &mut Bed, first: &[Output], time: Duration) -> Vec<Instant> {
    let end = bed.now + time;
    let mut dials = Vec::new();
    let mut open = dialled(first);
    loop {
        while let Some(conn) = open.pop() {
            dials.push(bed.now);
            let outputs = bed.handle(Input::Dialed { conn, result: Err(DialError::Refused) });
            open.extend(dialled(&outputs));
        }
        let Some(due) = bed.manager.poll_timeout().filter(|due| *due <= end) else { break };
        let outputs = bed.pass(due.saturating_since(bed.now));
        open.extend(dialled(&outputs));
    }
    bed.now = end;
    dials
}

#[test]
fn backoff_doubles_from_one_second_to_sixty_with_a_quarter_of_jitter() {
    let mut bed = Bed::new(50);
    let first = bed.add(target(1), NodeKind::Static);
    let dials = refuse_all(&mut bed, &first, Duration::from_secs(600));
    let waits: Vec<f64> =
        dials.windows(2).map(|pair| pair[1].saturating_since(pair[0]).as_secs_f64()).collect();
    assert!(waits.len() > 10, "dialled for ever, not {} times", waits.len());
    for (n, wait) in waits.iter().enumerate() {
        let base = f64::from(1_u32 << n.min(10)).min(60.0);
        assert!((0.75 * base..1.25 * base).contains(wait), "wait {n} was {wait} s");
    }
    assert!(waits.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.001), "there is jitter");
}

#[test]
fn boot_static_and_trusted_targets_are_never_given_up_and_dynamic_ones_after_a_failure() {
    for kind in [NodeKind::Boot, NodeKind::Static, NodeKind::Trusted, NodeKind::Dynamic] {
        let mut bed = Bed::new(50);
        let first = bed.add(target(1), kind);
        let dials = refuse_all(&mut bed, &first, Duration::from_secs(24 * 3600)).len();
        if kind == NodeKind::Dynamic {
            assert_eq!(dials, 1);
            assert!(bed.manager.snapshot().peers.is_empty());
        } else {
            assert!(dials > 1000, "{kind:?}: {dials} dials in a day");
        }
    }
}

#[test]
fn sixteen_dials_at_once_the_most_wanted_first() {
    let mut bed = Bed::new(50);
    for n in 1..=16 {
        assert_eq!(dialled(&bed.add(target(n), NodeKind::Dynamic)).len(), 1);
    }
    for (n, kind) in [(21, NodeKind::Dynamic), (22, NodeKind::Static), (23, NodeKind::Trusted)] {
        assert_eq!(bed.add(target(n), kind), [], "all dials are in use");
    }
    let mut order = Vec::new();
    for conn in 0..3 {
        let result = Err(DialError::Refused);
        let outputs = bed.handle(Input::Dialed { conn: ConnectionId(conn), result });
        order.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Dial { target, .. } => target.id.map(|id| id.as_bytes()[0]),
            _ => None,
        }));
    }
    assert_eq!(order, [23, 22, 21]);
}

#[test]
fn dynamic_targets_get_a_third_of_the_slots() {
    let mut bed = Bed::new(9);
    let mut conns = Vec::new();
    for n in 1..=5 {
        conns.extend(dialled(&bed.add(target(n), NodeKind::Dynamic)));
    }
    assert_eq!(conns.len(), 3);
    for (conn, n) in conns.iter().zip(1..) {
        bed.handle(Input::Dialed { conn: *conn, result: Ok(address(n)) });
        assert_eq!(dialled(&bed.authenticated(*conn, n)), []);
    }
    assert_eq!(dialled(&bed.add(target(6), NodeKind::Static)).len(), 1);
}

#[test]
fn a_dial_that_nobody_answers_ends_after_three_seconds() {
    let mut bed = Bed::new(50);
    let dial = dialled(&bed.add(target(1), NodeKind::Static));
    assert_eq!(bed.pass(SECOND * 3 - Duration::from_micros(1)), []);
    let outputs = bed.pass(Duration::from_micros(1));
    assert_eq!(closed(&outputs), [(dial[0], DisconnectReason::TcpError)]);
    let failed = events(&outputs);
    assert!(
        matches!(
            failed[..],
            [PeerEvent::DialFailed {
                error: DialError::TimedOut,
                failures: 1,
                retry_in: Some(_),
                ..
            }]
        ),
        "{failed:?}"
    );
    // The driver's report comes late: it is about a connection that is forgotten.
    assert_eq!(bed.handle(Input::Dialed { conn: dial[0], result: Ok(address(1)) }), []);
}

#[test]
fn a_session_that_lasted_resets_the_backoff_and_a_short_one_does_not() {
    for (lasts, expected) in [(Duration::from_secs(29), 4), (Duration::from_secs(30), 0)] {
        let mut bed = Bed::new(50);
        let first = bed.add(target(1), NodeKind::Static);
        // Refused at 0, about 1 and about 3 seconds; the fourth dial is at about 7.
        let dials = refuse_all(&mut bed, &first, Duration::from_secs(5));
        assert_eq!(dials.len(), 3);
        let due = bed.manager.poll_timeout().expect("a fourth dial");
        let conn = dialled(&bed.pass(due.saturating_since(bed.now)))[0];
        bed.handle(Input::Dialed { conn, result: Ok(address(1)) });
        bed.authenticated(conn, 1);
        bed.established(conn);
        bed.pass(lasts);
        bed.lost(conn);
        let info = &bed.manager.snapshot().peers[0];
        assert_eq!(info.failures, expected);
        assert_eq!(info.state, PeerState::Waiting);
    }
}

#[test]
fn a_connected_peer_is_not_dialled_and_a_lost_one_is_again() {
    let mut bed = Bed::new(50);
    let inbound = bed.comes_in(1);
    assert_eq!(bed.add(target(1), NodeKind::Static), []);
    assert_eq!(dialled(&bed.pass(SECOND * 120)), []);
    bed.lost(inbound);
    assert_eq!(dialled(&bed.pass(SECOND * 2)).len(), 1);
}

#[test]
fn a_peer_that_comes_in_ends_the_dial_that_has_not_connected() {
    let mut bed = Bed::new(50);
    let dial = dialled(&bed.add(target(1), NodeKind::Static))[0];
    let (inbound, _) = bed.inbound(address(1));
    let outputs = bed.authenticated(inbound, 1);
    assert_eq!(closed(&outputs), [(dial, DisconnectReason::AlreadyConnected)]);
    // The driver's report crosses the decision: no byte may be sent on that connection, for then
    // the peer could prefer it.
    assert_eq!(bed.handle(Input::Dialed { conn: dial, result: Ok(address(1)) }), []);
    bed.established(inbound);
    assert_eq!(bed.manager.snapshot().peers.len(), 1);
}

#[test]
fn a_target_without_an_id_learns_it_and_is_not_dialled_while_that_peer_is_there() {
    let mut bed = Bed::new(50);
    let conn = dialled(&bed.add(unnamed(1), NodeKind::Static))[0];
    bed.handle(Input::Dialed { conn, result: Ok(address(1)) });
    bed.authenticated(conn, 1);
    bed.established(conn);
    bed.lost(conn);
    bed.comes_in(1);
    assert_eq!(dialled(&bed.pass(SECOND * 200)), []);
    assert_eq!(bed.manager.snapshot().slots.outbound, 1, "a configured peer");
}

#[test]
fn an_operator_dials_at_once_and_moves_the_address_and_discovery_does_neither() {
    let mut bed = Bed::new(50);
    let first = bed.add(target(1), NodeKind::Static);
    refuse_all(&mut bed, &first, SECOND * 100);
    let moved = DialTarget { host: Host::Name("node.example".to_owned()), ..target(1) };
    assert_eq!(bed.add(moved.clone(), NodeKind::Dynamic), []);
    assert_eq!(bed.manager.snapshot().peers[0].target, Some(target(1)));
    let outputs = bed.add(moved.clone(), NodeKind::Static);
    assert!(matches!(&outputs[..], [Output::Dial { target, .. }] if *target == moved));
}

#[test]
fn a_removed_target_is_closed_and_never_dialled_again() {
    let mut bed = Bed::new(50);
    let conn = bed.dials(1);
    bed.authenticated(conn, 1);
    bed.established(conn);
    let outputs = bed.handle(Input::RemoveNode { key: target(1).key() });
    assert_eq!(closed(&outputs), [(conn, DisconnectReason::Requested)]);
    assert_eq!(seen(&outputs), [(1, false)]);
    assert_eq!(bed.pass(SECOND * 300), []);
    // In the middle of a dial, too.
    let dial = dialled(&bed.add(target(2), NodeKind::Static))[0];
    let outputs = bed.handle(Input::RemoveNode { key: target(2).key() });
    assert_eq!(closed(&outputs), [(dial, DisconnectReason::Requested)]);
    assert_eq!(bed.pass(SECOND * 300), []);
    assert!(bed.manager.snapshot().peers.is_empty());
}

#[test]
fn targets_that_cannot_be_dialled_are_refused_by_name() {
    let mut bed = Bed::with(|config| config.max_dynamic_targets = 2, 50);
    let refusal = |outputs: Vec<Output>| match events(&outputs)[..] {
        [PeerEvent::TargetRefused { error, .. }] => Some(error),
        _ => None,
    };
    assert_eq!(refusal(bed.add(target(100), NodeKind::Static)), Some(TargetError::OwnId));
    let portless = DialTarget { port: 0, ..target(1) };
    assert_eq!(refusal(bed.add(portless, NodeKind::Static)), Some(TargetError::NoPort));
    for n in 1..=2 {
        assert_eq!(refusal(bed.add(target(n), NodeKind::Dynamic)), None);
    }
    assert_eq!(refusal(bed.add(target(3), NodeKind::Dynamic)), Some(TargetError::TooMany));
    assert_eq!(refusal(bed.add(target(3), NodeKind::Static)), None, "a person may add more");
    bed.add(target(2), NodeKind::Boot);
    assert_eq!(refusal(bed.add(target(4), NodeKind::Dynamic)), None, "2 is not dynamic any more");
}

/// Two nodes that have each other's addresses, one of which was not up when the other dialled: its
/// own dial, a second later, ended the session that stood by then.
#[test]
fn a_peer_that_came_in_from_an_address_that_is_wanted_is_not_dialled_there() {
    for says_where in [true, false] {
        let mut bed = Bed::new(50);
        let wanted = DialTarget { id: None, ..target(1) };
        let first = dialled(&bed.add(wanted, NodeKind::Static))[0];
        bed.handle(Input::Dialed { conn: first, result: Err(DialError::Refused) });
        let conn = bed.comes_in(1);
        let listen_port = if says_where { target(1).port } else { 0 };
        let (client, capabilities) = (String::new(), Vec::new());
        bed.handle(Input::HelloReceived { conn, client, capabilities, listen_port });
        let dials = dialled(&bed.pass(Duration::from_secs(30)));
        assert_eq!(dials.is_empty(), says_where, "{dials:?}");
        if says_where {
            // When it is gone, it is dialled as every other.
            bed.lost(conn);
            assert!(!dialled(&bed.pass(Duration::from_secs(90))).is_empty());
        }
    }
}
