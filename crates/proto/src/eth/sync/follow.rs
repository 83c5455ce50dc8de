//! Following: announced blocks are fetched one by one.
//!
//! A block goes `announced` → `header here` → `whole` → import. A NewBlock begins whole, and a
//! block without transactions needs no body. Blocks wait for their parent if that is on its way
//! too; if it is not, the peer's claim to a better head makes us fetch the range between.

use alloy_primitives::B256;
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{BlockBody, BlockHeader, BlockId, NewBlock};

use super::limits::{MAX_ABOVE_HEAD, MAX_ANNOUNCED, MAX_ANNOUNCED_PER_PEER, MAX_BELOW_HEAD};
use super::line::{Waiting, empty_body};
use super::peer::{BodyQuery, HeaderQuery, WantedBody};
use super::types::SyncFault;
use super::{BlockSyncManager, Mode};
use crate::time::Instant;

/// An announced block on its way.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    pub(super) number: u64,
    /// Who announced it, and is asked for it.
    pub(super) source: PeerId,
    header: Option<BlockHeader>,
    body: Option<Bytes>,
    /// Whether a request for it is under way.
    asked: bool,
}

impl BlockSyncManager {
    pub(super) fn announced_bytes(&self) -> usize {
        let bytes = |one: &Announced| {
            one.header.as_ref().map_or(0, |header| header.rlp.len())
                + one.body.as_ref().map_or(0, Bytes::len)
        };
        self.announced.values().map(bytes).sum()
    }

    pub(super) fn on_announced(&mut self, id: PeerId, blocks: &[BlockId]) {
        for block in blocks {
            let Some(peer) = self.peers.get_mut(&id) else { return };
            if self.invalid.contains(&block.hash) {
                self.fault(id, SyncFault::InvalidBlock { hash: block.hash });
                return;
            }
            if peer.number.is_none_or(|number| block.number > number) {
                peer.set_head(*block, None);
            }
            if self.is_wanted(id, *block) {
                let (number, source) = (block.number, id);
                let one = Announced { number, source, header: None, body: None, asked: false };
                self.announced.insert(block.hash, one);
            }
        }
    }

    pub(super) fn on_new_block(&mut self, id: PeerId, block: NewBlock) {
        let NewBlock { header, body, total_difficulty } = block;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let block = BlockId { hash: header.hash, number: header.header.number };
        if self.invalid.contains(&block.hash) {
            self.fault(id, SyncFault::InvalidBlock { hash: block.hash });
            return;
        }
        if !body.belongs_to(&header.header) {
            self.fault(id, SyncFault::WrongBody);
            return;
        }
        if peer.total_difficulty.is_none_or(|known| total_difficulty > known) {
            peer.set_head(block, Some(total_difficulty));
        }
        if let Some(one) = self.announced.get_mut(&block.hash) {
            // It was announced, too, and now it is here.
            one.header.get_or_insert(header);
            one.body.get_or_insert(body.rlp);
        } else if self.is_wanted(id, block) {
            let (header, body) = (Some(header), Some(body.rlp));
            let (number, source) = (block.number, id);
            let one = Announced { number, source, header, body, asked: false };
            self.announced.insert(block.hash, one);
        }
    }

    /// Whether an announced block is news, near the head, and there is room for it.
    fn is_wanted(&self, id: PeerId, block: BlockId) -> bool {
        let head = self.local.number;
        let near = block.number.saturating_add(MAX_BELOW_HEAD) >= head
            && block.number <= head.saturating_add(MAX_ABOVE_HEAD);
        let of_peer = self.announced.values().filter(|one| one.source == id).count();
        matches!(self.mode, Mode::Following)
            && near
            && block.hash != self.local.hash
            && !self.announced.contains_key(&block.hash)
            && !self.is_importing(&block.hash)
            && !self.recent.contains(&block.hash)
            && self.announced.len() < MAX_ANNOUNCED
            && of_peer < MAX_ANNOUNCED_PER_PEER
    }

