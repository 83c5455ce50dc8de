//! The table by itself.

use core::net::IpAddr;

use proptest::prelude::*;
use rand_core::SeedableRng;

use super::super::table::{distance, log_distance};
use super::*;

fn identity(n: u64) -> PeerId {
    let mut id = [3; 64];
    id[..8].copy_from_slice(&n.to_be_bytes());
    PeerId::from(id)
}

fn at(n: u64, ip: IpAddr) -> Contact {
    let endpoint = discv4::Endpoint::new(ip, 30303, 30303);
    Contact { endpoint, id: identity(n) }
}

fn contact(n: u64) -> Contact {
    at(n, ip(n))
}

fn table() -> Table {
    Table::new(B256::ZERO, MAX_INBOUND_PER_BUCKET)
}

/// Contacts whose bucket is the farthest: half of all.
fn far() -> impl Iterator<Item = Contact> {
    far_at(ip)
}

fn far_at(ip: impl Fn(u64) -> IpAddr) -> impl Iterator<Item = Contact> {
    let far = |n: &u64| log_distance(&B256::ZERO, &identity(*n).node_hash()) == 256;
    (1..).filter(far).map(move |n| at(n, ip(n)))
}

fn second(n: u64) -> Instant {
    Instant::from_micros(n * 1_000_000)
}

fn members(table: &Table) -> Vec<PeerId> {
    table.entries().map(|(_, entry)| entry.contact.id).collect()
}

#[test]
fn the_distance_is_the_exclusive_or_and_its_length_the_bucket() {
    let one = B256::with_last_byte(1);
    assert_eq!(log_distance(&one, &one), 0);
    assert_eq!(log_distance(&B256::ZERO, &one), 1);
    let mut high = B256::ZERO;
    high.0[0] = 0x80;
    assert_eq!(log_distance(&one, &high), 256);
    assert_eq!(distance(&one, &high), one | high);
    high.0[0] = 0x01;
    assert_eq!(log_distance(&B256::ZERO, &high), 249);
}

#[test]
fn a_full_bucket_keeps_those_who_are_in_it() {
    let mut table = table();
    let all: Vec<Contact> = far().take(BUCKET_SIZE + REPLACEMENTS + 5).collect();
    for (n, contact) in all.iter().enumerate() {
        let added = table.add(second(1), *contact, Origin::Found);
        let expected = if n < BUCKET_SIZE { Added::Placed } else { Added::Waiting };
        assert_eq!(added, expected);
    }
    let first: Vec<PeerId> = all[..BUCKET_SIZE].iter().map(|contact| contact.id).collect();
    assert_eq!(members(&table), first);
    assert_eq!(table.waiting(), REPLACEMENTS);
    // Whoever comes again is no newcomer.
    assert_eq!(table.add(second(2), all[3], Origin::Found), Added::Known);
    assert_eq!(table.len(), BUCKET_SIZE);
}

#[test]
fn a_place_is_free_only_when_its_holder_does_not_answer() {
    let mut table = table();
    let all: Vec<Contact> = far().take(BUCKET_SIZE + 3).collect();
    for contact in &all {
        table.add(second(1), *contact, Origin::Found);
    }
    assert!(table.failed(second(2), &all[4].id), "somebody waits for it");
    let now = members(&table);
    assert!(!now.contains(&all[4].id));
    assert_eq!(now.last(), Some(&all[BUCKET_SIZE + 2].id), "the newest of those that waited");
    assert_eq!((table.len(), table.waiting()), (BUCKET_SIZE, 2));
}

#[test]
fn without_a_replacement_a_node_may_miss_twice() {
    let mut table = table();
    table.add(second(1), contact(1), Origin::Found);
    let id = contact(1).id;
    assert!(!table.failed(second(2), &id));
    assert!(!table.failed(second(3), &id));
    table.add(second(4), contact(1), Origin::Found);
    assert!(!table.failed(second(5), &id), "an answer makes good what was before");
    assert!(!table.failed(second(6), &id));
    assert!(table.failed(second(7), &id));
    assert_eq!(table.len(), 0);
}

#[test]
fn a_node_that_never_answers_questions_goes() {
    let mut table = table();
    table.add(second(1), contact(1), Origin::Found);
    let id = contact(1).id;
    for _ in 0..4 {
        table.asked(&id, false);
    }
    table.asked(&id, true);
    for n in 0..5 {
        assert_eq!(table.len(), 1, "{n}");
        table.asked(&id, false);
    }
    assert_eq!(table.len(), 0);
}

