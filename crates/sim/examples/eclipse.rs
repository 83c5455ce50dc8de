//! The eclipse attacks of the literature on a node that restarts, with as many seeds as the argument says:
//!
//! ```text
//! cargo run --release -p chainmesh-sim --example eclipse -- 1000
//! ```
//!
//! Prints a table: for each attack, how often every outbound slot was an attacker's a minute after the restart, and
//! how often two were not. Further arguments name the attacks that are run.

use core::time::Duration;
use std::time::Instant;

use chainmesh_sim::peers::eclipse::{Attack, Outcome, run};

fn mean(values: impl Iterator<Item = usize>, count: usize) -> String {
    let sum: usize = values.sum();
    let tenths = sum * 10 / count.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Of a hundred, with two digits behind the point.
fn share(part: usize, all: usize) -> String {
    let hundredths = part * 10_000 / all.max(1);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn line(attack: Attack, fresh: bool, seeds: u64) {
    let began = Instant::now();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for seed in 0..seeds {
        if seed > 0 && seed.is_multiple_of(50) {
            let eclipsed = outcomes.iter().filter(|o| o.is_eclipsed()).count();
            let lonely = outcomes.iter().filter(|o| o.two_honest.is_none()).count();
            eprintln!("{attack:?}, {seed} seeds: {eclipsed} eclipsed, {lonely} without two honest");
        }
        match run(attack, fresh, seed) {
            Ok(outcome) => outcomes.push(outcome),
            Err(broken) => eprintln!("{attack:?}: {broken}"),
        }
    }
    let n = outcomes.len();
    let eclipsed = outcomes.iter().filter(|o| o.is_eclipsed()).count();
    let two = outcomes.iter().filter(|o| o.two_honest.is_some()).count();
    let mut times: Vec<Duration> = outcomes.iter().filter_map(|o| o.two_honest).collect();
    times.sort_unstable();
    let p99 = times.get((times.len() * 99).div_ceil(100).saturating_sub(1));
    let least = outcomes.iter().map(|o| o.honest).min().unwrap_or(0);
    let of = |pick: fn(&Outcome) -> (usize, usize)| {
        let sum = |(a, b): (usize, usize), o: &Outcome| (a + pick(o).0, b + pick(o).1);
        let (part, all) = outcomes.iter().fold((0, 0), sum);
        share(part, all)
    };
    println!(
        "| {attack:?} | {} | {n} | {} | {} | {least} | {} / {} | {} | {} | {} | {:?} | {:.0?} |",
        if fresh { "empty" } else { "of a life" },
        share(eclipsed, n),
        share(two, n),
        mean(outcomes.iter().map(|o| o.honest), n),
        mean(outcomes.iter().map(|o| o.hostile), n),
        of(|o| (o.hostile, o.hostile + o.honest)),
        of(|o| o.book),
        of(|o| o.tried),
        p99.copied().unwrap_or_default(),
        began.elapsed(),
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seeds = arguments.first().and_then(|n| n.parse().ok()).unwrap_or(20);
    println!(
        "| attack | book | seeds | all outbound hostile | two honest in 60 s | least honest | honest / \
         hostile outbound, mean | hostile share of slots | of the book | of the tried | two honest \
         after, p99 | took |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for fresh in [false, true] {
        for attack in Attack::ALL {
            let name = format!("{attack:?}");
            if arguments.len() < 2 || arguments.contains(&name) {
                line(attack, fresh, seeds);
            }
        }
    }
}