    /// Asks for the parts that are missing.
    pub(super) fn ask_for_announced(&mut self, now: Instant) {
        let mut missing = self
            .announced
            .iter()
            .filter(|(_, one)| !one.asked && one.body.is_none())
            .map(|(hash, one)| (one.number, *hash))
            .collect::<Vec<_>>();
        missing.sort_unstable();
        for (_, hash) in missing {
            let Some(one) = self.announced.get_mut(&hash) else { continue };
            let source = one.source;
            let Some(peer) = self.peers.get(&source) else { continue };
            match &one.header {
                None if peer.can_send_headers(now) => {
                    one.asked = true;
                    self.send_header_query(now, source, HeaderQuery::Announced { hash });
                }
                Some(header) if peer.can_send_bodies(now) => {
                    one.asked = true;
                    let wanted = WantedBody::of(header);
                    self.send_body_query(now, source, BodyQuery::Announced(wanted));
                }
                _ => {}
            }
        }
    }

    pub(super) fn announced_header(&mut self, id: PeerId, hash: B256, headers: Vec<BlockHeader>) {
        let Some(header) = headers.into_iter().next() else { return };
        let Some(one) = self.announced.get_mut(&hash) else { return };
        one.asked = false;
        if one.number != header.header.number {
            let (asked, got) = (chainmesh_wire::eth::Origin::Hash(hash), header.header.number);
            self.fault(id, SyncFault::WrongStart { asked, got });
            return;
        }
        one.body = one.body.take().or_else(|| empty_body(&header));
        one.header = Some(header);
    }

    pub(super) fn announced_body(&mut self, block: BlockId, body: BlockBody) {
        if let Some(one) = self.announced.get_mut(&block.hash) {
            one.asked = false;
            one.body.get_or_insert(body.rlp);
        }
    }

    /// Takes announced blocks that can be imported now: those whose parent is the head and their
    /// children, or one beside or below the head, which may belong to a better branch.
    pub(super) fn take_announced(&mut self) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let mut parent = self.local.hash;
        while taken.len() < self.limits.import_blocks {
            let Some(hash) = self.whole_child_of(&parent) else { break };
            taken.extend(self.take_whole(&hash));
            parent = hash;
        }
        if taken.is_empty() {
            let head = self.local.number;
            let beside = self
                .announced
                .iter()
                .find(|(_, one)| one.number <= head && one.header.is_some() && one.body.is_some())
                .map(|(hash, _)| *hash);
            taken.extend(beside.and_then(|hash| self.take_whole(&hash)));
        }
        taken
    }

    fn whole_child_of(&self, parent: &B256) -> Option<B256> {
        let is_child = |one: &Announced| {
            one.body.is_some()
                && one.header.as_ref().is_some_and(|header| header.header.parent_hash == *parent)
        };
        self.announced.iter().find(|(_, one)| is_child(one)).map(|(hash, _)| *hash)
    }

    fn take_whole(&mut self, hash: &B256) -> Option<Waiting> {
        let Announced { header, body, source, .. } = self.announced.remove(hash)?;
        Some(Waiting { header: header?, owner: source, body })
    }

    /// Drops blocks above the head whose parent is neither the head nor on its way: what is between
    /// is fetched as a range, because the peer claims a better head.
    pub(super) fn drop_orphans(&mut self) {
        let head = self.local;
        let orphans = self
            .announced
            .iter()
            .filter(|(_, one)| one.number > head.number)
            .filter(|(_, one)| {
                one.header.as_ref().is_some_and(|header| {
                    let parent = &header.header.parent_hash;
                    *parent != head.hash
                        && !self.announced.contains_key(parent)
                        && !self.is_importing(parent)
                })
            })
            .map(|(hash, _)| *hash)
            .collect::<Vec<_>>();
        for hash in orphans {
            self.announced.remove(&hash);
        }
    }
}
