//! The words of the alarm.

use super::*;

fn floor() -> (Floor, watch::Receiver<Option<TooFewPeers>>) {
    let floor = Floor::new();
    let heard = floor.heard();
    (floor, heard)
}

fn failure(error: DialError) -> PeerEvent {
    let target = chainmesh_proto::peers::TargetKey::Id(PeerId::from([1; 64]));
    PeerEvent::DialFailed { target, error, failures: 1, retry_in: None }
}

fn refused(direction: Direction) -> PeerEvent {
    PeerEvent::HandshakeFailed {
        conn: chainmesh_proto::peers::ConnectionId(1),
        id: None,
        expected: None,
        address: None,
        direction,
        reason: DisconnectReason::TooManyPeers,
        by: ClosedBy::Peer,
    }
}

const ALARM: PeerEvent = PeerEvent::TooFewPeers { connected: 1, minimum: 3 };

#[test]
fn the_commonest_reasons_come_first() {
    let (mut floor, heard) = floor();
    let now = Instant::from_micros(1);
    for _ in 0..9 {
        floor.see(now, &failure(DialError::TimedOut));
    }
    for _ in 0..3 {
        floor.see(now, &refused(Direction::Outbound));
        floor.see(now, &refused(Direction::Inbound));
    }
    floor.see(now, &ALARM);
    let alarm = heard.borrow().clone().unwrap();
    assert_eq!((alarm.connected, alarm.minimum), (1, 3));
    assert_eq!(
        alarm.dials,
        "12 dials failed in the last ten minutes: 9 no answer in time, 3 too many peers"
    );
    floor.see(now, &PeerEvent::EnoughPeers { connected: 3, minimum: 3 });
    assert_eq!(*heard.borrow(), None);
}

#[test]
fn old_failures_are_forgotten_and_new_ones_are_bounded() {
    let (mut floor, heard) = floor();
    floor.see(Instant::from_micros(1), &failure(DialError::Refused));
    let now = Instant::from_micros(1) + FAILURES_FOR + Duration::from_secs(1);
    floor.see(now, &ALARM);
    assert!(heard.borrow().as_ref().unwrap().dials.starts_with("no dial failed"));
    for _ in 0..1000 {
        floor.see(now, &failure(DialError::Unreachable));
    }
    assert_eq!(floor.failures.len(), FAILURES);
}
