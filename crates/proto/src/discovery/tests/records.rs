//! Records: ours, and those of others.

use std::sync::Arc;

use alloy_primitives::Bytes as Raw;
use chainmesh_identity::record::build_record;
use chainmesh_wire::discv4::{EnrResponse, Ping};

use super::*;

pub(super) const OURS: &[u8] = &[0x83, b'o', b'u', b'r'];
pub(super) const THEIRS: &[u8] = &[0x83, b'o', b'f', b'f'];

pub(super) fn with_filter() -> DiscoveryConfig {
    let mut config = config();
    config.fetch_records = true;
    let ours = |record: Option<&NodeRecord>| {
        record.is_some_and(|record| record.get_raw_rlp("eth") == Some(OURS))
    };
    config.filter = Some(Arc::new(ours));
    config
}

pub(super) fn record(other: &Other, sequence: u64, entry: &'static [u8]) -> Box<NodeRecord> {
    let extra = [("eth", Raw::from_static(entry))];
    let ip = Some(other.address.ip());
    Box::new(build_record(&other.key, sequence, ip, 7777, 30303, &extra).unwrap())
}

/// The node is found and says that it has a record; gives the hash of the request for it.
pub(super) fn requested(bed: &mut Bed, other: &Other, sequence: u64) -> B256 {
    bed.handle(Input::AddNode { contact: other.contact() });
    let ping = bed.take_sent().pop().unwrap().1.hash;
    let seen = SocketAddr::new([5, 5, 5, 5].into(), 30303);
    bed.hear(other, &pong_seen(ping, seen, Some(sequence)));
    assert_eq!(bed.events, [], "it is announced with its record, not before");
    bed.pass(Duration::from_millis(800));
    let sent = bed.take_sent();
    let requests = sent.iter().filter(|(to, o)| *to == other.address && o.packet.kind() == 5);
    requests.map(|(_, opened)| opened.hash).next().expect("a request for the record")
}

pub(super) fn answer(bed: &mut Bed, other: &Other, request_hash: B256, record: Box<NodeRecord>) {
    bed.hear(other, &Packet::EnrResponse(EnrResponse { request_hash, record }));
}

#[test]
fn our_record_is_given_to_the_proven() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    bed.bond(&other);
    let request = bed.hear(&other, &enr_request());
    let sent = bed.take_sent();
    let [(to, opened)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(*to, other.address);
    let Packet::EnrResponse(response) = &opened.packet else { panic!("{opened:?}") };
    assert_eq!(response.request_hash, request);
    assert_eq!(response.record.as_ref(), bed.machine.record().unwrap());
    assert_eq!(response.record.ip4(), Some([5, 5, 5, 5].into()));
}

#[test]
fn a_node_of_our_network_is_announced_with_its_record() {
    let mut bed = Bed::new(with_filter());
    let other = Other::new(1);
    let request = requested(&mut bed, &other, 3);
    let record = record(&other, 3, OURS);
    answer(&mut bed, &other, request, record.clone());
    let mut contact = other.contact();
    contact.endpoint.tcp_port = 7777;
    assert_eq!(
        bed.events,
        [DiscoveryEvent::Found { contact, record: Some(record), protocol: Protocol::Discv4 }]
    );
    let entry = &bed.machine.snapshot().table[0];
    assert_eq!((entry.contact, entry.record_sequence), (contact, Some(3)));
}

#[test]
fn a_node_of_another_network_is_kept_out_and_not_announced() {
    let mut bed = Bed::new(with_filter());
    let other = Other::new(1);
    let request = requested(&mut bed, &other, 3);
    assert!(bed.knows(&other));
    let foreign = record(&other, 3, THEIRS);
    answer(&mut bed, &other, request, foreign);
    assert!(!bed.knows(&other));
    assert_eq!(bed.events, []);
    assert_eq!(bed.machine.snapshot().counters.foreign, 1);
    // It stays out, whoever finds it again.
    bed.find(&other);
    assert!(!bed.knows(&other));
    // Its questions are answered all the same: it may be on its way to others.
    bed.hear(&other, &other.find_node());
    assert_eq!(bed.kinds_to(other.address), [4]);
}

