//! The bytes on disk.

use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,200}"
}

fn incident() -> impl Strategy<Value = Incident> {
    let stage = proptest::sample::select(vec![
        AttemptStage::Dial,
        AttemptStage::Handshake,
        AttemptStage::Greeting,
        AttemptStage::Session,
    ]);
    (any::<u64>(), stage, any::<bool>(), any::<bool>(), text())
        .prop_map(|(at, stage, inbound, ended, text)| Incident { at, stage, inbound, ended, text })
}

fn record() -> impl Strategy<Value = PeerRecord> {
    let host = prop_oneof![
        any::<IpAddr>().prop_map(chainmesh_identity::Host::Ip),
        "[a-z]{1,20}(\\.[a-z]{1,20}){0,3}".prop_map(chainmesh_identity::Host::Name),
    ];
    let origin = proptest::sample::select(vec![
        AddressOrigin::Configured,
        AddressOrigin::Boot,
        AddressOrigin::Discovery,
        AddressOrigin::Inbound,
        AddressOrigin::Exchange,
        AddressOrigin::Discv5,
    ]);
    let who = (any::<u32>(), host, any::<(u16, u16)>(), origin, any::<Option<u32>>());
    let numbers = (any::<[u64; 5]>(), any::<u32>(), any::<[bool; 3]>());
    let ban = proptest::option::of((any::<u64>(), proptest::option::of(1..u64::MAX), text()));
    let kind = proptest::sample::select(MismatchKind::ALL.to_vec());
    let mark = (kind, text(), any::<[u64; 2]>(), any::<u32>(), any::<[u8; 8]>(), any::<bool>());
    let fit = (any::<u64>(), proptest::option::of(mark));
    let incidents = proptest::collection::vec(incident(), 0..30);
    (who, numbers, ban, incidents, fit).prop_map(|(who, numbers, ban, incidents, fit)| {
        let (number, host, (tcp_port, udp_port), origin, source) = who;
        let enode = Enode { id: id(number), host, tcp_port, udp_port };
        let source = source.map(|bits| ip(bits | 1));
        let mut record = PeerRecord::new(enode, origin, source, 0);
        let ([added, tried, seen, success, successes], failures, [a, b, c]) = numbers;
        (record.added, record.last_tried, record.last_seen) = (added, tried, seen);
        (record.last_success, record.successes, record.failures) = (success, successes, failures);
        (record.tried, record.is_static, record.is_trusted) = (a, b, c);
        record.ban =
            ban.map(|(since, until, reason)| Ban { since, until, reason: record::cut(&reason) });
        for incident in incidents {
            record.remember(incident);
        }
        record.record_sequence = fit.0;
        record.mismatch = fit.1.map(|(kind, text, [at, seq], times, seen_by, reconsidered)| {
            let (text, seen_by) = (record::cut(&text), seen_by.into());
            Mismatch { kind, text, at, times, record: seq, seen_by, reconsidered }
        });
        record
    })
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was(record in record()) {
        let bytes = record.encode();
        prop_assert!(bytes.len() <= MAX_RECORD_BYTES, "{} bytes", bytes.len());
        prop_assert_eq!(PeerRecord::decode(&bytes), Ok(record));
    }

    #[test]
    fn a_changed_byte_is_seen(record in record(), at: prop::sample::Index, by in 1..=255_u8) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert_ne!(PeerRecord::decode(&bytes).ok(), Some(record));
    }

    #[test]
    fn rubbish_is_no_record(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(PeerRecord::decode(&bytes).is_err());
        prop_assert!(AddressBook::load(id(0), [1; 32], NOW, &bytes, [].into_iter()).is_err());
    }
}

/// As version 1 wrote it.
const OF_VERSION_1: &str = "\
    f8a001844a33171eb898f896b840000000010101010101010101010101010101010101010101010101010101\
    010101010101010101010101010101010101010101010101010101010101010101018e32302e312e302e313a\
    333033303382765f029000000000000000000000ffff01020304846553f10080846553f100808080808080cc\
    cb846553f10080847370616dd1d0846553f1008080018772656675736564";

#[test]
fn a_record_of_version_1_is_read() {
    let bytes = alloy_primitives::hex::decode(OF_VERSION_1).unwrap();
    let mut record = PeerRecord::new(node(1), AddressOrigin::Discovery, Some(ip(0x0102_0304)), NOW);
    record.ban = Some(Ban { since: NOW, until: None, reason: "spam".into() });
    let (stage, text) = (AttemptStage::Dial, "refused".into());
    record.remember(Incident { at: NOW, stage, inbound: false, ended: true, text });
    assert_eq!(PeerRecord::decode(&bytes), Ok(record.clone()));
    assert_eq!(PeerRecord::decode(&record.encode()), Ok(record), "and written anew");
}

#[test]
fn a_book_comes_back_as_it_was() {
    let mut first = book();
    for number in 0..3000 {
        let source = Some(ip(0x3000_0000 + (number << 16)));
        first.add(NOW, &node(number), AddressOrigin::Exchange, source);
        if number % 3 == 0 {
            first.connected(NOW, &id(number), true);
            first.disconnected(NOW, &id(number));
        }
    }
    first.want(NOW, &node(5000), true).unwrap();
    first.ban(NOW, &id(6000), Some(NOW + 5), "spam").unwrap();
    first.ban_ip(NOW, ip(0x0a00_0001), None, "spam").unwrap();
    let changes = first.take_changes();
    assert!(first.take_changes().is_empty());
    let records: Vec<Vec<u8>> = changes.records.into_iter().filter_map(|(_, r)| r).collect();
    let slices = records.iter().map(Vec::as_slice);
    let head = changes.head.unwrap();
    let mut loaded = AddressBook::load(id(u32::MAX), [8; 32], NOW, &head, slices).unwrap();
    assert_eq!((loaded.damaged, loaded.first), (0, None));
    assert!(loaded.book.take_changes().is_empty());
    assert!(loaded.book.records().eq(first.records()));
    assert!(loaded.book.banned_ips().eq(first.banned_ips()));
    assert_eq!(loaded.book.tried_and_new(), first.tried_and_new());
}

#[test]
fn damaged_records_are_left_out_and_counted() {
    let mut first = book();
    good(&mut first, NOW, &node(1));
    let changes = first.take_changes();
    let sound = changes.records[0].1.clone().unwrap();
    let mut other_version = sound.clone();
    let at = other_version.iter().position(|byte| *byte == RECORD_VERSION).unwrap();
    other_version[at] = RECORD_VERSION + 1;
    let cut = &sound[..sound.len() - 1];
    let records = [cut, &sound, &other_version].into_iter();
    let loaded = AddressBook::load(id(9), [8; 32], NOW, &changes.head.unwrap(), records).unwrap();
    assert_eq!((loaded.damaged, loaded.book.len()), (2, 1));
    assert!(matches!(loaded.first, Some(RecordError::Rlp(_))));
    assert_eq!(PeerRecord::decode(&other_version), Err(RecordError::Version(RECORD_VERSION + 1)));
}
