//! The broker behind its lock: what it wants is done, and its timer runs.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use chainmesh_identity::PeerId;
use chainmesh_proto::amop::{
    AmopConfig, AmopNotice, AmopReport, Broker, Input, Output, SdkSession,
};
use chainmesh_proto::mesh::{AmopEvent, AmopSend, MeshModule, Rate};
use chainmesh_proto::time::Instant;
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use super::AmopOptions;
use super::link::{Queue, SdkCommand, SdkLink};
use crate::clock::Clock;
use crate::mesh::lock;

/// The broker of one node, with what belongs to it.
pub(crate) struct AmopService {
    shared: Arc<Shared>,
}

/// The broker, as the owner of the node sees it. Cheap to clone; it does not keep the node alive.
#[derive(Debug, Clone)]
pub struct AmopHandle {
    shared: Arc<Shared>,
}

/// What the node, the mesh and the SDKs' connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    clock: Clock,
    moved: Notify,
    next_session: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    broker: Broker,
    links: HashMap<SdkSession, Arc<Queue>>,
    /// Until the node ends. The mesh holds us, so this is a circle until then.
    mesh: Option<MeshModule>,
    /// What the mesh is to be told. Changes of topics build on each other, so the order matters: who
    /// finds nobody telling tells all, whoever it came from.
    sends: VecDeque<AmopSend>,
    telling: bool,
    /// The wake-up time that the task knows of.
    told: Option<Instant>,
    ended: bool,
}

impl AmopOptions {
    fn config(&self, name: PeerId) -> AmopConfig {
        let mut config = AmopConfig::new(name);
        config.max_topics = self.max_topics.unwrap_or(config.max_topics).min(config.max_topics);
        config.session_limit = self.session_limit;
        config.limit = self.limit;
        config
    }
}

impl AmopService {
    pub(crate) fn new(options: &AmopOptions, name: PeerId, mesh: MeshModule, clock: Clock) -> Self {
        let state = State {
            broker: Broker::new(options.config(name), crate::entropy()),
            links: HashMap::new(),
            mesh: Some(mesh),
            sends: VecDeque::new(),
            telling: false,
            told: None,
            ended: false,
        };
        let (moved, next_session) = (Notify::new(), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { clock, moved, next_session, state: Mutex::new(state) }) }
    }

    pub(crate) fn handle(&self) -> AmopHandle {
        AmopHandle { shared: Arc::clone(&self.shared) }
    }

    /// What the mesh tells its events to.
    pub(crate) fn sink(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    /// Wakes the broker when it wants, until the node ends.
    pub(crate) async fn run(self, mut ended: watch::Receiver<()>) {
        loop {
            let deadline = self.shared.deadline();
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(self.shared.clock.at(at)).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.moved.notified() => {}
                () = timer => self.shared.step(|broker, now| broker.handle_timeout(now)),
                _ = ended.changed() => break,
            }
        }
        self.shared.end();
    }
}

impl AmopHandle {
    /// A link for an SDK that has connected. The broker knows of it from
    /// [`Input::Opened`](super::Input::Opened) on.
    #[must_use]
    pub fn open(&self) -> SdkLink {
        let session = SdkSession(self.shared.next_session.fetch_add(1, Relaxed));
        let queue = Arc::<Queue>::default();
        {
            let mut state = self.shared.lock();
            if state.ended {
                queue.must(SdkCommand::Ended);
            } else {
                state.links.insert(session, Arc::clone(&queue));
            }
        }
        SdkLink { session, queue, shared: Arc::clone(&self.shared) }
    }

    /// The broker as it is.
    #[must_use]
    pub fn report(&self) -> AmopReport {
        self.shared.lock().broker.snapshot()
    }

    /// Other limits hold from now on: for each SDK, and for all together.
    pub fn set_limits(&self, session: Rate, all: Rate) {
        self.shared.handle(Input::SetLimits { session, all });
    }
}

impl Shared {
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn at(&self, instant: Instant) -> tokio::time::Instant {
        self.clock.at(instant)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is whole between two calls, also when a holder panicked.
        lock(&self.state)
    }

    pub(super) fn handle(&self, input: Input) {
        self.step(|broker, now| broker.handle(now, input));
    }

    /// The mesh tells something.
    pub(crate) fn mesh(&self, event: AmopEvent) {
        self.handle(Input::Mesh(event));
    }

    pub(super) fn closed(&self, session: SdkSession) {
        self.lock().links.remove(&session);
        self.handle(Input::Closed { session });
    }

    /// Runs the machine and carries out what it wants. Commands are queued under the lock, so that
    /// they leave in the order in which the machine made them.
    fn step(&self, step: impl FnOnce(&mut Broker, Instant)) {
        let wake = {
            let mut state = self.lock();
            if state.ended {
                return;
            }
            let now = self.now();
            step(&mut state.broker, now);
            state.carry_out(now)
        };
        self.tell_mesh();
        if wake {
            self.moved.notify_one();
        }
    }

    fn tell_mesh(&self) {
        let mut begun = false;
        loop {
            let (mesh, send) = {
                let mut state = self.lock();
                if !begun && state.telling {
                    return;
                }
                begun = true;
                let next = state.mesh.clone().zip(state.sends.pop_front());
                state.telling = next.is_some();
                match next {
                    Some(next) => next,
                    None => return,
                }
            };
            mesh.handle(chainmesh_proto::mesh::Input::Amop(send));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let mut state = self.lock();
        state.told = state.broker.poll_timeout();
        state.told
    }

    fn end(&self) {
        let (mesh, links) = {
            let mut state = self.lock();
            state.ended = true;
            state.sends.clear();
            (state.mesh.take(), core::mem::take(&mut state.links))
        };
        links.values().for_each(|queue| queue.must(SdkCommand::Ended));
        drop(mesh);
    }
}

impl State {
    /// Says whether the timer is to be looked at again.
    fn carry_out(&mut self, now: Instant) -> bool {
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Push { session, cast, message } => {
                    let seq = message.seq.clone();
                    let Some(queue) = self.links.get(&session) else { continue };
                    if !queue.push(SdkCommand::Push(cast, message)) {
                        self.broker.handle(now, Input::Refused { session, seq });
                    }
                }
                Output::Done { session, cast, message, result } => {
                    self.must(session, SdkCommand::Done(cast, message, result));
                }
                Output::Verify { session, seq, question } => {
                    self.must(session, SdkCommand::Verify(seq, question));
                }
                Output::Close { session, fault } => self.must(session, SdkCommand::Close(fault)),
                Output::Mesh(send) => self.sends.push_back(send),
                Output::Notice(notice) => tell(&notice),
            }
        }
        let timeout = self.broker.poll_timeout();
        let wake = match (timeout, self.told) {
            (Some(timeout), Some(told)) => timeout < told,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if wake {
            self.told = timeout;
        }
        wake
    }

    fn must(&self, session: SdkSession, command: SdkCommand) {
        if let Some(queue) = self.links.get(&session) {
            queue.must(command);
        }
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
            debug!(sdk = session.0, "a message is above a limit");
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
