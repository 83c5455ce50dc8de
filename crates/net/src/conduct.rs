//! What peers do wrong and well: from those who notice it to the control plane, from there to the
//! address book and to people.

use core::time::Duration;
use std::collections::VecDeque;

use chainmesh_identity::PeerId;
use chainmesh_proto::peers::{ClosedBy, DialError, Direction, Input, Merit, Offence, PeerEvent};
use chainmesh_proto::session::connection::CloseCause;
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::DisconnectReason;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::handle::{NodeEnded, P2pHandle};
use crate::service::{Order, Service};

/// Failed dials that are remembered for the words of an alarm, and for how long.
const FAILURES: usize = 64;
const FAILURES_FOR: Duration = Duration::from_secs(600);
/// Reasons of failed dials that an alarm names.
const REASONS: usize = 3;

/// There have been fewer peers than there should be, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooFewPeers {
    /// Peers when it was noticed.
    pub connected: usize,
    /// What there should be at least.
    pub minimum: usize,
    /// How the last dials failed, for people: `12 dials: 9 no answer in time, 3 too many peers`.
    pub dials: String,
}

/// Tells the control plane what a peer did. It does not keep the node alive.
#[derive(Debug, Clone)]
pub(crate) struct Witness(mpsc::WeakSender<Order>);

impl Witness {
    pub(crate) fn new(orders: &mpsc::Sender<Order>) -> Self {
        Self(orders.downgrade())
    }

    /// A peer did something wrong; `words` are for its story. Waits while the control plane is behind:
    /// a flood of other orders hides nothing.
    pub(crate) async fn accuse(&self, id: PeerId, offence: Offence, words: String) {
        if let Some(orders) = self.0.upgrade() {
            let _ = orders.send(Order::Offence(id, offence, words)).await;
        }
    }

    /// A peer did something well. When the control plane is behind, it goes without praise.
    pub(crate) fn praise(&self, id: PeerId, merit: Merit) {
        if let Some(orders) = self.0.upgrade() {
            let _ = orders.try_send(Order::Merit(id, merit));
        }
    }
}

/// The alarm for too few peers, and what it says.
#[derive(Debug)]
pub(crate) struct Floor {
    failures: VecDeque<(Instant, Failure)>,
    alarm: watch::Sender<Option<TooFewPeers>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Dial(DialError),
    Handshake(DisconnectReason),
}

impl Floor {
    pub(crate) fn new() -> Self {
        Self { failures: VecDeque::new(), alarm: watch::Sender::new(None) }
    }

    pub(crate) fn heard(&self) -> watch::Receiver<Option<TooFewPeers>> {
        self.alarm.subscribe()
    }

    /// Takes note of what is behind an alarm, and raises it.
    fn see(&mut self, now: Instant, event: &PeerEvent) {
        match *event {
            PeerEvent::DialFailed { error, .. } => self.failed(now, Failure::Dial(error)),
            PeerEvent::HandshakeFailed { direction: Direction::Outbound, reason, by, .. } => {
                let ours = by == ClosedBy::Us && reason == DisconnectReason::AlreadyConnected;
                if !ours {
                    self.failed(now, Failure::Handshake(reason));
                }
            }
            PeerEvent::TooFewPeers { connected, minimum } => {
                let dials = self.words(now);
                warn!(
                    connected,
                    minimum, "too few peers: {connected} of at least {minimum}; {dials}"
                );
                self.alarm.send_replace(Some(TooFewPeers { connected, minimum, dials }));
            }
            PeerEvent::EnoughPeers { connected, minimum } => {
                info!(connected, minimum, "enough peers again: {connected}");
                self.alarm.send_replace(None);
            }
            _ => {}
        }
    }

    fn failed(&mut self, now: Instant, failure: Failure) {
        if self.failures.len() >= FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back((now, failure));
    }

    /// The commonest reasons of the last dials that failed.
    fn words(&self, now: Instant) -> String {
        let recent = self.failures.iter();
        let recent = recent.filter(|(at, _)| now.saturating_since(*at) <= FAILURES_FOR);
        let mut counts: Vec<(String, usize)> = Vec::new();
        let mut all = 0;
        for (_, failure) in recent {
            let words = match failure {
                Failure::Dial(error) => error.to_string(),
                Failure::Handshake(reason) => reason.to_string(),
            };
            all += 1;
            match counts.iter_mut().find(|(known, _)| *known == words) {
                Some((_, count)) => *count += 1,
                None => counts.push((words, 1)),
            }
        }
        if all == 0 {
            return "no dial failed: nobody else is known, or everybody was let go".to_owned();
        }
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let named: Vec<String> =
            counts.iter().take(REASONS).map(|(words, count)| format!("{count} {words}")).collect();
        let plural = if all == 1 { "" } else { "s" };
        format!("{all} dial{plural} failed in the last ten minutes: {}", named.join(", "))
    }
}

impl Service {
    /// A peer did something wrong.
    pub(crate) fn accused(&mut self, id: PeerId, offence: Offence, words: String) {
        let now = self.clock.now();
        // What follows at once follows from this: the book gets it in words.
        self.carry_out();
        self.bookkeeper.cause = Some(words);
        self.manager.handle(now, Input::Offence { id, offence });
        self.carry_out();
        self.bookkeeper.cause = None;
    }

    /// Whether a peer is to blame for the end of its connection.
    pub(crate) fn judge_end(
        &self,
        conn: chainmesh_proto::peers::ConnectionId,
        cause: &CloseCause,
    ) -> Option<Offence> {
        Offence::of_close(cause, self.manager.is_session(conn))
    }

    /// What people are told of conduct, rotation and the number of peers.
    pub(crate) fn tell_of_conduct(&mut self, event: &PeerEvent) {
        self.floor.see(self.clock.now(), event);
        match event {
            PeerEvent::Misbehaved { id, offence, score, .. } => {
                let (peer, cause) = (id.short(), self.bookkeeper.cause.as_deref().unwrap_or("?"));
                info!(%peer, score, "{offence}: {cause}");
            }
            PeerEvent::Banned { id, score, lasts, .. } => {
                let (peer, seconds) = (id.short(), lasts.as_secs());
                warn!(%peer, score, "peer banned for {seconds} s for its conduct");
            }
            PeerEvent::Tolerated { id, score } => {
                let peer = id.short();
                warn!(
                    %peer, score,
                    "a peer that you asked for behaves so that any other would be banned"
                );
            }
            PeerEvent::Rotated { id, score, direction } => {
                info!(peer = %id.short(), score, ?direction, "peer let go: another gets its place");
            }
            _ => {}
        }
    }
}

impl P2pHandle {
    /// A peer did something wrong that is an application's business to know: its score falls, and its
    /// story has `words` (the first 150 characters, escaped). Ending the session is up to the caller,
    /// unless the score that follows bans the peer.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn accuse_peer(
        &self,
        id: PeerId,
        offence: Offence,
        words: &str,
    ) -> Result<(), NodeEnded> {
        self.order(Order::Offence(id, offence, words.to_owned())).await
    }

    /// The alarm for too few peers: `None` while there are enough, or not too few for long enough. See
    /// [`P2pConfig::min_peers`](crate::P2pConfig::min_peers).
    #[must_use]
    pub fn peer_alarm(&self) -> watch::Receiver<Option<TooFewPeers>> {
        self.alarm.clone()
    }
}

#[cfg(test)]
mod tests;
