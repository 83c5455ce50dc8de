//! What a flood of identities cannot do.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const NEW_PLACES: usize = NEW_BUCKETS as usize * BUCKET_PLACES as usize;
const TRIED_PLACES: usize = TRIED_BUCKETS as usize * BUCKET_PLACES as usize;

/// An address that anybody may have, of any /16.
fn any_address(number: u32) -> IpAddr {
    ip(0x1400_0000 + number.wrapping_mul(2_654_435_761) % 0x6000_0000)
}

#[test]
fn a_flood_of_100_000_identities_leaves_the_book_at_its_limits() {
    let mut book = book();
    for number in 0..100_000 {
        let enode = Enode::new(id(number), any_address(number), 30303);
        let source = any_address(number.wrapping_add(50_000));
        book.add(NOW, &enode, AddressOrigin::Exchange, Some(source));
        book.connected(NOW, &enode.id, number % 3 == 0);
        book.disconnected(NOW, &enode.id);
        book.failed(NOW, &enode.id);
    }
    let (tried, new) = book.tried_and_new();
    assert!(new <= NEW_PLACES && new > NEW_PLACES / 2, "{new} of {NEW_PLACES}");
    assert!(tried <= TRIED_PLACES && tried > TRIED_PLACES / 2, "{tried} of {TRIED_PLACES}");
    assert_eq!(book.len(), tried + new);
    assert!(book.changed.len() <= MAX_CHANGED);
    assert!(book.collisions.len() <= MAX_COLLISIONS);
    assert_eq!(book.prefixes.values().sum::<usize>(), book.len());
    let changes = book.take_changes();
    let bytes: usize = changes.records.iter().filter_map(|(_, b)| b.as_ref().map(Vec::len)).sum();
    assert!(bytes <= book.len() * MAX_RECORD_BYTES);
}

#[test]
fn one_source_owns_no_more_than_its_share() {
    let mut book = book();
    for number in 0..100_000 {
        let enode = Enode::new(id(number), any_address(number), 30303);
        // All tellers are of 9.9.0.0/16.
        book.add(NOW, &enode, AddressOrigin::Exchange, Some(ip(0x0909_0000 + number % 65_536)));
    }
    let share = NEW_BUCKETS_PER_SOURCE as usize * BUCKET_PLACES as usize;
    assert!(book.len() <= share && book.len() > share / 2, "{}", book.len());
    // Twenty nodes that others told of get nearly all dials, each once.
    for number in 0..20 {
        let enode = node(200_000 + number);
        let source = ip(0x3000_0000 + (number << 16));
        book.add(NOW, &enode, AddressOrigin::Exchange, Some(source));
    }
    let honest = book.candidates(NOW, 20, |_| true);
    let honest = honest.iter().filter(|node| node.id > id(100_000)).count();
    // At each draw it has one chance in as many as there are tellers: 1/21, 1/20, …, so about 3.6.
    assert!(honest >= 12, "{honest} of 20");
}

#[test]
fn one_network_owns_no_more_than_its_share_of_the_tried() {
    let mut book = book();
    for number in 0..20_000 {
        // All are of 20.0.0.0/16, each told by another network.
        let enode = Enode::new(id(number), ip(0x1400_0000 + number), 30303);
        book.add(NOW, &enode, AddressOrigin::Discovery, Some(any_address(number)));
        book.connected(NOW, &enode.id, true);
        book.disconnected(NOW, &enode.id);
    }
    let (tried, _) = book.tried_and_new();
    let share = TRIED_BUCKETS_PER_NETWORK as usize * BUCKET_PLACES as usize;
    assert!(tried <= share && tried > share / 2, "{tried} of {share}");
}

#[test]
fn one_small_network_has_so_many_records() {
    let mut book = book();
    for number in 0..1000 {
        let enode = Enode::new(id(number), ip(0x1400_0000 + number % 256), 30303);
        book.add(NOW, &enode, AddressOrigin::Exchange, Some(any_address(number)));
    }
    assert_eq!(book.len(), MAX_RECORDS_PER_PREFIX);
    // A whole network may run on one machine.
    let mut book = super::book();
    for port in 1..1000 {
        let local = Enode::new(id(port.into()), Ipv4Addr::LOCALHOST.into(), port);
        book.add(NOW, &local, AddressOrigin::Discovery, Some(Ipv4Addr::LOCALHOST.into()));
    }
    assert!(book.len() > MAX_RECORDS_PER_PREFIX * 4, "{}", book.len());
}

