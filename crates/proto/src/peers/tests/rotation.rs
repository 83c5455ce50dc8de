//! Full slots rotate.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
/// The longest wait from full slots to a rotation.
const ROTATION: Duration = Duration::from_secs(300 + 75);

/// A dynamic target that is dialled and becomes a session.
fn found(bed: &mut Bed, number: u8) -> ConnectionId {
    let outputs = bed.add(target(number), NodeKind::Dynamic);
    let conn = dialled(&outputs).first().copied().expect("a dial");
    complete(bed, conn, number);
    conn
}

fn complete(bed: &mut Bed, conn: ConnectionId, number: u8) -> Vec<Output> {
    bed.handle(Input::Dialed { conn, result: Ok(address(number)) });
    let mut outputs = bed.authenticated(conn, number);
    outputs.extend(bed.established(conn));
    outputs
}

/// `count` dynamic peers, from 1 on, one second apart: all slots of theirs are taken.
fn full(max_peers: usize, count: u8) -> (Bed, Vec<ConnectionId>) {
    let mut bed = Bed::new(max_peers);
    let mut conns = Vec::new();
    for number in 1..=count {
        bed.pass(Duration::from_secs(1));
        conns.push(found(&mut bed, number));
    }
    assert_eq!(bed.manager.snapshot().slots.free_dynamic(), 0);
    (bed, conns)
}

/// Lets time pass, until a dial begins.
fn trial(bed: &mut Bed, limit: Duration) -> Option<(ConnectionId, u8)> {
    let end = bed.now + limit;
    while let Some(due) = bed.manager.poll_timeout().filter(|due| *due <= end) {
        let outputs = bed.pass(due.saturating_since(bed.now));
        let dial = outputs.into_iter().find_map(|output| match output {
            Output::Dial { conn, target } => Some((conn, target.id?.as_bytes()[0])),
            _ => None,
        });
        if dial.is_some() {
            return dial;
        }
    }
    bed.now = end;
    None
}

fn rotated(outputs: &[Output]) -> Vec<u8> {
    let gone = events(outputs).into_iter().filter_map(|event| match event {
        PeerEvent::Rotated { id, .. } => Some(id.as_bytes()[0]),
        _ => None,
    });
    gone.collect()
}

#[test]
fn a_candidate_becomes_a_session_before_the_newest_peer_goes() {
    let (mut bed, conns) = full(9, 3);
    assert_eq!(bed.add(target(9), NodeKind::Dynamic), [], "no slot, no dial");
    assert_eq!(trial(&mut bed, ROTATION_INTERVAL * 3 / 4 - MINUTE), None, "not yet");
    let (trial, _) = trial(&mut bed, ROTATION).expect("a dial");
    assert_eq!(bed.manager.peer_count(), 3);
    bed.handle(Input::Dialed { conn: trial, result: Ok(address(9)) });
    assert_eq!(closed(&bed.authenticated(trial, 9)), [], "it has proved its name only");
    let outputs = bed.established(trial);
    assert_eq!(rotated(&outputs), [3]);
    assert_eq!(closed(&outputs), [(conns[2], DisconnectReason::TooManyPeers)]);
    assert_eq!(seen(&outputs), [(9, true), (3, false)]);
    let report = bed.manager.snapshot();
    assert_eq!((report.slots.outbound, report.counters.rotated), (3, 1));
    assert!(!bed.manager.has_target(&id(3)), "or it would come back at once");
}

#[test]
fn of_those_that_are_not_protected_the_worst_goes() {
    let (mut bed, _) = full(18, 6);
    // Protected are the two oldest, 1 and 2, and the two best, 5 and 6.
    for number in [5, 6] {
        bed.handle(Input::Merit { id: id(number), merit: Merit::NewBlock });
    }
    for number in [1, 3] {
        bed.handle(Input::Offence { id: id(number), offence: Offence::UselessAnswer });
    }
    bed.add(target(9), NodeKind::Dynamic);
    let (trial, _) = trial(&mut bed, ROTATION).expect("a dial");
    assert_eq!(rotated(&complete(&mut bed, trial, 9)), [3]);
}

#[test]
fn a_candidate_that_is_dead_costs_nobody_a_peer() {
    let (mut bed, _) = full(9, 3);
    bed.add(target(9), NodeKind::Dynamic);
    let (first, _) = trial(&mut bed, ROTATION).expect("a dial");
    bed.handle(Input::Dialed { conn: first, result: Err(DialError::TimedOut) });
    bed.add(target(8), NodeKind::Dynamic);
    // The next one is not far.
    let (second, _) = trial(&mut bed, Duration::from_secs(38)).expect("a dial");
    bed.handle(Input::Dialed { conn: second, result: Ok(address(8)) });
    bed.lost(second);
    assert_eq!(bed.manager.peer_count(), 3);
    assert_eq!(bed.manager.snapshot().counters.rotated, 0);
}