#[test]
fn a_prefix_has_two_places_in_a_bucket_and_an_address_one() {
    let mut table = table();
    let same = |n: u64| IpAddr::from([20, 0, 0, u8::try_from(n % 250).unwrap()]);
    let mut of_prefix = far_at(same);
    let first = of_prefix.next().unwrap();
    assert_eq!(table.add(second(1), first, Origin::Found), Added::Placed);
    let twin = far_at(|_| first.endpoint.ip).find(|other| other.id != first.id).unwrap();
    assert_eq!(table.add(second(1), twin, Origin::Found), Added::AddressLimit);
    assert_eq!(table.add(second(1), of_prefix.next().unwrap(), Origin::Found), Added::Placed);
    assert_eq!(table.add(second(1), of_prefix.next().unwrap(), Origin::Found), Added::AddressLimit);
    // When one of them has gone there is room again.
    assert!(table.remove(&first.id));
    assert_eq!(table.add(second(1), of_prefix.next().unwrap(), Origin::Found), Added::Placed);
}

#[test]
fn a_prefix_has_ten_places_in_the_table_and_an_ipv6_48_is_one() {
    let addresses: [fn(u64) -> IpAddr; 2] = [
        |n| IpAddr::from([20, 0, 0, u8::try_from(n % 250).unwrap()]),
        |n| {
            let last = u16::try_from(n % 60_000).unwrap();
            IpAddr::from([0x2a00, 1, 2, last, 0, 0, 0, last])
        },
    ];
    for address in addresses {
        let mut table = table();
        for n in 1..20_000 {
            table.add(second(1), at(n, address(n)), Origin::Found);
        }
        assert_eq!(table.len() + table.waiting(), MAX_PER_PREFIX);
    }
}

#[test]
fn local_networks_are_exempt_from_the_limits_of_addresses() {
    for address in
        ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.1.1", "::1", "fd00::1", "fe80::1"]
    {
        let mut table = table();
        for n in 1..2000 {
            table.add(second(1), at(n, address.parse().unwrap()), Origin::Found);
        }
        assert!(table.len() > 5 * BUCKET_SIZE, "{address}: {}", table.len());
    }
}

#[test]
fn those_who_come_by_themselves_have_half_a_bucket() {
    let mut table = table();
    let all: Vec<Contact> = far().take(BUCKET_SIZE + 2).collect();
    for (n, contact) in all[..BUCKET_SIZE].iter().enumerate() {
        let added = table.add(second(1), *contact, Origin::Inbound);
        let placed = n < MAX_INBOUND_PER_BUCKET;
        assert_eq!(added, if placed { Added::Placed } else { Added::OriginLimit });
    }
    assert_eq!(table.len(), MAX_INBOUND_PER_BUCKET);
    // One of those that wait is found by ourselves as well: it gets its place.
    let waiting = all[MAX_INBOUND_PER_BUCKET];
    assert_eq!(table.add(second(2), waiting, Origin::Found), Added::Known);
    assert_eq!(table.len(), MAX_INBOUND_PER_BUCKET + 1);
    assert!(members(&table).contains(&waiting.id));
    assert_eq!(table.add(second(2), all[BUCKET_SIZE], Origin::Found), Added::Placed);
}

#[test]
fn boot_nodes_alone_do_not_fill_a_bucket() {
    let mut table = table();
    for contact in far().take(BUCKET_SIZE) {
        table.add(second(1), contact, Origin::Boot);
    }
    assert_eq!(table.len(), MAX_BOOT_PER_BUCKET);
}

/// Found by the property below.
#[test]
fn a_node_that_came_does_not_become_a_boot_node_beyond_their_number() {
    let mut table = table();
    let all: Vec<Contact> = far().take(MAX_BOOT_PER_BUCKET + 1).collect();
    table.add(second(1), all[0], Origin::Inbound);
    for contact in &all[1..] {
        table.add(second(1), *contact, Origin::Boot);
    }
    table.add(second(2), all[0], Origin::Boot);
    let boot = table.entries().filter(|(_, entry)| entry.origin == Origin::Boot).count();
    assert_eq!(boot, MAX_BOOT_PER_BUCKET);
}