#[test]
fn what_the_operator_decides_is_bounded_too() {
    let mut book = book();
    let wanted = |book: &mut AddressBook, number| book.want(NOW, &node(number), number % 2 == 0);
    let limit = u32::try_from(MAX_PINNED).unwrap();
    for number in 0..limit {
        wanted(&mut book, number).unwrap();
    }
    assert_eq!(wanted(&mut book, limit), Err(BookError::Full));
    assert_eq!(book.ban(NOW, &id(limit), None, ""), Err(BookError::Full));
    book.ban(NOW, &id(0), None, "it is one of them").unwrap();
    for number in 0..limit {
        book.ban_ip(NOW, ip(0x1400_0000 + number), None, "").unwrap();
    }
    assert_eq!(book.ban_ip(NOW, ip(1), None, ""), Err(BookError::Full));
}

#[derive(Debug, Clone)]
enum Operation {
    Add(u32, u32),
    Connected(u32, bool),
    Disconnected(u32),
    Failed(u32),
    Want(u32, bool),
    Ban(u32),
    Unban(u32),
    Distrust(u32),
    Forget(u32),
    Later(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let node = 0..3000_u32;
    prop_oneof![
        10 => (node.clone(), 0..50_u32).prop_map(|(node, source)| Add(node, source)),
        6 => (node.clone(), any::<bool>()).prop_map(|(node, outbound)| Connected(node, outbound)),
        4 => node.clone().prop_map(Disconnected),
        6 => node.clone().prop_map(Failed),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, trusted)| Want(node, trusted)),
        1 => node.clone().prop_map(Ban),
        1 => node.clone().prop_map(Unban),
        1 => node.clone().prop_map(Distrust),
        1 => node.prop_map(Forget),
        1 => (0..100_000_u64).prop_map(Later),
    ]
}

/// What holds of the tables at every moment.
fn check(book: &AddressBook) {
    let mut places = BTreeSet::new();
    let mut prefixes: BTreeMap<Prefix, usize> = BTreeMap::new();
    let mut pinned = 0;
    for (id, entry) in &book.entries {
        assert_eq!(*id, entry.record.enode.id);
        let Some(place) = entry.place else {
            assert!(entry.record.is_pinned() && !entry.record.tried);
            pinned += 1;
            continue;
        };
        assert!(places.insert(place), "two records in one place");
        assert_eq!(book.places.at(place), Some(*id));
        assert_eq!(entry.record.tried, place.half == Half::Tried);
        let computed = match place.half {
            Half::New => book.places.new_place(&entry.record),
            Half::Tried => book.places.tried_place(&entry.record.enode),
        };
        assert_eq!(place, computed);
        if let Some(prefix) = buckets::prefix(&entry.record.enode.host) {
            *prefixes.entry(prefix).or_default() += 1;
        }
    }
    assert_eq!((pinned, &prefixes), (book.pinned, &book.prefixes));
    assert_eq!(book.places.len(Half::New) + book.places.len(Half::Tried), places.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_agree_whatever_happens(operations in proptest::collection::vec(operation(), 0..400)) {
        let mut book = book();
        let mut now = NOW;
        for operation in operations {
            match operation {
                Operation::Add(n, source) => {
                    let source = Some(any_address(source));
                    book.add(now, &node(n), AddressOrigin::Exchange, source);
                }
                Operation::Connected(n, outbound) => book.connected(now, &id(n), outbound),
                Operation::Disconnected(n) => book.disconnected(now, &id(n)),
                Operation::Failed(n) => book.failed(now, &id(n)),
                Operation::Want(n, trusted) => book.want(now, &node(n), trusted).unwrap(),
                Operation::Ban(n) => book.ban(now, &id(n), None, "").unwrap(),
                Operation::Unban(n) => { book.unban(&id(n)); }
                Operation::Distrust(n) => { book.distrust(&id(n)); }
                Operation::Forget(n) => book.forget(&id(n)),
                Operation::Later(seconds) => now += seconds,
            }
            check(&book);
        }
    }

    #[test]
    fn tried_records_are_not_displaced_by_untested_ones(
        seed: [u8; 32],
        peers in 1..200_u32,
        strangers in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..3000),
    ) {
        let mut book = AddressBook::new(id(u32::MAX), seed);
        for number in 0..peers {
            good(&mut book, NOW, &node(number));
        }
        let tried: Vec<PeerRecord> = book.records().filter(|r| r.tried).cloned().collect();
        prop_assert!(!tried.is_empty());
        // A year later, and with failures: they make room for others that were peers only.
        let later = NOW + 365 * 24 * 60 * 60;
        for (number, source) in strangers {
            let enode = Enode::new(id(number | 1 << 20), any_address(number), 30303);
            book.add(later, &enode, AddressOrigin::Discovery, Some(any_address(source)));
            book.failed(later, &enode.id);
        }
        for record in tried {
            prop_assert_eq!(book.get(&record.enode.id), Some(&record));
        }
    }
}
