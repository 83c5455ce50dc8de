//! What people are shown.

use super::*;

#[test]
fn what_a_peer_says_of_itself_is_escaped_and_cut() {
    let mut bed = Bed::new(50);
    let conn = bed.comes_in(1);
    let client = format!("geth\u{1b}[31m\n{}", "x".repeat(100_000));
    let capabilities = vec!["eth/68".to_owned(); 1000];
    bed.handle(Input::HelloReceived { conn, client, capabilities, listen_port: 0 });
    let info = &bed.manager.snapshot().peers[0];
    assert!(info.client.starts_with("geth\\u{1b}[31m\\u{a}xxx"), "{}", info.client);
    assert_eq!(info.client.chars().count(), 64);
    assert_eq!(info.capabilities.len(), 64);
}

#[test]
fn the_report_tells_why_a_target_is_not_connected() {
    let mut bed = Bed::new(50);
    let dial = dialled(&bed.add(target(1), NodeKind::Static))[0];
    bed.handle(Input::Dialed { conn: dial, result: Err(DialError::Refused) });
    let info = &bed.manager.snapshot().peers[0];
    assert_eq!((info.id, info.state, info.dials), (Some(id(1)), PeerState::Waiting, 1));
    let wait = info.next_dial.expect("a next dial").saturating_since(bed.now);
    assert!((Duration::from_millis(750)..Duration::from_millis(1250)).contains(&wait));
    assert_eq!(
        info.history[0].outcome.to_string(),
        "connection refused: nobody listens on this port"
    );
    let conn = dialled(&bed.pass(wait))[0];
    bed.handle(Input::Dialed { conn, result: Ok(address(1)) });
    bed.authenticated(conn, 1);
    let reason = DisconnectReason::UselessPeer;
    bed.handle(Input::Closed { conn, reason, by: ClosedBy::Peer });
    let report = bed.manager.snapshot();
    assert_eq!(
        report.peers[0].history[1].outcome.to_string(),
        "the peer closed: useless peer (no common capability), during the handshake"
    );
    let key = (reason, ClosedBy::Peer, Direction::Outbound);
    assert_eq!(report.counters.disconnects.get(&key), Some(&1));
}

#[test]
fn a_history_is_bounded() {
    let mut bed = Bed::new(50);
    let mut outputs = bed.add(target(1), NodeKind::Static);
    for _ in 0..50 {
        for conn in dialled(&outputs) {
            bed.handle(Input::Dialed { conn, result: Err(DialError::Unreachable) });
        }
        outputs = bed.pass(Duration::from_secs(75));
    }
    assert_eq!(bed.manager.snapshot().peers[0].history.len(), 8);
}
