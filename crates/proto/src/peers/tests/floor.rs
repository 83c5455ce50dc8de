//! The alarm for too few peers.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn bed(min_peers: usize) -> Bed {
    let mut bed = Bed::with(|config| config.min_peers = min_peers, 10);
    bed.manager.handle_timeout(bed.now);
    bed
}

#[test]
fn the_alarm_comes_after_a_grace_and_goes_when_it_is_calm() {
    let mut bed = bed(2);
    let before = FLOOR_GRACE - SECOND;
    assert_eq!(bed.pass(before), []);
    let one = bed.comes_in(1);
    assert_eq!(events(&bed.pass(SECOND)), [PeerEvent::TooFewPeers { connected: 1, minimum: 2 }]);
    assert!(bed.manager.snapshot().too_few_peers);
    // One that comes and goes ends nothing, and starts no second alarm.
    let two = bed.comes_in(2);
    assert_eq!(bed.pass(FLOOR_CALM - SECOND), []);
    bed.lost(two);
    assert_eq!(bed.pass(FLOOR_GRACE * 3), []);
    bed.comes_in(2);
    assert_eq!(
        events(&bed.pass(FLOOR_CALM)),
        [PeerEvent::EnoughPeers { connected: 2, minimum: 2 }]
    );
    // A peer that is back in time is no reason for an alarm.
    bed.lost(one);
    bed.pass(before);
    bed.comes_in(1);
    assert_eq!(bed.pass(FLOOR_GRACE * 3), []);
}

#[test]
fn without_a_minimum_there_is_no_alarm_and_no_timer() {
    let mut bed = bed(0);
    assert_eq!(bed.manager.poll_timeout(), None);
    let conn = bed.comes_in(1);
    bed.lost(conn);
    assert_eq!(bed.manager.poll_timeout(), None);
}

#[test]
fn the_default_is_one_in_fifty() {
    let minima = [0, 1, 50, 99, 200].map(default_min_peers);
    assert_eq!(minima, [0, 1, 1, 1, 4]);
}
