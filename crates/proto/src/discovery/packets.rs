//! What comes in: who may say what, and what is answered.

use core::net::SocketAddr;

use alloy_primitives::B256;
use chainmesh_wire::discv4::{
    self, Contact, DatagramError, Endpoint, EnrResponse, Neighbors, Opened, Packet, Ping, Pong,
};

use super::Discovery;
use super::address::{is_special, may_relay};
use super::bonds::PeerKey;
use super::config::BUCKET_SIZE;
use super::io::DropReason;
use crate::time::Instant;

impl From<DatagramError> for DropReason {
    fn from(error: DatagramError) -> Self {
        match error {
            DatagramError::TooShort(_) | DatagramError::TooLong(_) => Self::Size,
            DatagramError::Hash => Self::Hash,
            DatagramError::Type(_) => Self::Type,
            DatagramError::Malformed(_) => Self::Malformed,
            DatagramError::Signature => Self::Signature,
        }
    }
}

impl Discovery {
    pub(super) fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        if let Err(reason) = self.receive(now, from, bytes) {
            self.counters.dropped(reason);
        }
    }

    /// What costs least is looked at first.
    fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), DropReason> {
        if from.port() == 0 || is_special(from.ip()) {
            return Err(DropReason::Address);
        }
        let proven = self.bonds.any_at(from.ip());
        if !self.limiter.allow(now, from.ip(), proven) {
            return Err(DropReason::RateLimited);
        }
        let Opened { sender, hash, packet } = discv4::open(bytes, self.config.seal)?;
        if sender == self.local_id {
            return Err(DropReason::Own);
        }
        let clock = self.wall_clock.seconds(now);
        if packet.expiration().is_some_and(|until| discv4::is_expired(until, clock)) {
            return Err(DropReason::Expired);
        }
        let peer = PeerKey { ip: from.ip(), id: sender };
        let kind = packet.kind();
        match packet {
            Packet::Ping(ping) => self.pinged(now, from, peer, hash, &ping),
            Packet::Pong(pong) => self.ponged(now, from, peer, &pong)?,
            Packet::FindNode(find) => {
                self.require_proof(now, &peer)?;
                self.answer_find_node(now, from, &peer, &find);
            }
            Packet::Neighbors(neighbors) => self.neighbors(now, peer, &neighbors)?,
            Packet::EnrRequest(_) => {
                self.require_proof(now, &peer)?;
                let record = self.own.record().cloned().map(Box::new);
                if let Some(record) = record {
                    let answer = EnrResponse { request_hash: hash, record };
                    self.send(from, &Packet::EnrResponse(answer));
                }
            }
            Packet::EnrResponse(response) => self.record_came(now, &peer, response)?,
        }
        self.counters.received(kind);
        Ok(())
    }

    /// No answer for those who have not proved where they are: not even a Ping.
    fn require_proof(&self, now: Instant, peer: &PeerKey) -> Result<(), DropReason> {
        let proved = self.bonds.proved(now, peer);
        proved.then_some(()).ok_or(DropReason::Unproven)
    }

    fn pinged(&mut self, now: Instant, from: SocketAddr, peer: PeerKey, hash: B256, ping: &Ping) {
        let seen = Endpoint::new(from.ip(), from.port(), ping.from.tcp_port);
        let pong = Pong {
            to: seen,
            ping_hash: hash,
            expiration: self.expiration(now),
            enr_seq: Some(self.own.sequence()),
        };
        self.send(from, &Packet::Pong(pong));
        self.prove_back(now, Contact { endpoint: seen, id: peer.id }, ping.enr_seq);
        self.queries_proved(now, &peer);
    }

    fn answer_find_node(
        &mut self,
        now: Instant,
        from: SocketAddr,
        peer: &PeerKey,
        find: &discv4::FindNode,
    ) {
        let near = self.table.closest(&find.target.node_hash(), BUCKET_SIZE, |entry| {
            entry.contact.id != peer.id && may_relay(peer.ip, &entry.contact)
        });
        let contacts: Vec<Contact> = near.into_iter().map(|entry| entry.contact).collect();
        let expiration = self.expiration(now);
        for neighbors in Neighbors::packets(&contacts, expiration) {
            self.send(from, &Packet::Neighbors(neighbors));
        }
    }
}
