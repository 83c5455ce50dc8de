//! The task that runs the machine: its peers, its dials, one timer.

use std::collections::HashMap;

use chainmesh_proto::module::{Module, PeerContext};
use chainmesh_proto::reach::{DialId, Input, Output, Reach, Report, SessionId, Verdict};
use chainmesh_wire::reach::Outcome;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::dial_back::dial_back;
use super::module::{FromPeer, module};
use super::{ReachHandle, status};
use crate::clock::Clock;
use crate::discovery::Addresses;
use crate::entropy;

/// What peers have said and the task has not heard, at most.
const HEARD: usize = 256;

/// Everything that belongs to it.
pub(crate) struct Service {
    machine: Reach,
    clock: Clock,
    heard: mpsc::Receiver<FromPeer>,
    to: mpsc::Sender<FromPeer>,
    peers: HashMap<SessionId, PeerContext>,
    dials: JoinSet<(DialId, Outcome)>,
    report: watch::Sender<Report>,
    addresses: Option<watch::Receiver<Addresses>>,
    /// Where others saw this node when somebody looked last.
    observed: Option<core::net::SocketAddr>,
    warned: bool,
}

impl Service {
    /// A node that listens on this TCP port.
    pub(crate) fn new(
        port: u16,
        clock: Clock,
        addresses: Option<watch::Receiver<Addresses>>,
    ) -> Self {
        let machine = Reach::new(port, entropy());
        let (to, heard) = mpsc::channel(HEARD);
        let (report, _) = watch::channel(machine.snapshot());
        Self {
            machine,
            clock,
            heard,
            to,
            peers: HashMap::new(),
            dials: JoinSet::new(),
            report,
            addresses,
            observed: None,
            warned: false,
        }
    }

    pub(crate) fn module(&self) -> Option<Module> {
        module(self.to.clone())
    }

    pub(crate) fn handle(&self) -> ReachHandle {
        let (report, addresses) = (self.report.subscribe(), self.addresses.clone());
        ReachHandle { clock: self.clock, report, addresses }
    }

    /// Runs until the node ends.
    pub(crate) async fn run(mut self, mut ended: watch::Receiver<()>) {
        loop {
            self.carry_out();
            let timer = self.clock.sleep_until(self.machine.poll_timeout());
            tokio::select! {
                heard = self.heard.recv() => match heard {
                    Some(heard) => self.hear(heard),
                    None => return,
                },
                Some(done) = self.dials.join_next(), if !self.dials.is_empty() => {
                    if let Ok((dial, outcome)) = done {
                        debug!(?dial, ?outcome, "a peer was dialled back");
                        self.machine.handle(self.clock.now(), Input::Dialled { dial, outcome });
                    }
                }
                () = moved(&mut self.addresses) => self.look_at_addresses(),
                () = timer => self.machine.handle_timeout(self.clock.now()),
                // Nothing is ever sent: it ends when the sender is dropped.
                _ = ended.changed() => return,
            }
        }
    }

    fn hear(&mut self, heard: FromPeer) {
        let now = self.clock.now();
        match heard {
            FromPeer::Up(session, peer) => {
                let (id, address, dialled) = (peer.id(), peer.address(), peer.is_dialled());
                self.peers.insert(session, peer);
                self.machine.handle(now, Input::PeerUp { session, id, address, dialled });
            }
            FromPeer::Heard(session, message) => {
                self.machine.handle(now, Input::Message { session, message });
            }
            FromPeer::Down(session) => self.gone(session),
        }
    }

    fn gone(&mut self, session: SessionId) {
        self.peers.remove(&session);
        self.machine.handle(self.clock.now(), Input::PeerDown { session });
    }

    fn carry_out(&mut self) {
        let mut news = false;
        while let Some(output) = self.machine.poll() {
            news = true;
            match output {
                Output::Send { session, message } => {
                    let peer = self.peers.get(&session);
                    let sent = peer.map(|peer| peer.send(message.code(), message.encode()));
                    if !matches!(sent, Some(Ok(()))) {
                        // It is over, or nearly: what it was asked it will not answer.
                        self.gone(session);
                    }
                }
                Output::Dial { dial, address, id } => {
                    self.dials.spawn(async move { (dial, dial_back(address, id).await) });
                }
                Output::Verdict(verdict) => say(&verdict),
            }
        }
        let report = self.machine.snapshot();
        self.report.send_if_modified(|known| {
            let changed = *known != report;
            *known = report;
            changed
        });
        if news {
            self.compare();
        }
    }

    /// Discovery has looked again where this node is.
    fn look_at_addresses(&mut self) {
        let Some(addresses) = &self.addresses else { return };
        let observed = addresses.borrow().observed;
        if observed.is_some() && core::mem::replace(&mut self.observed, observed) != observed {
            self.machine.handle(self.clock.now(), Input::Moved);
        }
        self.compare();
    }

    /// Says once that the record is wrong, and again after it was right meanwhile.
    fn compare(&mut self) {
        let status = status(&self.report.borrow(), self.clock, self.addresses.as_ref());
        let mismatch = status.mismatch();
        let first = !core::mem::replace(&mut self.warned, mismatch.is_some());
        if let (Some((advertised, seen)), true) = (mismatch, first) {
            warn!(
                "this node tells others that it is at {advertised}, and they see it at {seen}: \
                 correct --external-ip, or leave it away"
            );
        }
    }
}

fn say(verdict: &Verdict) {
    match verdict.is_reachable() {
        Some(false) => warn!("reachable from outside: {verdict}"),
        _ => info!("reachable from outside: {verdict}"),
    }
}

/// Waits until discovery says something else; without discovery for ever.
async fn moved(addresses: &mut Option<watch::Receiver<Addresses>>) {
    let over = match addresses {
        Some(addresses) => addresses.changed().await.is_err(),
        None => true,
    };
    if over {
        core::future::pending::<()>().await;
    }
}
