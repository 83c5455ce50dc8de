//! What happens by itself: refreshes, and looks at those in the table.

use super::*;

fn pings(bed: &mut Bed) -> Vec<SocketAddr> {
    let sent = bed.take_sent().into_iter();
    sent.filter(|(_, opened)| opened.packet.kind() == 1).map(|(to, _)| to).collect()
}

#[test]
fn boot_nodes_are_asked_again_and_again_while_nobody_is_there() {
    let mut config = config();
    let boot = Other::new(1);
    config.boot_nodes = vec![boot.contact()];
    let mut bed = Bed::new(config);
    assert_eq!(pings(&mut bed), [boot.address]);
    assert!(!bed.machine.snapshot().initialised);
    // Two Pings in each refresh; the first after 10 s, never more than 75 s apart.
    let mut times = Vec::new();
    for second in 0..600 {
        bed.pass(Duration::from_secs(1));
        if !pings(&mut bed).is_empty() {
            times.push(second);
        }
    }
    let gaps: Vec<i32> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= 80), "{gaps:?}");
    assert!(times.len() >= 12, "{times:?}");
    assert!(bed.machine.snapshot().initialised);
}

#[test]
fn until_the_first_look_around_is_over_nobody_gets_in_by_coming_first() {
    let mut config = config();
    let boot = Other::new(1);
    config.boot_nodes = vec![boot.contact()];
    let mut bed = Bed::new(config);
    let early = Other::new(2);
    bed.bond(&early);
    assert!(!bed.knows(&early));
    bed.hear(&early, &early.find_node());
    assert_eq!(bed.kinds_to(early.address), [4], "it is answered all the same");
    bed.pass(Duration::from_secs(10));
    assert!(bed.machine.snapshot().initialised);
    assert!(bed.knows(&early), "it proved itself, and there is a place for it now");
    let late = Other::new(3);
    bed.bond(&late);
    assert!(bed.knows(&late));
}

#[test]
fn a_healthy_table_is_refreshed_every_half_hour_at_last() {
    let mut bed = Bed::new(config());
    for n in 1..=40 {
        bed.find(&Other::new(n));
    }
    // The one that is asked; the others are silent, but a lookup ends all the same.
    let mut times = Vec::new();
    let mut refreshes = 0;
    for minute in 0..6 * 60 {
        bed.pass(Duration::from_secs(60));
        for n in 1..=40 {
            bed.machine.table.add(bed.now, Other::new(n).contact(), Origin::Found);
        }
        let count = bed.machine.snapshot().counters.refreshes;
        if count != refreshes {
            refreshes = count;
            times.push(minute);
        }
    }
    let gaps: Vec<i32> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (begin, end) = gaps.split_at(gaps.len() / 2);
    assert!(
        begin[0] <= 2 && begin.is_sorted(),
        "each wait is longer than the one before: {gaps:?}"
    );
    assert!(end.iter().all(|gap| (20..=40).contains(gap)), "{gaps:?}");
}

#[test]
fn a_node_that_is_gone_loses_its_place_and_one_that_is_there_keeps_it() {
    let mut bed = Bed::new(config());
    let (gone, there) = (Other::new(1), Other::new(2));
    bed.find(&gone);
    bed.find(&there);
    for _ in 0..600 {
        bed.pass(Duration::from_millis(200));
        bed.answer(&there);
    }
    assert!(!bed.knows(&gone), "in two minutes");
    assert!(bed.knows(&there));
    let entry = bed.machine.snapshot().table[0].clone();
    assert!(entry.checks > 5, "{entry:?}");
    assert_eq!(bed.machine.snapshot().counters.lost, 1);
}

#[test]
fn the_looks_are_at_random_times_and_the_seed_decides() {
    let times = |seed| {
        let mut machine = Discovery::new(config(), [seed; 32]);
        let mut now = Instant::from_micros(1);
        machine.handle_timeout(now);
        let mut times = Vec::new();
        while let Some(next) = machine.poll_timeout().filter(|_| times.len() < 50) {
            now = next;
            machine.handle_timeout(now);
            times.push(now);
        }
        times
    };
    assert_eq!(times(1), times(1));
    assert_ne!(times(1), times(2));
}

#[test]
fn somebody_who_asks_hears_whether_a_node_is_there_and_how_far_it_is() {
    let mut bed = Bed::new(config());
    let (there, gone) = (Other::new(1), Other::new(2));
    let [first, second, third] = [(); 3].map(|()| bed.machine.next_ping());
    bed.handle(Input::Ping { ping: first, contact: there.contact() });
    bed.handle(Input::Ping { ping: second, contact: there.contact() });
    bed.handle(Input::Ping { ping: third, contact: gone.contact() });
    let sent = bed.take_sent();
    assert_eq!(sent.len(), 2, "one Ping answers both who want to know");
    let hash = sent.iter().find(|(to, _)| *to == there.address).unwrap().1.hash;
    bed.pass(Duration::from_millis(30));
    bed.hear(&there, &pong_to(hash));
    bed.pass(Duration::from_secs(3));
    let rtt = Some(Duration::from_millis(30));
    let done = |ping, rtt| DiscoveryEvent::PingDone { ping, rtt };
    bed.events.retain(|event| matches!(event, DiscoveryEvent::PingDone { .. }));
    assert_eq!(bed.events, [done(first, rtt), done(second, rtt), done(third, None)]);
}
