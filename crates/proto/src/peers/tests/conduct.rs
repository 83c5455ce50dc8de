//! Offences, and what they lead to.

use super::*;

fn offence(bed: &mut Bed, number: u8, offence: Offence) -> Vec<Output> {
    bed.handle(Input::Offence { id: id(number), offence })
}

fn banned(outputs: &[Output]) -> bool {
    events(outputs).iter().any(|event| matches!(event, PeerEvent::Banned { .. }))
}

#[test]
fn a_low_score_ends_the_session_and_bans_for_a_time() {
    let mut bed = Bed::new(10);
    let conn = bed.comes_in(1);
    let outputs = offence(&mut bed, 1, Offence::Breach);
    assert_eq!(
        events(&outputs),
        [PeerEvent::Misbehaved {
            id: id(1),
            offence: Offence::Breach,
            score: -50,
            direction: Some(Direction::Inbound)
        }]
    );
    assert!(bed.manager.is_connected(&id(1)), "one breach may be a bug");
    let outputs = offence(&mut bed, 1, Offence::Breach);
    assert_eq!(closed(&outputs), [(conn, DisconnectReason::BreachOfProtocol)]);
    assert_eq!(seen(&outputs), [(1, false)]);
    let ban = PeerEvent::Banned {
        id: id(1),
        score: -100,
        offence: Some(Offence::Breach),
        lasts: CONDUCT_BAN,
    };
    assert!(events(&outputs).contains(&ban));
    // Whoever proves to be it is refused, wherever it comes from, and it is not remembered as a target.
    let (again, _) = bed.inbound(SocketAddr::from(([127, 0, 0, 1], 9)));
    let refused = bed.authenticated(again, 1);
    assert_eq!(closed(&refused), [(again, DisconnectReason::Requested)]);
    for kind in [NodeKind::Dynamic, NodeKind::Static] {
        let refused = events(&bed.add(target(1), kind));
        let error = TargetError::Banned;
        assert_eq!(refused, [PeerEvent::TargetRefused { target: target(1), error }]);
    }
    bed.pass(CONDUCT_BAN);
    bed.comes_in(1);
    let report = bed.manager.snapshot();
    assert_eq!(report.counters.offences, BTreeMap::from([(Offence::Breach, 2)]));
    assert_eq!((report.counters.conduct_bans, report.scores), (1, 1));
}

#[test]
fn an_invalid_block_is_enough() {
    let mut bed = Bed::new(10);
    bed.comes_in(1);
    assert!(banned(&offence(&mut bed, 1, Offence::InvalidBlock)));
    assert!(!bed.manager.is_connected(&id(1)));
}

#[test]
fn what_a_peer_did_is_remembered_after_it_left() {
    let mut bed = Bed::new(10);
    let conn = bed.comes_in(1);
    offence(&mut bed, 1, Offence::Breach);
    bed.lost(conn);
    bed.comes_in(1);
    assert_eq!(bed.manager.snapshot().peers[0].score, -50);
    // It may have left before the judgement, too.
    offence(&mut bed, 2, Offence::InvalidBlock);
    let (conn, _) = bed.inbound(address(2));
    assert_eq!(closed(&bed.authenticated(conn, 2)), [(conn, DisconnectReason::Requested)]);
}

#[test]
fn the_operator_lifts_a_ban_and_the_slate_is_clean() {
    let mut bed = Bed::new(10);
    offence(&mut bed, 1, Offence::InvalidBlock);
    bed.handle(Input::Unban { id: id(1) });
    bed.comes_in(1);
    assert_eq!(bed.manager.snapshot().peers[0].score, 0);
}

#[test]
fn what_was_done_during_a_ban_of_the_operator_is_forgiven_with_it() {
    let mut bed = Bed::new(10);
    bed.handle(Input::Ban { id: id(1) });
    assert!(!banned(&offence(&mut bed, 1, Offence::InvalidBlock)));
    bed.handle(Input::Unban { id: id(1) });
    bed.comes_in(1);
}

