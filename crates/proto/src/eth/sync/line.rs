//! The blocks between the local chain and the peers' heads: headers that wait for bodies, and
//! blocks that wait for import, bounded in number and in bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH};
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{BlockHeader, BlockId};

use super::super::chain::SyncBlock;
use super::peer::WantedBody;

/// A header with its body, when that is there.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) header: BlockHeader,
    /// Who sent the header.
    pub(super) owner: PeerId,
    pub(super) body: Option<Bytes>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.header.rlp.len() + self.body.as_ref().map_or(0, Bytes::len)
    }

    pub(super) const fn id(&self) -> BlockId {
        BlockId { hash: self.header.hash, number: self.header.header.number }
    }

    /// The block, if it is whole.
    pub(super) fn block(&self) -> Option<SyncBlock> {
        Some(SyncBlock {
            hash: self.header.hash,
            header: self.header.header.clone(),
            header_rlp: self.header.rlp.clone(),
            body_rlp: self.body.clone()?,
        })
    }
}

/// The body of a block that has nothing in it, if the header says so: it need not be asked for.
pub(super) fn empty_body(header: &BlockHeader) -> Option<Bytes> {
    let header = &header.header;
    if header.transactions_root != EMPTY_ROOT_HASH || header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return None;
    }
    match header.withdrawals_root {
        None => Some(Bytes::from_static(&[0xc2, 0xc0, 0xc0])),
        Some(EMPTY_ROOT_HASH) => Some(Bytes::from_static(&[0xc3, 0xc0, 0xc0, 0xc0])),
        Some(_) => None,
    }
}

/// Headers in order that do not touch the line yet.
#[derive(Debug)]
struct Segment {
    owner: PeerId,
    headers: Vec<BlockHeader>,
}

/// A segment did not fit to the end of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// Who sent the segment.
    pub(super) owner: PeerId,
    /// Number of its first header.
    pub(super) number: u64,
    /// Who sent the header at the end of the line; `None` when the line is empty.
    pub(super) before: Option<PeerId>,
}

/// The line of blocks above `base`.
#[derive(Debug)]
pub(super) struct Line {
    base: BlockId,
    /// Each the child of the one before, the first the child of `base`.
    blocks: VecDeque<Waiting>,
    /// By the number of the first header.
    ahead: BTreeMap<u64, Segment>,
    /// Numbers of the blocks in the line whose body is not here and not asked for.
    wanted: BTreeSet<u64>,
    bytes: usize,
}

impl Line {
    pub(super) const fn new(base: BlockId) -> Self {
        Self {
            base,
            blocks: VecDeque::new(),
            ahead: BTreeMap::new(),
            wanted: BTreeSet::new(),
            bytes: 0,
        }
    }

    pub(super) const fn base(&self) -> BlockId {
        self.base
    }

