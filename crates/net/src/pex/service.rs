//! What peer exchange wants of its driver: the time, a timer, samples of the book, and somebody who takes
//! what was learnt.

use core::net::IpAddr;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use chainmesh_identity::PeerId;
use chainmesh_proto::module::Module;
use chainmesh_proto::peers::book::SampleLimits;
use chainmesh_proto::pex::{PexConfig, PexModule, PexSink, SessionId};
use chainmesh_proto::time::Instant;
use chainmesh_wire::discv4::Contact;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::debug;

use crate::clock::Clock;
use crate::discovery::DiscoveryHandle;
use crate::entropy;
use crate::mesh::lock;
use crate::service::Order;

/// What waits to be done, at most. A peer has one sample and one answer there; beyond that its question
/// stays without an answer, or its answer is not taken.
const MAX_WORK: usize = 1024;

/// What the control plane, which has the book, is asked for.
#[derive(Debug)]
pub(crate) enum PexOrder {
    /// Draw a sample for somebody at this address.
    Sample { asker: IpAddr, limits: SampleLimits, answer: oneshot::Sender<Vec<Contact>> },
    /// A peer at `from` told of these nodes.
    Learned { from: IpAddr, nodes: Vec<Contact> },
}

#[derive(Debug)]
enum Work {
    Sample { session: SessionId, asker: IpAddr },
    Learned { from: IpAddr, nodes: Vec<Contact> },
}

/// Peer exchange of one node.
pub(crate) struct PexService {
    pex: PexModule,
    shared: Arc<Shared>,
    limits: SampleLimits,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    moved: Notify,
    work: Mutex<VecDeque<Work>>,
}

impl PexService {
    pub(crate) fn new(config: PexConfig, clock: Clock) -> Self {
        let shared = Arc::new(Shared { clock, moved: Notify::new(), work: Mutex::default() });
        let limits = config.sample_limits();
        let sink: Arc<dyn PexSink> = Arc::<Shared>::clone(&shared);
        Self { pex: PexModule::new(config, entropy(), sink), shared, limits }
    }

    pub(crate) fn module(&self) -> Option<Module> {
        self.pex.module()
    }

    pub(crate) fn handle(&self) -> PexModule {
        self.pex.clone()
    }

    /// Runs until the node ends. `orders` leads to the control plane and does not keep it alive.
    pub(crate) async fn run(
        self,
        orders: mpsc::WeakSender<Order>,
        discovery: Option<DiscoveryHandle>,
        mut ended: watch::Receiver<()>,
    ) {
        loop {
            let deadline = self.pex.poll_timeout();
            let timer = self.shared.clock.sleep_until(deadline);
            let mut due = false;
            tokio::select! {
                () = self.shared.moved.notified() => {}
                () = timer => due = true,
                _ = ended.changed() => return,
            }
            if due {
                self.pex.handle_timeout();
            }
            // The control plane may wait for us to end.
            tokio::select! {
                () = self.carry_out(&orders, discovery.as_ref()) => {}
                _ = ended.changed() => return,
            }
        }
    }

    async fn carry_out(
        &self,
        orders: &mpsc::WeakSender<Order>,
        discovery: Option<&DiscoveryHandle>,
    ) {
        loop {
            // The lock is free before anything waits.
            let work = lock(&self.shared.work).pop_front();
            match work {
                Some(Work::Sample { session, asker }) => {
                    let (answer, answered) = oneshot::channel();
                    let order = PexOrder::Sample { asker, limits: self.limits, answer };
                    send(orders, order).await;
                    if let Ok(nodes) = answered.await {
                        self.pex.sampled(session, nodes);
                    }
                }
                Some(Work::Learned { from, nodes }) => {
                    let (to_ping, nodes): (Vec<_>, Vec<_>) = nodes
                        .into_iter()
                        .partition(|node| discovery.is_some() && node.endpoint.udp_port != 0);
                    if let Some(discovery) = discovery {
                        for node in to_ping {
                            // Whoever answers is found; of the others nothing is kept.
                            let _ = discovery.add_node(&node.enode()).await;
                        }
                    }
                    if !nodes.is_empty() {
                        send(orders, PexOrder::Learned { from, nodes }).await;
                    }
                }
                None => return,
            }
        }
    }
}

async fn send(orders: &mpsc::WeakSender<Order>, order: PexOrder) {
    if let Some(orders) = orders.upgrade() {
        let _ = orders.send(Order::Pex(order)).await;
    }
}

impl Shared {
    fn push(&self, work: Work) {
        let mut waiting = lock(&self.work);
        if waiting.len() < MAX_WORK {
            waiting.push_back(work);
            self.moved.notify_one();
        }
    }
}

impl PexSink for Shared {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn wake(&self) {
        self.moved.notify_one();
    }

    fn sample(&self, session: SessionId, asker: IpAddr) {
        self.push(Work::Sample { session, asker });
    }

    fn learned(&self, teller: PeerId, from: IpAddr, nodes: Vec<Contact>) {
        debug!(teller = %teller.short(), %from, count = nodes.len(), "a peer told of nodes");
        self.push(Work::Learned { from, nodes });
    }
}