#[test]
fn whoever_is_at_an_address_that_was_asked_for_is_asked_for() {
    let mut bed = Bed::new(10);
    bed.add(target(1), NodeKind::Static);
    offence(&mut bed, 1, Offence::InvalidBlock);
    bed.handle(Input::RemoveNode { key: TargetKey::Id(id(1)) });
    let conn = dialled(&bed.add(unnamed(1), NodeKind::Static))[0];
    bed.handle(Input::Dialed { conn, result: Ok(address(1)) });
    assert_eq!(closed(&bed.authenticated(conn, 1)), []);
}

#[test]
fn who_is_configured_is_warned_about_and_stays() {
    for kind in [NodeKind::Boot, NodeKind::Static, NodeKind::Trusted] {
        let mut bed = Bed::new(10);
        bed.add(target(1), kind);
        bed.comes_in(1);
        let outputs = offence(&mut bed, 1, Offence::InvalidBlock);
        assert!(events(&outputs).contains(&PeerEvent::Tolerated { id: id(1), score: -100 }));
        assert_eq!(closed(&outputs), []);
        assert_eq!(bed.manager.snapshot().peers[0].score, -100);
    }
}

#[test]
fn who_was_trusted_is_judged_when_it_is_no_more() {
    let mut bed = Bed::new(10);
    bed.add(target(1), NodeKind::Trusted);
    let conn = bed.comes_in(1);
    offence(&mut bed, 1, Offence::InvalidBlock);
    let outputs = bed.handle(Input::Untrust { id: id(1), kind: NodeKind::Dynamic });
    assert!(banned(&outputs));
    assert_eq!(closed(&outputs), [(conn, DisconnectReason::Requested)]);
    // The same for one that is forgotten, when it comes back.
    bed.add(target(2), NodeKind::Static);
    bed.comes_in(2);
    offence(&mut bed, 2, Offence::InvalidBlock);
    bed.handle(Input::RemoveNode { key: TargetKey::Id(id(2)) });
    let (conn, _) = bed.inbound(address(2));
    let outputs = bed.authenticated(conn, 2);
    assert!(banned(&outputs));
    assert_eq!(closed(&outputs), [(conn, DisconnectReason::Requested)]);
}

#[test]
fn merits_are_capped_and_buy_no_offence() {
    let mut bed = Bed::new(10);
    bed.comes_in(1);
    for _ in 0..1000 {
        bed.handle(Input::Merit { id: id(1), merit: Merit::NewBlock });
    }
    assert_eq!(bed.manager.score(bed.now, &id(1)), MAX_SCORE);
    offence(&mut bed, 1, Offence::Breach);
    offence(&mut bed, 1, Offence::Breach);
    assert!(banned(&offence(&mut bed, 1, Offence::Breach)));
}

#[test]
fn the_shunned_are_dialled_when_nobody_else_waits() {
    let mut bed = Bed::with(|config| config.max_concurrent_dials = 1, 50);
    offence(&mut bed, 2, Offence::Breach);
    let first = dialled(&bed.add(target(1), NodeKind::Dynamic));
    for number in 2..=4 {
        bed.add(target(number), NodeKind::Dynamic);
    }
    let (mut order, mut open) = (Vec::new(), first);
    while let (Some(conn), true) = (open.pop(), order.len() < 3) {
        let outputs = bed.handle(Input::Dialed { conn, result: Err(DialError::Refused) });
        order.extend(outputs.iter().filter_map(|output| match output {
            Output::Dial { target, .. } => target.id.map(|id| id.as_bytes()[0]),
            _ => None,
        }));
        open.extend(dialled(&outputs));
    }
    assert_eq!(order, [3, 4, 2]);
}

#[test]
fn this_node_is_never_judged() {
    let mut bed = Bed::new(10);
    assert_eq!(offence(&mut bed, 100, Offence::InvalidBlock), []);
    assert_eq!(bed.manager.snapshot().scores, 0);
}