    /// The last block of the line, or the block below it.
    pub(super) fn tip(&self) -> BlockId {
        self.blocks.back().map_or(self.base, Waiting::id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.ahead.is_empty()
    }

    /// Whether nothing is in the line itself.
    pub(super) fn is_bare(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Headers in the line and ahead of it.
    pub(super) fn header_count(&self) -> usize {
        self.blocks.len() + self.ahead.values().map(|one| one.headers.len()).sum::<usize>()
    }

    pub(super) fn body_count(&self) -> usize {
        self.blocks.iter().filter(|one| one.body.is_some()).count()
    }

    pub(super) const fn wanted(&self) -> &BTreeSet<u64> {
        &self.wanted
    }

    /// Forgets everything and begins again above `base`.
    pub(super) fn reset(&mut self, base: BlockId) {
        *self = Self::new(base);
    }

    /// Takes headers that were checked to be in order.
    pub(super) fn insert(&mut self, owner: PeerId, headers: Vec<BlockHeader>) {
        let Some(first) = headers.first() else { return };
        let start = first.header.number;
        // An answer is for a gap; a gap that was filled in the meantime needs it no more.
        if start <= self.tip().number || self.ahead.contains_key(&start) {
            return;
        }
        self.bytes += headers.iter().map(|header| header.rlp.len()).sum::<usize>();
        self.ahead.insert(start, Segment { owner, headers });
    }

    /// Moves what fits from ahead into the line.
    pub(super) fn join(&mut self) -> Result<(), Mismatch> {
        while let Some(entry) = self.ahead.first_entry() {
            let tip = self.blocks.back().map_or(self.base, Waiting::id);
            let next = tip.number.saturating_add(1);
            if *entry.key() > next {
                return Ok(());
            }
            let overlaps = *entry.key() < next;
            let Segment { owner, headers } = entry.remove();
            if overlaps {
                self.bytes -= headers.iter().map(|header| header.rlp.len()).sum::<usize>();
                continue;
            }
            let links = headers
                .first()
                .is_some_and(|one| one.header.parent_hash == tip.hash && one.header.number == next);
            if !links {
                self.bytes -= headers.iter().map(|header| header.rlp.len()).sum::<usize>();
                let before = self.blocks.back().map(|one| one.owner);
                return Err(Mismatch { owner, number: next, before });
            }
            for header in headers {
                self.append(owner, header);
            }
        }
        Ok(())
    }

    fn append(&mut self, owner: PeerId, header: BlockHeader) {
        let body = empty_body(&header);
        match &body {
            Some(body) => self.bytes += body.len(),
            None => {
                self.wanted.insert(header.header.number);
            }
        }
        self.blocks.push_back(Waiting { header, owner, body });
    }

    /// The first numbers up to `end` that are neither here nor in `in_flight` (ascending ranges as
    /// start and count); at most `limit` of them.
    pub(super) fn gap(&self, in_flight: &[(u64, u64)], end: u64, limit: u64) -> Option<(u64, u64)> {
        let mut taken = in_flight.to_vec();
        taken.extend(self.ahead.iter().map(|(start, segment)| {
            (*start, u64::try_from(segment.headers.len()).unwrap_or(u64::MAX))
        }));
        taken.sort_unstable();
        let mut next = self.tip().number.checked_add(1)?;
        let mut until = end;
        for (start, count) in taken {
            if start > next {
                until = end.min(start - 1);
                break;
            }
            next = next.max(start.saturating_add(count));
        }
        if next > until {
            return None;
        }
        Some((next, (until - next).saturating_add(1).min(limit)))
    }

    /// Place of a number in the line.
    fn place(&self, number: u64) -> Option<usize> {
        let above = number.checked_sub(self.base.number)?.checked_sub(1)?;
        usize::try_from(above).ok()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Waiting> {
        self.blocks.get(self.place(number)?)
    }

    /// Marks a body as asked for.
    pub(super) fn ask(&mut self, number: u64) -> Option<WantedBody> {
        self.wanted.remove(&number);
        self.get(number).map(|waiting| WantedBody::of(&waiting.header))
    }

    /// A body that was asked for will not come.
    pub(super) fn want_again(&mut self, block: BlockId) {
        let missing = self
            .get(block.number)
            .is_some_and(|waiting| waiting.header.hash == block.hash && waiting.body.is_none());
        if missing {
            self.wanted.insert(block.number);
        }
    }

    /// Number of the first block whose body is not here.
    pub(super) fn first_missing(&self) -> Option<u64> {
        self.blocks.iter().find(|one| one.body.is_none()).map(|one| one.header.header.number)
    }

    /// Takes a body that was checked against `block`; says whether it was needed.
    pub(super) fn set_body(&mut self, block: BlockId, body: Bytes) -> bool {
        let Some(waiting) = self.place(block.number).and_then(|place| self.blocks.get_mut(place))
        else {
            return false;
        };
        if waiting.header.hash != block.hash || waiting.body.is_some() {
            return false;
        }
        self.bytes += body.len();
        waiting.body = Some(body);
        self.wanted.remove(&block.number);
        true
    }

    /// Takes the whole blocks at the beginning of the line; `base` moves up with them.
    pub(super) fn take_ready(&mut self, most: usize, most_bytes: usize) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < most
            && let Some(first) = self.blocks.front()
            && first.body.is_some()
            && (taken.is_empty() || bytes + first.bytes() <= most_bytes)
            && let Some(first) = self.blocks.pop_front()
        {
            bytes += first.bytes();
            self.base = first.id();
            taken.push(first);
        }
        self.bytes -= bytes;
        taken
    }

    /// Gives blocks back that [`take_ready`](Self::take_ready) gave out last.
    pub(super) fn give_back(&mut self, base: BlockId, blocks: Vec<Waiting>) {
        for block in blocks.into_iter().rev() {
            self.bytes += block.bytes();
            self.blocks.push_front(block);
        }
        self.base = base;
    }

    /// Drops the line from this number on, and all that is ahead of it.
    pub(super) fn truncate(&mut self, number: u64) {
        while let Some(last) = self.blocks.back()
            && last.header.header.number >= number
        {
            self.bytes -= last.bytes();
            self.blocks.pop_back();
        }
        self.wanted.split_off(&number);
        for segment in core::mem::take(&mut self.ahead).into_values() {
            self.bytes -= segment.headers.iter().map(|header| header.rlp.len()).sum::<usize>();
        }
    }

    /// Drops what a peer sent ahead of the line.
    pub(super) fn drop_ahead(&mut self, owner: PeerId) {
        let bytes = &mut self.bytes;
        self.ahead.retain(|_, segment| {
            let keep = segment.owner != owner;
            if !keep {
                *bytes -= segment.headers.iter().map(|header| header.rlp.len()).sum::<usize>();
            }
            keep
        });
    }

    /// Drops what a peer sent and nobody else has confirmed: the end of the line, if it is this
    /// peer's. Headers that another peer's follow are true: their hash is in those.
    pub(super) fn drop_unconfirmed(&mut self, owner: PeerId) {
        self.drop_ahead(owner);
        while let Some(last) = self.blocks.back()
            && last.owner == owner
        {
            self.bytes -= last.bytes();
            self.wanted.remove(&last.header.header.number);
            self.blocks.pop_back();
        }
    }
}
