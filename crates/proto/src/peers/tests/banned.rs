//! Bans, and trust that is taken back.

use super::*;

#[test]
fn a_ban_ends_the_session_and_refuses_the_next() {
    let mut bed = Bed::new(10);
    let conn = bed.dials(1);
    bed.authenticated(conn, 1);
    bed.established(conn);
    let outputs = bed.handle(Input::Ban { id: id(1) });
    assert_eq!(closed(&outputs), [(conn, DisconnectReason::Requested)]);
    assert_eq!(seen(&outputs), [(1, false)]);
    // It is not dialled any more, whatever time passes and whoever asks.
    assert!(dialled(&bed.pass(Duration::from_secs(600))).is_empty());
    let refused = events(&bed.add(target(1), NodeKind::Trusted));
    let error = TargetError::Banned;
    assert_eq!(refused, [PeerEvent::TargetRefused { target: target(1), error }]);
    // It may connect, and is refused when it has proved who it is.
    let (conn, _) = bed.inbound(address(1));
    let outputs = bed.authenticated(conn, 1);
    assert_eq!(closed(&outputs), [(conn, DisconnectReason::Requested)]);
    let Some(PeerEvent::HandshakeFailed { expected, .. }) = events(&outputs).pop() else {
        panic!("{outputs:?}");
    };
    assert_eq!(expected, Some(id(1)));
    // Others are not concerned, and a ban can be lifted.
    bed.comes_in(2);
    bed.handle(Input::Unban { id: id(1) });
    bed.comes_in(1);
}

#[test]
fn a_ban_gives_up_a_dial_under_way() {
    let mut bed = Bed::new(10);
    let conn = bed.dials(1);
    assert_eq!(
        closed(&bed.handle(Input::Ban { id: id(1) })),
        [(conn, DisconnectReason::Requested)]
    );
    assert_eq!(bed.manager.snapshot().peers, []);
}

#[test]
fn a_banned_address_is_not_taken_and_not_reached() {
    let mut bed = Bed::new(10);
    let conn = bed.comes_in(1);
    let outputs = bed.handle(Input::BanAddress { ip: ip(1) });
    assert_eq!(closed(&outputs), [(conn, DisconnectReason::Requested)]);
    let (conn, outputs) = bed.inbound(address(1));
    assert_eq!(outputs, [Output::RefuseInbound { conn, reason: RefuseReason::Banned }]);
    // A name that leads there: the driver says so when it has connected.
    let outputs = bed.add(target(1), NodeKind::Static);
    let conn = dialled(&outputs)[0];
    let outputs = bed.handle(Input::Dialed { conn, result: Ok(address(1)) });
    assert_eq!(closed(&outputs).len(), 1);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Handshake { .. })));
    let error = events(&outputs).into_iter().find_map(|event| match event {
        PeerEvent::DialFailed { error, .. } => Some(error),
        _ => None,
    });
    assert_eq!(error, Some(DialError::Banned));
    bed.handle(Input::UnbanAddress { ip: ip(1) });
    bed.comes_in(1);
}

#[test]
fn loopback_is_never_banned() {
    let mut bed = Bed::new(10);
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    bed.handle(Input::BanAddress { ip: loopback });
    let (conn, outputs) = bed.inbound(SocketAddr::new(loopback, 1));
    assert_eq!(outputs, [Output::Accept { conn }]);
}

#[test]
fn who_is_trusted_no_more_takes_a_slot_or_goes() {
    for (max_peers, stays) in [(2, true), (1, false)] {
        let mut bed = Bed::new(max_peers);
        bed.add(target(1), NodeKind::Trusted);
        let conn = bed.comes_in(1);
        bed.comes_in(2);
        assert_eq!(bed.manager.snapshot().slots.trusted, 1);
        let outputs = bed.handle(Input::Untrust { id: id(1), kind: NodeKind::Static });
        let slots = bed.manager.snapshot().slots;
        assert_eq!(slots.trusted, 0);
        assert_eq!(bed.manager.is_connected(&id(1)), stays);
        if stays {
            assert_eq!((slots.outbound, slots.inbound), (1, 1));
        } else {
            assert_eq!(closed(&outputs), [(conn, DisconnectReason::TooManyPeers)]);
        }
    }
}

#[test]
fn the_book_is_asked_for_as_many_as_there_is_room() {
    let mut bed = Bed::new(9);
    assert_eq!(bed.manager.room_for_dynamic(), MAX_IDLE_DYNAMIC);
    bed.add(target(1), NodeKind::Dynamic);
    assert_eq!(bed.manager.room_for_dynamic(), MAX_IDLE_DYNAMIC - 1);
    // Three of nine slots are for those that are found.
    for number in 1..=3 {
        bed.add(target(number), NodeKind::Dynamic);
        bed.comes_in(number);
    }
    assert_eq!(bed.manager.snapshot().slots.outbound, 3);
    // Enough for the next rotations, and none without them.
    assert_eq!(bed.manager.room_for_dynamic(), ROTATION_CANDIDATES);
    bed.manager.config.rotation = false;
    assert_eq!(bed.manager.room_for_dynamic(), 0);
}
