//! Answers to what peers ask: read from the chain on blocking threads, in the order of each peer's
//! requests, and sent when there is room in its queue.
//!
//! A peer has at most a few requests here (each holds its reading), so it waits for its own
//! answers and nobody else does. A task exists for a peer only while it has requests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::eth::chain::{ChainReader, StorageError};
use chainmesh_proto::eth::handler::{ServeJob, Served};
use chainmesh_proto::eth::pool::TransactionPool;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::eth::Origin;
use tokio::runtime::Handle;
use tracing::{error, warn};

use crate::event::{HashOrNumber, P2pEvent};

type Queues = Arc<Mutex<HashMap<PeerId, VecDeque<ServeJob>>>>;

/// Where answers are read from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) chain: Arc<dyn ChainReader>,
    pub(super) pool: Option<Arc<dyn TransactionPool>>,
}

impl Sources {
    fn answer(&self, job: &ServeJob) -> Result<(u32, Bytes), StorageError> {
        job.answer(&*self.chain, self.pool.as_deref())
    }
}

pub(super) struct Serving {
    sources: Sources,
    /// Whether answers come from the chain; if not, jobs wait for the owner's answer.
    automatic: bool,
    runtime: Handle,
    queues: Queues,
}

impl Serving {
    pub(super) fn new(sources: Sources, automatic: bool, runtime: Handle) -> Self {
        Self { sources, automatic, runtime, queues: Queues::default() }
    }

    pub(super) fn take(&self, job: ServeJob) {
        let id = job.connection().id();
        let for_owner = matches!(job.served(), Served::Headers(_) | Served::Bodies(_));
        if !self.automatic && !for_owner {
            // The owner answers for headers and bodies alone.
            self.runtime.spawn(answer(job, self.sources.clone()));
            return;
        }
        {
            let mut queues = lock(&self.queues);
            if let Some(queue) = queues.get_mut(&id) {
                return queue.push_back(job);
            }
            queues.insert(id, VecDeque::from([job]));
        }
        if self.automatic {
            let (sources, queues) = (self.sources.clone(), Arc::clone(&self.queues));
            self.runtime.spawn(serve_peer(id, sources, queues));
        }
    }

    /// The job that the owner answers now.
    pub(super) fn answered_by_owner(&self, id: PeerId, request_id: u64) -> Option<ServeJob> {
        let mut queues = lock(&self.queues);
        let queue = queues.get_mut(&id)?;
        let at = queue.iter().position(|job| request_id_of(job) == request_id)?;
        let job = queue.remove(at);
        if queue.is_empty() {
            queues.remove(&id);
        }
        job
    }

    /// The peer is gone: nothing more is read for it. (A task that serves it finds its end.)
    pub(super) fn forget(&self, id: PeerId) {
        let jobs = if self.automatic {
            lock(&self.queues).get_mut(&id).map(core::mem::take)
        } else {
            lock(&self.queues).remove(&id)
        };
        // Dropped outside of the lock: each lets go of its hold.
        drop(jobs);
    }
}

fn lock(queues: &Queues) -> MutexGuard<'_, HashMap<PeerId, VecDeque<ServeJob>>> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_job(queues: &Queues, id: PeerId) -> Option<ServeJob> {
    let mut queues = lock(queues);
    let job = queues.get_mut(&id).and_then(VecDeque::pop_front);
    if job.is_none() {
        queues.remove(&id);
    }
    job
}

async fn serve_peer(id: PeerId, sources: Sources, queues: Queues) {
    while let Some(job) = next_job(&queues, id) {
        answer(job, sources.clone()).await;
    }
}

async fn answer(job: ServeJob, sources: Sources) {
    let context = job.connection().context().clone();
    let id = context.id();
    if context.ready().await.is_err() {
        return;
    }
    let read = tokio::task::spawn_blocking(move || (sources.answer(&job), job));
    match read.await {
        Ok((Ok((code, payload)), job)) => {
            // It closed meanwhile: the peer does not want its answer any more.
            let _ = context.send(code, payload);
            drop(job);
        }
        Ok((Err(error), _)) => {
            warn!(peer = %id.short(), "a request cannot be answered: {error}");
            context.disconnect(DisconnectReason::ClientQuitting);
        }
        Err(panic) => error!(peer = %id.short(), "reading an answer failed: {panic}"),
    }
}

pub(super) fn request_id_of(job: &ServeJob) -> u64 {
    match job.served() {
        Served::Headers(query) => query.request_id,
        Served::Bodies(request)
        | Served::Receipts(request)
        | Served::PooledTransactions(request) => request.request_id,
    }
}

/// The request as observers see it; those for receipts and transactions of the pool they do not.
pub(super) fn request_event(job: &ServeJob) -> Option<P2pEvent> {
    let peer_id = job.connection().id();
    Some(match job.served() {
        Served::Headers(query) => P2pEvent::GetBlockHeadersRequest {
            peer_id,
            request_id: query.request_id,
            start: match query.origin {
                Origin::Hash(hash) => HashOrNumber::Hash(hash),
                Origin::Number(number) => HashOrNumber::Number(number),
            },
            limit: query.limit,
        },
        Served::Bodies(request) => P2pEvent::GetBlockBodiesRequest {
            peer_id,
            request_id: request.request_id,
            hashes: request.hashes.clone(),
        },
        Served::Receipts(_) | Served::PooledTransactions(_) => return None,
    })
}
