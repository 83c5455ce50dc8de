//! What the nodes of a consortium devnet say to each other, so that there is something to see: the
//! first node writes to the last one, to which it has no link, and is answered; in turn each sends
//! something to a topic that all follow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chainmesh_identity::PeerId;
use chainmesh_net::Bytes;
use chainmesh_net::mesh::{MeshHandle, MessageKind, SendOptions};
use tokio::task::JoinSet;

/// The topic that all nodes follow.
pub(super) const TOPIC: &str = "devnet";

/// Time between two messages.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the first node waits for the answer of the last one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a message that a node repeats in its answer.
const REPEATED: usize = 256;

/// Events that wait to be told, at most.
const EVENTS: usize = 16;

/// The talk of all nodes; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Chatter {
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    pings: Pings,
    events: VecDeque<String>,
}

/// What became of the messages from the first node to the last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pings {
    /// Those that were answered.
    pub(super) answered: u64,
    /// Those that were not.
    pub(super) lost: u64,
    /// How long the last one took until the answer was there.
    pub(super) last: Option<Duration>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chatter {
    /// Begins to talk, inside the current tokio runtime.
    pub(super) fn start(nodes: Vec<(PeerId, MeshHandle)>) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let mut tasks = JoinSet::new();
        for (index, (_, mesh)) in nodes.iter().enumerate() {
            tasks.spawn(answer(index + 1, mesh.clone()));
            tasks.spawn(follow(mesh.clone()));
        }
        if let [(_, first), .., (last, _)] = nodes.as_slice() {
            tasks.spawn(ping(first.clone(), *last, nodes.len(), Arc::clone(&state)));
        }
        tasks.spawn(publish(nodes.into_iter().map(|(_, mesh)| mesh).collect()));
        Self { state, _tasks: tasks }
    }

    pub(super) fn pings(&self) -> Pings {
        lock(&self.state).pings
    }

    /// What happened since the last question.
    pub(super) fn events(&self) -> Vec<String> {
        lock(&self.state).events.drain(..).collect()
    }
}

/// Answers what is sent to this node alone.
async fn answer(number: usize, mesh: MeshHandle) {
    let mut messages = mesh.messages();
    while let Some(message) = messages.next().await {
        if message.kind == MessageKind::Unicast {
            let mut text = format!("node {number} has got: ").into_bytes();
            text.extend_from_slice(message.payload.get(..REPEATED).unwrap_or(&message.payload));
            // It is one that can be replied to.
            let _ = message.reply(Bytes::from(text));
        }
    }
}

async fn follow(mesh: MeshHandle) {
    let mut topic = mesh.subscribe(TOPIC);
    while topic.next().await.is_some() {}
}

async fn publish(nodes: Vec<MeshHandle>) {
    let mut ticks = tokio::time::interval(PERIOD);
    for (count, mesh) in nodes.iter().cycle().enumerate() {
        ticks.tick().await;
        // Nobody may follow yet, and the node may be about to end.
        let _ = mesh.multicast(TOPIC, format!("message {}", count + 1)).await;
    }
}

async fn ping(mesh: MeshHandle, to: PeerId, number: usize, state: Arc<Mutex<State>>) {
    // Nothing is lost as long as nobody can be there.
    while mesh.reachable(to, PERIOD).await.is_err() {}
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let began = Instant::now();
        let options = SendOptions { reply_within: Some(PATIENCE), ..SendOptions::default() };
        let answer = mesh.send(to, "are you there?", options).await;
        let mut state = lock(&state);
        let before = state.pings.last;
        let event = match answer {
            Ok(_) => {
                state.pings.answered += 1;
                state.pings.last = Some(began.elapsed());
                before.is_none().then(|| format!("node {number} answers node 1"))
            }
            Err(error) => {
                state.pings.lost += 1;
                state.pings.last = None;
                before.map(|_| format!("node 1 cannot reach node {number}: {error}"))
            }
        };
        if state.events.len() < EVENTS {
            state.events.extend(event);
        }
    }
}
