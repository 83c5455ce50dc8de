//! The address book: its records on disk, and any operations in any order.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, BTreeSet};

use chainmesh_identity::{Enode, Host, PeerId};
use chainmesh_proto::peers::book::{
    AddressBook, AddressOrigin, AttemptStage, BUCKET_PLACES, Incident, MAX_INCIDENTS, MAX_PINNED,
    MAX_RECORD_BYTES, MAX_RECORDS_PER_PREFIX, MAX_TEXT, NEW_BUCKETS, PeerRecord, TRIED_BUCKETS,
};

use crate::cursor::Cursor;

/// When the operations begin, Unix time.
const BEGIN: u64 = 1_700_000_000;
/// The number of this node.
const OWN: u8 = 255;

/// A record on disk: what is read is written and read again as the same.
pub fn book_record(data: &[u8]) {
    let Ok(record) = PeerRecord::decode(data) else { return };
    assert!(data.len() <= MAX_RECORD_BYTES);
    assert!(record.incidents.len() <= MAX_INCIDENTS);
    assert!(record.incidents.iter().all(|incident| incident.text.len() <= MAX_TEXT));
    let bytes = record.encode();
    assert_eq!(PeerRecord::decode(&bytes), Ok(record));
}

fn id(node: u8) -> PeerId {
    PeerId::from([node; 64])
}

/// Many nodes of few networks, so that they crowd.
fn enode(cursor: &mut Cursor<'_>) -> Enode {
    let ip = Ipv4Addr::new(20, cursor.below(3), cursor.below(3), cursor.byte());
    let (id, host) = (id(cursor.byte()), Host::Ip(IpAddr::V4(ip)));
    let port = u16::from(cursor.below(3));
    Enode { id, host, tcp_port: port, udp_port: port }
}

/// A book and its disk.
struct Bed {
    now: u64,
    book: AddressBook,
    head: Vec<u8>,
    disk: BTreeMap<PeerId, Vec<u8>>,
}

/// Operations on an address book, and what has to hold after each of them.
pub fn book_ops(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let book = AddressBook::new(id(OWN), [cursor.byte(); 32]);
    let mut bed = Bed { now: BEGIN, book, head: Vec::new(), disk: BTreeMap::new() };
    while !cursor.is_empty() {
        bed.operate(&mut cursor);
        bed.check();
    }
    bed.restart(1);
    bed.check();
}

impl Bed {
    fn operate(&mut self, cursor: &mut Cursor<'_>) {
        let (now, book) = (self.now, &mut self.book);
        match cursor.below(16) {
            0..=3 => {
                let origins = [
                    AddressOrigin::Configured,
                    AddressOrigin::Boot,
                    AddressOrigin::Discovery,
                    AddressOrigin::Inbound,
                    AddressOrigin::Exchange,
                ];
                let origin = origins[usize::from(cursor.below(5))];
                let source = Ipv4Addr::new(30, cursor.below(4), 0, 1).into();
                let source = cursor.flag().then_some(source);
                book.add(now, &enode(cursor), origin, source);
            }
            4 => book.dialled(now, &id(cursor.byte())),
            5 => book.failed(now, &id(cursor.byte())),
            6 => book.refused(now, &id(cursor.byte())),
            7 | 8 => book.connected(now, &id(cursor.byte()), cursor.flag()),
            9 => book.disconnected(now, &id(cursor.byte())),
            10 => {
                let until = cursor.flag().then(|| now + u64::from(cursor.byte()));
                let _ = book.ban(now, &id(cursor.byte()), until, "fuzz");
            }
            11 => {
                book.unban(&id(cursor.byte()));
                book.lift_bans(now);
            }
            12 => match cursor.below(3) {
                0 => _ = book.want(now, &enode(cursor), cursor.flag()),
                1 => _ = book.distrust(&id(cursor.byte())),
                _ => book.forget(&id(cursor.byte())),
            },
            13 => {
                let length = usize::from(cursor.byte());
                let text = String::from_utf8_lossy(cursor.take(length)).into_owned();
                let (stage, inbound) = (AttemptStage::Dial, cursor.flag());
                let incident = Incident { at: now, stage, inbound, ended: true, text };
                book.remember(&id(cursor.byte()), incident);
            }
            14 => self.now = self.now.saturating_add(u64::from(cursor.short()) * 60),
            _ if cursor.flag() => self.restart(cursor.byte()),
            _ => self.candidates(cursor.byte()),
        }
    }

    fn candidates(&mut self, count: u8) {
        let chosen = self.book.candidates(self.now, usize::from(count), |id| id.as_bytes()[0] != 7);
        assert!(chosen.len() <= usize::from(count));
        let ids: BTreeSet<PeerId> = chosen.iter().map(|enode| enode.id).collect();
        assert_eq!(ids.len(), chosen.len(), "nobody twice");
        for enode in &chosen {
            assert_ne!(enode.id.as_bytes()[0], 7, "nobody who is not wanted");
            assert!(!self.book.is_banned(self.now, &enode.id) && enode.tcp_port != 0);
            assert!(self.book.due_at(&enode.id).is_some());
        }
    }

    /// Written and read: the same records, none of them damaged.
    fn restart(&mut self, seed: u8) {
        let changes = self.book.take_changes();
        if changes.all {
            self.disk.clear();
        }
        if let Some(head) = changes.head {
            self.head = head;
        }
        for (id, bytes) in changes.records {
            match bytes {
                Some(bytes) => self.disk.insert(id, bytes),
                None => self.disk.remove(&id),
            };
        }
        assert!(self.disk.values().all(|bytes| bytes.len() <= MAX_RECORD_BYTES));
        assert!(self.disk.keys().eq(self.book.records().map(|record| &record.enode.id)));
        let records = self.disk.values().map(Vec::as_slice);
        let loaded = AddressBook::load(id(OWN), [seed; 32], self.now, &self.head, records);
        let loaded = loaded.expect("what was written is read");
        assert_eq!((loaded.damaged, loaded.first), (0, None));
        assert!(loaded.book.len() <= self.book.len());
        self.book = loaded.book;
        // What had no room any more is not on disk, either, when the node has written.
        self.disk.retain(|id, _| self.book.get(id).is_some());
    }

    fn check(&self) {
        let (tried, new) = self.book.tried_and_new();
        assert!(tried <= usize::from(TRIED_BUCKETS) * usize::from(BUCKET_PLACES));
        assert!(new <= usize::from(NEW_BUCKETS) * usize::from(BUCKET_PLACES));
        assert!(self.book.len() <= tried + new + MAX_PINNED);
        assert!(self.book.get(&id(OWN)).is_none(), "this node is not in its book");
        let mut networks: BTreeMap<[u8; 3], usize> = BTreeMap::new();
        for record in self.book.records() {
            assert!(record.incidents.len() <= MAX_INCIDENTS);
            if let (Some(IpAddr::V4(ip)), false) = (record.enode.host.ip(), record.is_pinned()) {
                let [a, b, c, _] = ip.octets();
                *networks.entry([a, b, c]).or_default() += 1;
            }
        }
        assert!(networks.values().all(|count| *count <= MAX_RECORDS_PER_PREFIX));
        assert_eq!(tried, self.book.records().filter(|record| record.tried).count());
    }
}
