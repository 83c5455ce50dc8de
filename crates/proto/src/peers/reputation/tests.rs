//! Scores: how they add up, fade and are forgotten.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn id(number: u16) -> PeerId {
    let mut bytes = [0; 64];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    PeerId::from(bytes)
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

#[test]
fn a_score_halves_with_each_half_life() {
    let mut scores = Reputation::default();
    assert_eq!(scores.change(at(0), id(1), -100), -100);
    let half = SCORE_HALF_LIFE.as_secs();
    for (passed, expected) in [(half, -50), (2 * half, -25), (3 * half, -13), (8 * half, 0)] {
        assert_eq!(scores.score(at(passed), &id(1)), expected, "after {passed} s");
    }
    // 100 divided by the square root of two.
    assert_eq!(scores.score(at(half / 2), &id(1)), -71);
    assert_eq!(scores.score(Instant::from_micros(u64::MAX), &id(1)), 0);
}

#[test]
fn the_worst_score_has_faded_when_its_ban_is_over() {
    let left = faded(i64::from(MIN_SCORE) * MILLI, CONDUCT_BAN);
    assert!(points(left) > SHUNNED_SCORE, "{left}");
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut scores = Reputation::default();
    scores.change(at(1000), id(1), -60);
    assert_eq!(scores.score(at(10), &id(1)), -60);
    assert_eq!(scores.change(at(10), id(1), -10), -70);
}

#[test]
fn the_table_is_bounded_and_the_faintest_goes() {
    let mut scores = Reputation::default();
    let limit = u16::try_from(MAX_SCORES).unwrap();
    for number in 0..limit {
        let weight = if number == 7 { -5 } else { -100 };
        scores.change(at(0), id(number), weight);
    }
    scores.change(at(0), id(limit), -50);
    assert_eq!(scores.len(), MAX_SCORES);
    assert_eq!(scores.score(at(0), &id(7)), 0);
    assert_eq!(scores.score(at(0), &id(8)), -100);
    // What is left counts, not what it was: an old 100 is fainter than a new 40.
    let later = at(5 * SCORE_HALF_LIFE.as_secs());
    scores.change(later, id(0), -40);
    scores.change(later, id(limit + 1), -20);
    // The 50 of before is a 1.5 by now.
    assert_eq!(scores.score(later, &id(limit)), 0);
    assert_eq!(scores.score(later, &id(0)), -43);
    assert_eq!(scores.score(later, &id(1)), -3);
    assert_eq!(scores.len(), MAX_SCORES);
}

#[test]
fn it_does_not_matter_how_often_a_score_is_changed() {
    let mut scores = Reputation::default();
    scores.change(at(0), id(1), -200);
    for second in 1..=SCORE_HALF_LIFE.as_secs() {
        scores.change(at(second), id(1), 0);
    }
    let left = scores.score(at(SCORE_HALF_LIFE.as_secs()), &id(1));
    // 600 roundings of a thousandth of a point, at most.
    assert!((-100..=-99).contains(&left), "{left}");
}

#[test]
fn one_proof_of_intent_bans_and_a_bad_sealer_does_not_part_those_who_pass_on() {
    assert!(-Offence::InvalidBlock.weight() <= BAN_SCORE);
    assert!(-Offence::Breach.weight() > BAN_SCORE);
    // One of five validators makes a bad block at each of its turns, one in three blocks of 15 s.
    let mut scores = Reputation::default();
    for turn in 0..1000 {
        let score = scores.change(at(turn * 45), id(1), -Offence::InvalidExecution.weight());
        assert!(score > BAN_SCORE, "turn {turn}: {score}");
    }
}

#[test]
fn failed_handshakes_at_the_pace_of_a_backoff_do_not_ban() {
    let mut scores = Reputation::default();
    let (mut time, mut wait) = (0, 1);
    for _ in 0..500 {
        let score = scores.change(at(time), id(1), -Offence::FailedHandshake.weight());
        assert!(score > BAN_SCORE, "{score}");
        (time, wait) = (time + wait, (wait * 2).min(45));
    }
}

proptest! {
    #[test]
    fn scores_stay_in_bounds_and_fade_towards_zero(
        changes in vec((any::<i32>(), 0..u64::MAX), 1..40),
        later in any::<u64>(),
    ) {
        let mut scores = Reputation::default();
        for (by, micros) in changes {
            let now = Instant::from_micros(micros);
            let score = scores.change(now, id(1), by);
            prop_assert!((MIN_SCORE..=MAX_SCORE).contains(&score));
            let then = now + Duration::from_micros(later);
            prop_assert!(scores.score(then, &id(1)).abs() <= score.abs());
        }
    }

    #[test]
    fn more_time_never_means_a_stronger_score(milli in -200_000..20_000_i64, a: u64, b: u64) {
        let (a, b) = (Duration::from_micros(a.min(b)), Duration::from_micros(a.max(b)));
        prop_assert!(faded(milli, b).abs() <= faded(milli, a).abs());
        prop_assert!(faded(milli, a).signum() * milli.signum() >= 0);
    }
}