#[test]
fn a_node_that_moved_is_where_it_answered_last() {
    let mut table = table();
    table.add(second(1), contact(1), Origin::Found);
    let moved = at(1, ip(2));
    assert_eq!(table.add(second(2), moved, Origin::Found), Added::Placed);
    assert_eq!(table.len(), 1);
    assert_eq!(table.get(&moved.id).unwrap().contact, moved);
    // And what it had before is free for others of that prefix.
    for n in 0..MAX_PER_PREFIX {
        table.remove(&identity(100 + u64::try_from(n).unwrap()));
    }
    assert!(
        far_at(|_| ip(1)).take(1).all(|c| table.add(second(3), c, Origin::Found) == Added::Placed)
    );
}

#[test]
fn we_are_not_in_our_own_table() {
    let mut table = Table::new(identity(1).node_hash(), 8);
    assert_eq!(table.add(second(1), contact(1), Origin::Found), Added::Own);
    assert_eq!(table.len(), 0);
}

#[test]
fn the_one_not_looked_at_for_longest_is_looked_at_next() {
    let mut table = table();
    let all: Vec<Contact> = far().take(5).collect();
    for (n, contact) in all.iter().enumerate() {
        table.add(second(10 - u64::try_from(n).unwrap()), *contact, Origin::Found);
    }
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    for n in 0..5_u64 {
        let oldest = table.least_recently_checked(&mut rng, |_| true).unwrap().contact;
        assert_eq!(oldest, all[4 - usize::try_from(n).unwrap()]);
        table.add(second(100 + n), oldest, Origin::Found);
    }
    assert!(table.least_recently_checked(&mut rng, |_| false).is_none());
}

proptest! {
    #[test]
    fn the_closest_are_the_closest(count in 1u64..400, wanted in 1usize..20, target: u64) {
        let mut table = table();
        for n in 1..=count {
            table.add(second(1), contact(n), Origin::Found);
        }
        let target = identity(target).node_hash();
        let mut expected = members(&table);
        expected.sort_by_key(|id| distance(&id.node_hash(), &target));
        expected.truncate(wanted);
        let closest = table.closest(&target, wanted, |_| true);
        let closest: Vec<PeerId> = closest.iter().map(|entry| entry.contact.id).collect();
        prop_assert_eq!(closest, expected);
    }

    /// Whatever happens to it, the table keeps its limits and its books.
    #[test]
    fn any_operations_keep_the_limits(ops in prop::collection::vec((0u8..6, 0u64..300, 0u8..40), 0..400)) {
        let mut table = table();
        let origins = [Origin::Inbound, Origin::Boot, Origin::Found];
        for (time, (what, n, net)) in ops.into_iter().enumerate() {
            let now = second(u64::try_from(time).unwrap());
            let address = IpAddr::from([20, 0, net / 4, net % 4]);
            match what {
                0..=2 => { table.add(now, at(n, address), origins[usize::from(what)]); }
                3 => { table.failed(now, &identity(n)); }
                4 => table.asked(&identity(n), false),
                _ => { table.remove(&identity(n)); }
            }
            let entries: Vec<_> = table.entries().collect();
            prop_assert_eq!(entries.len(), table.len());
            let mut prefixes = BTreeMap::new();
            for (bucket, entry) in &entries {
                let IpAddr::V4(ip) = entry.contact.endpoint.ip else { unreachable!() };
                *prefixes.entry((*bucket, ip.octets()[2])).or_insert(0) += 1;
            }
            prop_assert!(prefixes.values().all(|count| *count <= MAX_PER_PREFIX_IN_BUCKET));
            for bucket in 0..BUCKETS {
                let of = |origin| {
                    entries.iter().filter(|(b, e)| *b == bucket && e.origin == origin).count()
                };
                prop_assert!(of(Origin::Inbound) <= MAX_INBOUND_PER_BUCKET);
                prop_assert!(of(Origin::Boot) <= MAX_BOOT_PER_BUCKET);
                prop_assert!(entries.iter().filter(|(b, _)| *b == bucket).count() <= BUCKET_SIZE);
            }
            let mut ids = members(&table);
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), table.len());
        }
        let all: Vec<PeerId> = (0..300).map(identity).collect();
        for id in &all {
            table.remove(id);
        }
        prop_assert_eq!((table.len(), table.waiting()), (0, 0));
        // Nothing is left in the books: a prefix has all its places again.
        for n in 0..1000 {
            table.add(second(1), at(n, IpAddr::from([20, 0, 0, u8::try_from(n % 250).unwrap()])), Origin::Found);
        }
        prop_assert_eq!(table.len() + table.waiting(), MAX_PER_PREFIX);
    }
}
