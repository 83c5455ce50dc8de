//! What the broker wants of its driver: queues of SDKs, and a log. Its clock is that of the mesh,
//! behind whose lock it stands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use chainmesh_identity::PeerId;
use chainmesh_proto::amop::{
    AmopConfig, AmopNotice, AmopReport, Input, Output, QueueFull, SdkSession, SdkSink,
};
use chainmesh_proto::mesh::{MeshModule, Rate};
use chainmesh_proto::time::Instant;
use tracing::{debug, info, warn};

use super::AmopOptions;
use super::link::{Queue, SdkCommand, SdkLink};
use crate::clock::Clock;
use crate::mesh::lock;

/// The broker, as the owner of the node sees it. Cheap to clone; it does not keep the node alive.
#[derive(Debug, Clone)]
pub struct AmopHandle {
    mesh: MeshModule,
    sdks: Arc<Sdks>,
}

/// The queues of the SDKs at this node.
#[derive(Debug)]
pub(crate) struct Sdks {
    clock: Clock,
    next_session: AtomicU64,
    /// `None` when the node has ended.
    queues: Mutex<Option<HashMap<SdkSession, Arc<Queue>>>>,
}

impl AmopOptions {
    pub(crate) fn config(&self, name: PeerId) -> AmopConfig {
        let mut config = AmopConfig::new(name);
        config.max_topics = self.max_topics.unwrap_or(config.max_topics).min(config.max_topics);
        config.session_limit = self.session_limit;
        config.limit = self.limit;
        config
    }
}

impl AmopHandle {
    pub(crate) const fn new(mesh: MeshModule, sdks: Arc<Sdks>) -> Self {
        Self { mesh, sdks }
    }

    /// A link for an SDK that has connected. The broker knows of it from
    /// [`Input::Opened`](super::Input::Opened) on.
    #[must_use]
    pub fn open(&self) -> SdkLink {
        let (session, queue) = self.sdks.open();
        SdkLink { session, queue, mesh: self.mesh.clone(), sdks: Arc::clone(&self.sdks) }
    }

    /// The broker as it is; `None` never, since there is one.
    #[must_use]
    pub fn report(&self) -> Option<AmopReport> {
        self.mesh.amop_snapshot()
    }

    /// Other limits hold from now on: for each SDK, and for all together.
    pub fn set_limits(&self, session: Rate, all: Rate) {
        self.mesh.amop(Input::SetLimits { session, all });
    }
}

impl Sdks {
    pub(crate) fn new(clock: Clock) -> Self {
        let queues = Mutex::new(Some(HashMap::new()));
        Self { clock, next_session: AtomicU64::new(0), queues }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn at(&self, instant: Instant) -> tokio::time::Instant {
        self.clock.at(instant)
    }

    fn open(&self) -> (SdkSession, Arc<Queue>) {
        let session = SdkSession(self.next_session.fetch_add(1, Relaxed));
        let queue = Arc::<Queue>::default();
        match &mut *lock(&self.queues) {
            Some(queues) => {
                queues.insert(session, Arc::clone(&queue));
            }
            None => queue.must(SdkCommand::Ended),
        }
        (session, queue)
    }

    pub(super) fn forget(&self, session: SdkSession) {
        if let Some(queues) = &mut *lock(&self.queues) {
            queues.remove(&session);
        }
    }

    /// The node has ended.
    pub(crate) fn end(&self) {
        let queues = lock(&self.queues).take().unwrap_or_default();
        queues.values().for_each(|queue| queue.must(SdkCommand::Ended));
    }

    fn queue(&self, session: SdkSession) -> Option<Arc<Queue>> {
        lock(&self.queues).as_ref()?.get(&session).cloned()
    }

    fn must(&self, session: SdkSession, command: SdkCommand) {
        if let Some(queue) = self.queue(session) {
            queue.must(command);
        }
    }
}

impl SdkSink for Sdks {
    fn carry_out(&self, output: Output) -> Result<(), QueueFull> {
        match output {
            Output::Push { session, cast, message } => {
                let Some(queue) = self.queue(session) else { return Ok(()) };
                if !queue.push(SdkCommand::Push(cast, message)) {
                    return Err(QueueFull);
                }
            }
            Output::Done { session, cast, message, result } => {
                self.must(session, SdkCommand::Done(cast, message, result));
            }
            Output::Verify { session, seq, question } => {
                self.must(session, SdkCommand::Verify(seq, question));
            }
            Output::ListRefused { session, error } => {
                self.must(session, SdkCommand::ListRefused(error));
            }
            Output::Close { session, fault } => self.must(session, SdkCommand::Close(fault)),
            Output::Notice(notice) => tell(&notice),
            // It never comes here.
            Output::Mesh(_) => {}
        }
        Ok(())
    }
}

/// One line in the log.
fn tell(notice: &AmopNotice) {
    match notice {
        AmopNotice::Restored { session, topics } => {
            info!(sdk = session.0, topics, "an SDK is back and has its topics again");
        }
        AmopNotice::BadList { session, error } => {
            warn!(sdk = session.0, "a list of topics cannot be read, the old one holds: {error}");
        }
        AmopNotice::TooManyTopics { session, count, limit } => {
            let sdk = session.0;
            warn!(sdk, count, limit, "a list of topics is too long, the old one holds");
        }
        AmopNotice::OverLimit { session } => {
            warn!(sdk = session.0, "a message of an SDK is above a limit, and was refused");
        }
        AmopNotice::ForeignAnswer { session, asked } => {
            let (sdk, asked) = (session.0, asked.0);
            warn!(sdk, asked, "an SDK answered what another one was asked: dropped");
        }
        AmopNotice::UnknownAnswer { session } => {
            debug!(sdk = session.0, "an SDK answered what nobody asked it, or too late");
        }
        AmopNotice::UnknownVerdict { session } => {
            info!(sdk = session.0, "an SDK judged a subscriber about whom it was not asked");
        }
        AmopNotice::LeftOut { session, count } => {
            warn!(sdk = session.0, count, "an SDK causes too many lines here: some were left out");
        }
        AmopNotice::Slow { session } => {
            warn!(sdk = session.0, "an SDK does not keep up: its queue is full");
        }
        AmopNotice::Judged { session, verdict } => {
            let topic = verdict.topic.escape_default().take(128).collect::<String>();
            let granted = verdict.is_granted();
            info!(sdk = session.0, topic, granted, "a subscriber of a private topic was judged");
        }
    }
}