#[test]
fn a_node_that_changed_its_network_is_let_in() {
    let mut bed = Bed::new(with_filter());
    let other = Other::new(1);
    let request = requested(&mut bed, &other, 3);
    answer(&mut bed, &other, request, record(&other, 3, THEIRS));
    let Packet::Ping(ping) = other.ping() else { unreachable!() };
    bed.hear(&other, &Packet::Ping(Ping { enr_seq: Some(4), ..ping }));
    bed.take_sent();
    bed.pass(Duration::from_secs(3));
    let (_, opened) = bed.take_sent().into_iter().find(|(_, o)| o.packet.kind() == 5).unwrap();
    answer(&mut bed, &other, opened.hash, record(&other, 4, OURS));
    assert!(matches!(bed.events.as_slice(), [DiscoveryEvent::Found { .. }]));
    bed.find(&other);
    assert!(bed.knows(&other));
}

#[test]
fn a_record_of_somebody_else_or_that_nobody_asked_for_is_dropped() {
    let mut bed = Bed::new(with_filter());
    let (other, third) = (Other::new(1), Other::new(2));
    let request = requested(&mut bed, &other, 3);
    answer(&mut bed, &other, request, record(&third, 3, OURS));
    answer(&mut bed, &other, B256::ZERO, record(&other, 3, OURS));
    answer(&mut bed, &third, request, record(&third, 3, OURS));
    assert_eq!(bed.dropped(DropReason::Unsolicited), 3);
    assert_eq!(bed.events, []);
}

#[test]
fn a_node_without_a_record_is_for_the_filter_to_judge() {
    // No sequence number in its Pong: it has none.
    let mut bed = Bed::new(with_filter());
    let other = Other::new(1);
    bed.find(&other);
    assert!(!bed.knows(&other));
    // It speaks of one, and does not give it, also when asked again.
    let silent = Other::new(2);
    requested(&mut bed, &silent, 1);
    bed.pass(Duration::from_millis(1500));
    assert_eq!(bed.kinds_to(silent.address), [5]);
    assert!(bed.knows(&silent));
    bed.pass(Duration::from_secs(2));
    assert!(!bed.knows(&silent));
    // Without a filter both are announced.
    let mut bed = Bed::new(config());
    bed.find(&other);
    assert!(bed.knows(&other));
    let found = DiscoveryEvent::Found {
        contact: other.contact(),
        record: None,
        protocol: Protocol::Discv4,
    };
    assert_eq!(bed.events, [found]);
}

#[test]
fn a_node_that_does_not_listen_is_not_announced() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    let mut contact = other.contact();
    contact.endpoint.tcp_port = 0;
    bed.handle(Input::AddNode { contact });
    bed.pong(&other);
    assert!(bed.knows(&other));
    assert_eq!(bed.events, []);
}

#[test]
fn new_entries_make_a_new_record() {
    let mut bed = Bed::new(config());
    let entries = vec![("eth".to_owned(), Raw::from_static(OURS))];
    bed.handle(Input::SetRecordEntries { entries: entries.clone() });
    assert_eq!(bed.machine.record().unwrap().seq(), 2);
    assert_eq!(bed.machine.record().unwrap().get_raw_rlp("eth"), Some(OURS));
    bed.handle(Input::SetRecordEntries { entries });
    assert_eq!(bed.machine.record().unwrap().seq(), 2, "nothing has changed");
}

#[test]
fn a_node_that_a_session_has_unmasked_is_told_to_nobody_until_its_record_changes() {
    let mut bed = Bed::new(with_filter());
    let other = Other::new(1);
    let request = requested(&mut bed, &other, 7);
    answer(&mut bed, &other, request, record(&other, 7, OURS));
    assert_eq!((bed.machine.table_len(), bed.events.len()), (1, 1));
    bed.handle(Input::NotOurs { id: other.key.peer_id() });
    assert_eq!(bed.machine.table_len(), 0);

    // It is heard of again, with the same record: that was judged.
    bed.events.clear();
    bed.pass(Duration::from_secs(60));
    bed.take_sent();
    bed.handle(Input::AddNode { contact: other.contact() });
    let ping = bed.take_sent().pop().unwrap().1.hash;
    let seen = SocketAddr::new([5, 5, 5, 5].into(), 30303);
    bed.hear(&other, &pong_seen(ping, seen, Some(7)));
    bed.pass(Duration::from_secs(5));
    assert_eq!((bed.machine.table_len(), bed.events.len()), (0, 0));
    bed.take_sent();

    let request = requested(&mut bed, &other, 8);
    answer(&mut bed, &other, request, record(&other, 8, OURS));
    let [DiscoveryEvent::Found { record, .. }] = bed.events.as_slice() else {
        panic!("{:?}", bed.events);
    };
    assert_eq!(record.as_ref().map(|record| record.seq()), Some(8));
}
