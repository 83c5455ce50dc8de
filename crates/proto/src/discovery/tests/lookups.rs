//! Lookups, among machines that all do what we do.

use super::network::Net;
use super::*;

const NODES: usize = 40;

fn found(net: &Net, by: usize, wanted: LookupId) -> Option<(Vec<PeerId>, u32)> {
    net.events.iter().filter(|(n, _)| *n == by).find_map(|(_, event)| match event {
        DiscoveryEvent::LookupDone { lookup, nodes, hops, .. } if *lookup == wanted => {
            Some((nodes.iter().map(|contact| contact.id).collect(), *hops))
        }
        _ => None,
    })
}

fn all_know_many(net: &Net, least: usize) {
    for machine in &net.machines {
        assert!(machine.table_len() >= least, "{}", machine.table_len());
    }
}

#[test]
fn from_one_boot_node_all_find_each_other_and_the_closest_to_anything() {
    let mut net = Net::new(NODES);
    net.pass(Duration::from_secs(30));
    all_know_many(&net, NODES / 2);
    for n in [0, 7, 39] {
        let target = key(1000 + u64::try_from(n).unwrap()).peer_id();
        let lookup = net.machines[n].next_lookup();
        net.handle(n, Input::Lookup { lookup, target });
        net.pass(Duration::from_secs(10));
        let (nodes, hops) = found(&net, n, lookup).expect("the lookup is over");
        let own = net.machines[n].local_id();
        let mut expected: Vec<PeerId> = net.machines.iter().map(Discovery::local_id).collect();
        expected.retain(|id| *id != own);
        expected
            .sort_by_key(|id| super::super::table::distance(&id.node_hash(), &target.node_hash()));
        expected.truncate(BUCKET_SIZE);
        assert_eq!(nodes, expected);
        assert!(hops <= 3, "{hops}");
    }
    // Everybody was announced, with the record that it has.
    let announced = net.events.iter().filter_map(|(n, event)| match event {
        DiscoveryEvent::Found { contact, record, .. } => Some((n, contact, record)),
        _ => None,
    });
    for (_, contact, record) in announced {
        let record = record.as_ref().expect("it has a record");
        assert_eq!(chainmesh_identity::record::record_peer_id(record), contact.id);
    }
}

#[test]
fn a_tenth_of_all_datagrams_may_be_lost() {
    let mut net = Net::new(NODES);
    net.lose_every = Some(10);
    net.pass(Duration::from_secs(60));
    all_know_many(&net, NODES / 2);
}

#[test]
fn the_same_seed_makes_the_same_decisions() {
    let run = || {
        let mut net = Net::new(12);
        net.pass(Duration::from_secs(30));
        let reports = net.machines.iter().map(Discovery::snapshot);
        reports.map(|report| (report.table, report.counters)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_lookup_without_anybody_is_over_at_once() {
    let mut bed = Bed::new(config());
    let lookup = bed.machine.next_lookup();
    bed.handle(Input::Lookup { lookup, target: key(9).peer_id() });
    let done = DiscoveryEvent::LookupDone { lookup, nodes: Vec::new(), hops: 0, asked: 0 };
    assert_eq!(bed.events, [done]);
}

/// A node that answers Pings and nothing else, and one that does not even do that.
#[test]
fn a_lookup_ends_though_nobody_answers() {
    let mut bed = Bed::new(config());
    let (deaf, dead) = (Other::new(1), Other::new(2));
    bed.find(&deaf);
    bed.find(&dead);
    let lookup = bed.machine.next_lookup();
    bed.handle(Input::Lookup { lookup, target: key(9).peer_id() });
    for _ in 0..80 {
        bed.pass(Duration::from_millis(100));
        bed.pong(&deaf);
    }
    let is_done = |event: &DiscoveryEvent| matches!(event, DiscoveryEvent::LookupDone { lookup: done, nodes, .. } if *done == lookup && nodes.is_empty());
    assert!(bed.events.iter().any(is_done));
    let sizes = bed.machine.sizes();
    assert_eq!(sizes.lookups, 0);
}

#[test]
fn too_many_lookups_at_once_end_at_once() {
    let mut bed = Bed::new(config());
    bed.find(&Other::new(1));
    for n in 0..MAX_LOOKUPS + 5 {
        let lookup = bed.machine.next_lookup();
        let target = key(u64::try_from(n).unwrap()).peer_id();
        bed.handle(Input::Lookup { lookup, target });
    }
    bed.events.retain(|event| matches!(event, DiscoveryEvent::LookupDone { .. }));
    assert_eq!(bed.events.len(), 5);
    assert_eq!(bed.machine.sizes().lookups, MAX_LOOKUPS);
    bed.pass(Duration::from_secs(60));
    assert_eq!(bed.machine.sizes().lookups, 0);
}
