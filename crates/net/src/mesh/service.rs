//! What the mesh wants of its driver: the time, a timer, and somebody who takes messages.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_proto::amop::SdkSink;
use chainmesh_proto::mesh::{
    Cast, Delivery, Input, MeshEvent, MeshModule, MeshSink, MessageId, Settled,
};
use chainmesh_proto::module::Module;
use chainmesh_proto::time::Instant;
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tracing::{debug, info};

use super::inbox::Inbox;
use super::{MeshHandle, MeshOptions, Message};
use crate::amop::{AmopHandle, AmopOptions, Sdks};
use crate::clock::Clock;

/// Events that an observer may be behind before it misses some.
const EVENTS: usize = 256;

/// The mesh of one node, with what belongs to it.
pub(crate) struct MeshService {
    mesh: MeshModule,
    shared: Arc<Shared>,
    groups: Arc<[String]>,
    /// The SDKs of the broker, if there is one.
    sdks: Option<Arc<Sdks>>,
}

/// The driver's end of the mesh.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Clock,
    moved: Notify,
    /// Who waits for the end of a message. Each is answered or, when the node ends, let go.
    waiting: Mutex<Option<HashMap<MessageId, oneshot::Sender<Settled>>>>,
    inboxes: Mutex<Inboxes>,
    /// How many follow a topic here. Held while the mesh is told, so that it is told in order; no
    /// delivery needs it.
    followed: Mutex<BTreeMap<String, usize>>,
    /// Until the node ends.
    live: Mutex<Option<Live>>,
}

/// What is let go when the node ends.
#[derive(Debug)]
struct Live {
    events: broadcast::Sender<MeshEvent>,
    /// The mesh itself, for replies. It holds us, so this is a circle until then.
    mesh: MeshModule,
}

#[derive(Debug, Default)]
struct Inboxes {
    topics: HashMap<String, Vec<Arc<Inbox>>>,
    direct: Vec<Arc<Inbox>>,
    ended: bool,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MeshService {
    pub(crate) fn new(
        options: MeshOptions,
        amop: Option<&AmopOptions>,
        identity: CertificateIdentity,
        clock: Clock,
    ) -> Self {
        let shared = Arc::new(Shared {
            clock,
            moved: Notify::new(),
            waiting: Mutex::new(Some(HashMap::new())),
            inboxes: Mutex::default(),
            followed: Mutex::default(),
            live: Mutex::default(),
        });
        let groups = options.groups.clone().into();
        let sink: Arc<dyn MeshSink> = Arc::<Shared>::clone(&shared);
        let sdks = amop.map(|amop| (amop.config(identity.name()), Arc::new(Sdks::new(clock))));
        let (config, seed) = (options.config(identity), crate::entropy());
        let (mesh, sdks) = match sdks {
            None => (MeshModule::new(config, seed, sink), None),
            Some((amop, sdks)) => {
                let to: Arc<dyn SdkSink> = Arc::<Sdks>::clone(&sdks);
                (MeshModule::with_broker(config, seed, sink, amop, to), Some(sdks))
            }
        };
        let events = broadcast::channel(EVENTS).0;
        *lock(&shared.live) = Some(Live { events, mesh: mesh.clone() });
        Self { mesh, shared, groups, sdks }
    }

    pub(crate) fn module(&self) -> Option<Module> {
        self.mesh.module()
    }

    pub(crate) fn handle(&self) -> MeshHandle {
        let (mesh, shared) = (self.mesh.clone(), Arc::clone(&self.shared));
        MeshHandle { mesh, shared, groups: Arc::clone(&self.groups) }
    }

    pub(crate) fn amop(&self) -> Option<AmopHandle> {
        let sdks = Arc::clone(self.sdks.as_ref()?);
        Some(AmopHandle::new(self.mesh.clone(), sdks))
    }

    /// Wakes the mesh when it wants, until the node ends.
    pub(crate) async fn run(self, mut ended: watch::Receiver<()>) {
        loop {
            let deadline = self.mesh.poll_timeout();
            let timer = self.shared.clock.sleep_until(deadline);
            tokio::select! {
                () = self.shared.moved.notified() => {}
                () = timer => self.mesh.handle_timeout(),
                _ = ended.changed() => break,
            }
        }
        self.shared.end();
        if let Some(sdks) = self.sdks {
            sdks.end();
        }
    }
}

impl Shared {
    /// Hands a message to the mesh, and gives where its end will be told; `None` when the node has
    /// ended.
    pub(super) fn send(
        &self,
        mesh: &MeshModule,
        input: impl FnOnce(MessageId) -> Input,
    ) -> Option<(MessageId, oneshot::Receiver<Settled>)> {
        let id = mesh.next_id();
        let (settled, end) = oneshot::channel();
        lock(&self.waiting).as_mut()?.insert(id, settled);
        mesh.handle(input(id));
        Some((id, end))
    }