#[test]
fn without_room_for_one_more_the_other_goes_when_the_candidate_is_proved() {
    let (mut bed, conns) = full(9, 3);
    for number in 11..=16 {
        bed.comes_in(number);
    }
    assert_eq!(bed.manager.snapshot().slots.free_outbound(), 0);
    bed.add(target(9), NodeKind::Dynamic);
    let (trial, _) = trial(&mut bed, ROTATION).expect("a dial");
    bed.handle(Input::Dialed { conn: trial, result: Ok(address(9)) });
    let outputs = bed.authenticated(trial, 9);
    assert_eq!(closed(&outputs), [(conns[2], DisconnectReason::TooManyPeers)]);
    assert_eq!(bed.manager.snapshot().slots.used(), 9);
    assert!(rotated(&bed.established(trial)).is_empty(), "one for one");
}

#[test]
fn with_free_slots_without_candidates_and_when_switched_off_nobody_goes() {
    // A slot is free.
    let mut bed = Bed::new(9);
    for number in 1..=2 {
        found(&mut bed, number);
    }
    assert!(rotated(&bed.pass(MINUTE * 600)).is_empty());
    // Everybody who is known is connected.
    let (mut bed, _) = full(9, 3);
    assert_eq!(bed.pass(MINUTE * 600), []);
    // Nobody could go: two of them, one for each protection.
    let (mut bed, _) = full(6, 2);
    bed.add(target(9), NodeKind::Dynamic);
    assert_eq!(bed.pass(MINUTE * 600), []);
    let (mut bed, _) = full(9, 3);
    bed.manager.config.rotation = false;
    bed.add(target(9), NodeKind::Dynamic);
    assert_eq!(bed.pass(MINUTE * 600), []);
}

#[test]
fn configured_peers_never_go() {
    let mut bed = Bed::new(9);
    for number in 1..=3 {
        let conn = bed.dials(number);
        bed.authenticated(conn, number);
        bed.established(conn);
    }
    bed.add(target(9), NodeKind::Dynamic);
    assert_eq!(bed.pass(MINUTE * 600), []);
}

#[test]
fn over_hours_the_oldest_stay_and_many_others_are_met() {
    let (mut bed, _) = full(9, 3);
    let mut met = BTreeSet::new();
    let mut waiting: VecDeque<u8> = (10..30).collect();
    let end = bed.now + MINUTE * 240;
    while bed.now < end {
        if bed.manager.room_for_dynamic() > 0 {
            let next = waiting.pop_front().expect("twenty are enough");
            bed.add(target(next), NodeKind::Dynamic);
        }
        let Some((conn, number)) = trial(&mut bed, MINUTE) else { continue };
        met.insert(number);
        waiting.extend(rotated(&complete(&mut bed, conn, number)));
        let slots = bed.manager.snapshot().slots;
        assert_eq!(slots.outbound, 3);
    }
    assert!((10..30).all(|number| met.contains(&number)), "{met:?}");
    assert!(bed.manager.is_connected(&id(1)), "the longest-lived is protected");
}

#[test]
fn a_newcomer_gets_the_place_of_the_worst_of_the_newer_inbound_peers() {
    let mut bed = Bed::new(9);
    let conns: Vec<_> = (1..=6)
        .map(|number| {
            bed.pass(Duration::from_secs(1));
            bed.comes_in(number)
        })
        .collect();
    // All have just come.
    let (early, _) = bed.inbound(address(7));
    let refused = bed.authenticated(early, 7);
    assert_eq!(closed(&refused), [(early, DisconnectReason::TooManyPeers)]);
    bed.pass(INBOUND_GRACE);
    bed.handle(Input::Offence { id: id(5), offence: Offence::UselessAnswer });
    bed.handle(Input::Offence { id: id(1), offence: Offence::Breach });
    let (conn, _) = bed.inbound(address(8));
    let outputs = bed.authenticated(conn, 8);
    // Not 1, which is one of the older half.
    assert_eq!(closed(&outputs), [(conns[4], DisconnectReason::TooManyPeers)]);
    bed.established(conn);
    assert_eq!(bed.manager.snapshot().slots.inbound, 6);
    // And not another one within a minute.
    let (next, _) = bed.inbound(address(9));
    assert_eq!(closed(&bed.authenticated(next, 9)), [(next, DisconnectReason::TooManyPeers)]);
    bed.pass(INBOUND_EVICTION_INTERVAL);
    // Nor for one with a bad name.
    bed.handle(Input::Offence { id: id(5), offence: Offence::UselessAnswer });
    let (bad, _) = bed.inbound(address(5));
    assert_eq!(closed(&bed.authenticated(bad, 5)), [(bad, DisconnectReason::TooManyPeers)]);
    let (next, _) = bed.inbound(address(9));
    assert_eq!(closed(&bed.authenticated(next, 9)).len(), 1);
    assert!(bed.manager.snapshot().peers.iter().any(|peer| peer.id == Some(id(9))));
}
