//! What of the book is kept on disk: each record by itself, and a head.

use alloy_primitives::{B256, FixedBytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use chainmesh_identity::PeerId;

use super::record::{decode_ip, encode_ip, seal, unseal};
use super::{
    AddressBook, Ban, BookError, MAX_ANCHORS, MAX_PINNED, PeerRecord, RecordError, UnixTime,
};

/// Most bytes of a head: [`MAX_PINNED`] bans at their limit.
const MAX_HEAD_BYTES: usize = 512 + MAX_PINNED * 256;

#[derive(RlpEncodable, RlpDecodable)]
struct StoredIpBan {
    ip: FixedBytes<16>,
    since: u64,
    until: u64,
    reason: String,
}

#[derive(RlpEncodable, RlpDecodable)]
struct Head {
    secret: B256,
    anchors: Vec<FixedBytes<64>>,
    bans: Vec<StoredIpBan>,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The head, if it changed.
    pub head: Option<Vec<u8>>,
    /// Whether `records` is all there is: what is on disk goes first.
    pub all: bool,
    /// Records by ID: the bytes, or `None` for one that is gone.
    pub records: Vec<(PeerId, Option<Vec<u8>>)>,
}

impl Changes {
    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head.is_none() && !self.all && self.records.is_empty()
    }
}

/// A book from disk.
#[derive(Debug)]
pub struct Loaded {
    /// The book.
    pub book: AddressBook,
    /// Records that were left out, since their bytes are damaged or of another version.
    pub damaged: usize,
    /// Why the first of them was.
    pub first: Option<RecordError>,
}

impl AddressBook {
    /// A book from what was written. Damaged records are left out. `seed` is for what is left to
    /// chance in this run; the secret is that of the head.
    ///
    /// # Errors
    /// When the head is damaged: without its secret no record has a place.
    pub fn load<'a>(
        local_id: PeerId,
        seed: [u8; 32],
        now: UnixTime,
        head: &[u8],
        records: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Loaded, RecordError> {
        let head = unseal(head, MAX_HEAD_BYTES)?;
        let head = Head::decode(&mut head.as_ref())?;
        let mut book = Self::with_secret(local_id, head.secret, seed);
        let (mut damaged, mut first) = (0_usize, None);
        for bytes in records {
            match PeerRecord::decode(bytes) {
                Ok(record) if record.enode.id == local_id => {}
                Ok(record) => book.restore(now, record),
                Err(error) => {
                    damaged = damaged.saturating_add(1);
                    first = first.or(Some(error));
                }
            }
        }
        for anchor in head.anchors.iter().take(MAX_ANCHORS) {
            if let Ok(id) = PeerId::from_slice(anchor.as_slice()) {
                book.anchors.push(id);
            }
        }
        book.anchors_due = book.anchors.iter().copied().collect();
        for ban in head.bans {
            let until = (ban.until != 0).then_some(ban.until);
            let result: Result<(), BookError> =
                book.ban_ip(ban.since, decode_ip(ban.ip), until, &ban.reason);
            if result.is_err() {
                damaged = damaged.saturating_add(1);
            }
        }
        // All of this is on disk.
        book.changed.clear();
        book.all_changed = false;
        book.head_changed = false;
        Ok(Loaded { book, damaged, first })
    }

    /// Puts a record from disk where it stood. The places of a book that was written by us are free.
    fn restore(&mut self, now: UnixTime, record: PeerRecord) {
        let id = record.enode.id;
        self.take_out(&id);
        let place = self.places.tried_place(&record.enode);
        if record.tried && self.places.at(place).is_none() {
            self.put_in(record, Some(place));
        } else if !record.is_pinned() || self.pinned < MAX_PINNED {
            self.insert_new(now, record);
        }
    }

    /// What changed since the last call. If it cannot be written, it is to be kept and written with
    /// the next.
    pub fn take_changes(&mut self) -> Changes {
        let head = core::mem::take(&mut self.head_changed).then(|| self.head());
        let mut changed = core::mem::take(&mut self.changed);
        let all = core::mem::take(&mut self.all_changed);
        if all {
            changed = self.entries.keys().copied().collect();
        }
        let record = |id: PeerId| (id, self.get(&id).map(PeerRecord::encode));
        Changes { head, all, records: changed.into_iter().map(record).collect() }
    }

    fn head(&self) -> Vec<u8> {
        let ban = |(ip, ban): (core::net::IpAddr, &Ban)| StoredIpBan {
            ip: encode_ip(ip),
            since: ban.since,
            until: ban.until.unwrap_or_default(),
            reason: ban.reason.clone(),
        };
        let anchors = self.current_anchors();
        let mut body = Vec::new();
        Head {
            secret: self.secret,
            anchors: anchors.iter().map(|id| FixedBytes(*id.as_bytes())).collect(),
            bans: self.banned_ips().map(ban).collect(),
        }
        .encode(&mut body);
        seal(body)
    }
}