    /// What happens from now on; closed when the node has ended.
    pub(super) fn events(&self) -> broadcast::Receiver<MeshEvent> {
        let live = lock(&self.live);
        live.as_ref().map_or_else(|| broadcast::channel(1).1, |live| live.events.subscribe())
    }

    /// Follows a topic.
    pub(super) fn subscribe(&self, mesh: &MeshModule, topic: &str) -> Arc<Inbox> {
        let inbox = Arc::<Inbox>::default();
        let mut followed = lock(&self.followed);
        {
            let mut inboxes = lock(&self.inboxes);
            if inboxes.ended {
                inbox.end();
            }
            inboxes.topics.entry(topic.to_owned()).or_default().push(Arc::clone(&inbox));
        }
        let count = followed.entry(topic.to_owned()).or_default();
        *count += 1;
        if *count == 1 {
            mesh.subscribe(topic.to_owned());
        }
        inbox
    }

    /// One less follows a topic.
    pub(super) fn unsubscribe(&self, mesh: &MeshModule, topic: &str, inbox: &Arc<Inbox>) {
        let mut followed = lock(&self.followed);
        {
            let mut inboxes = lock(&self.inboxes);
            if let Some(those) = inboxes.topics.get_mut(topic) {
                those.retain(|other| !Arc::ptr_eq(other, inbox));
                if those.is_empty() {
                    inboxes.topics.remove(topic);
                }
            }
        }
        if let Some(count) = followed.get_mut(topic) {
            *count -= 1;
            if *count == 0 {
                followed.remove(topic);
                mesh.unsubscribe(topic.to_owned());
            }
        }
    }

    /// Takes messages to this node and to all.
    pub(super) fn direct(&self) -> Arc<Inbox> {
        let inbox = Arc::<Inbox>::default();
        let mut inboxes = lock(&self.inboxes);
        if inboxes.ended {
            inbox.end();
        }
        inboxes.direct.push(Arc::clone(&inbox));
        inbox
    }

    pub(super) fn forget(&self, inbox: &Arc<Inbox>) {
        lock(&self.inboxes).direct.retain(|other| !Arc::ptr_eq(other, inbox));
    }

    /// The node has ended: whoever waits is let go.
    fn end(&self) {
        *lock(&self.waiting) = None;
        // The lock is free again before the mesh goes.
        let live = lock(&self.live).take();
        drop(live);
        let mut inboxes = lock(&self.inboxes);
        inboxes.ended = true;
        inboxes.topics.values().flatten().chain(&inboxes.direct).for_each(|inbox| inbox.end());
    }
}

impl MeshSink for Shared {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn wake(&self) {
        self.moved.notify_one();
    }

    fn deliver(&self, delivery: Delivery) {
        let mesh = lock(&self.live).as_ref().map(|live| live.mesh.clone());
        let inboxes = lock(&self.inboxes);
        let those = match &delivery.cast {
            Cast::Multicast { topic } => {
                let topic = core::str::from_utf8(topic).ok();
                topic.and_then(|topic| inboxes.topics.get(topic)).map(Vec::as_slice)
            }
            Cast::Unicast { .. } | Cast::Broadcast => Some(inboxes.direct.as_slice()),
        };
        let Some((last, others)) = those.and_then(<[_]>::split_last) else {
            debug!(gateway = %delivery.gateway.short(), "a message came for which nobody waits");
            return;
        };
        let message = Message::new(delivery, mesh.as_ref());
        others.iter().for_each(|inbox| inbox.push(message.clone()));
        last.push(message);
    }

    fn settled(&self, settled: Settled) {
        let waiting = lock(&self.waiting).as_mut().and_then(|all| all.remove(&settled.id));
        if let Some(waiting) = waiting {
            // Who does not wait any more has no use for it.
            let _ = waiting.send(settled);
        }
    }

    fn event(&self, event: MeshEvent) {
        match &event {
            MeshEvent::Reached { member, distance } => {
                info!(member = %member.short(), distance, "mesh: a member can be reached");
            }
            MeshEvent::Lost { member } => {
                info!(member = %member.short(), "mesh: a member cannot be reached any more");
            }
            MeshEvent::Rerouted { member, next_hop, distance } => {
                let (member, next_hop) = (member.short(), next_hop.short());
                info!(%member, %next_hop, distance, "mesh: another way to a member");
            }
            other => debug!("mesh: {other:?}"),
        }
        if let Some(live) = &*lock(&self.live) {
            // Nobody listening is no error.
            let _ = live.events.send(event);
        }
    }
}
