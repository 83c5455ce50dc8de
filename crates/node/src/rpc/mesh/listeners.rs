//! `mesh_subscribe`, `mesh_poll`, `mesh_reply`, `mesh_unsubscribe`: messages for those outside.
//!
//! A listener asks again and again, and each question waits a few seconds for something to come:
//! so a listener that is gone without a word is noticed, and nothing has to be pushed to it.

use core::future::poll_fn;
use core::task::Poll;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::hex;
use chainmesh_net::mesh::{MeshHandle, Message, MessageKind, Messages, Subscription};
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::ErrorObjectOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Payload, RpcContext, RpcResult, SharedContext, invalid, mesh, object, refused};

/// Listeners at once.
pub const MAX_LISTENERS: usize = 64;
/// Topics of one listener, at most.
const MAX_TOPICS: usize = 64;
/// A listener that did not ask for so long is gone.
const IDLE: Duration = Duration::from_secs(30);
/// Longest time that a question waits.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Messages in one answer, at most.
const MAX_MESSAGES: usize = 256;
/// Bytes of payload in one answer; the message that goes above it is the last.
const MAX_BYTES: usize = 4 << 20;
/// Messages of a listener that can still be replied to.
const REPLYABLE: usize = 256;

/// All listeners of a node.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    all: Mutex<(u64, BTreeMap<u64, Arc<Listener>>)>,
}

#[derive(Debug)]
struct Listener {
    sources: tokio::sync::Mutex<Sources>,
    asked: Mutex<Instant>,
    /// The last messages that can be replied to, by number.
    replyable: Mutex<VecDeque<(u64, Message)>>,
}

#[derive(Debug)]
struct Sources {
    topics: Vec<Subscription>,
    direct: Option<Messages>,
    next_number: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SubscribeParams {
    #[serde(default)]
    topics: BTreeSet<String>,
    /// Messages to this node alone, and to all.
    #[serde(default)]
    direct: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PollParams {
    listener: u64,
    /// Seconds, at most 5.
    #[serde(default)]
    wait: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReplyParams {
    listener: u64,
    number: u64,
    payload: Payload,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UnsubscribeParams {
    listener: u64,
}

/// What `mesh_poll` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// What came since the last question.
    pub messages: Vec<ReceivedMessage>,
    /// Messages since the beginning that were dropped, since too many waited.
    pub missed: u64,
}

/// A message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedMessage {
    /// Counts the messages of the listener, from 1; `mesh_reply` wants it.
    pub number: u64,
    /// `unicast`, `multicast` or `broadcast`.
    pub kind: String,
    /// The topic of a multicast.
    pub topic: Option<String>,
    /// Who sent it.
    pub from: String,
    /// The gateway that it came from.
    pub gateway: String,
    /// The group; empty for a multicast.
    pub group: String,
    /// The module it is for.
    pub module: u16,
    /// Its ID, as the sender wrote it.
    pub id: String,
    /// What it says, in hex.
    pub payload: String,
}

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    module.register_async_method("mesh_subscribe", |params, context, _| async move {
        let params: SubscribeParams = object(&params)?;
        let listener = subscribe(&context, &mesh(&context)?, &params)?;
        Ok::<_, ErrorObjectOwned>(json!({"listener": listener}))
    })?;
    module.register_async_method("mesh_poll", |params, context, _| async move {
        let params: PollParams = object(&params)?;
        let wait = Duration::try_from_secs_f64(params.wait).unwrap_or(MAX_WAIT).min(MAX_WAIT);
        let listener = context.listeners.get(params.listener)?;
        Ok::<_, ErrorObjectOwned>(listener.poll(wait).await)
    })?;
    module.register_method("mesh_reply", |params, context, _| {
        let params: ReplyParams = object(&params)?;
        context.listeners.get(params.listener)?.reply(params.number, params.payload)
    })?;
    module.register_method("mesh_unsubscribe", |params, context, _| {
        let params: UnsubscribeParams = object(&params)?;
        Ok::<_, ErrorObjectOwned>(context.listeners.remove(params.listener))
    })?;
    Ok(())
}

fn subscribe(
    context: &SharedContext,
    mesh: &MeshHandle,
    params: &SubscribeParams,
) -> RpcResult<u64> {
    if params.topics.is_empty() && !params.direct {
        return Err(invalid("name at least one topic, or say \"direct\": true"));
    }
    if params.topics.len() > MAX_TOPICS {
        return Err(invalid(&format!("a listener has at most {MAX_TOPICS} topics")));
    }
    let sources = Sources {
        topics: params.topics.iter().map(|topic| mesh.subscribe(topic)).collect(),
        direct: params.direct.then(|| mesh.messages()),
        next_number: 1,
    };
    let listener = Arc::new(Listener {
        sources: tokio::sync::Mutex::new(sources),
        asked: Mutex::new(Instant::now()),
        replyable: Mutex::default(),
    });
    let watched = Arc::downgrade(&listener);
    let number = context.listeners.add(listener)?;
    let context = Arc::downgrade(context);
    tokio::spawn(async move {
        // Neither the node nor the listener is kept for this.
        while let Some(idle) = watched.upgrade().map(|listener| listener.idle_for()) {
            let Some(left) = IDLE.checked_sub(idle) else { break };
            tokio::time::sleep(left + Duration::from_millis(1)).await;
        }
        if let Some(context) = context.upgrade() {
            context.listeners.remove(number);
        }
    });
    Ok(number)
}

impl Listeners {
    fn add(&self, listener: Arc<Listener>) -> RpcResult<u64> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.1.len() >= MAX_LISTENERS {
            return Err(refused(format!("there are {MAX_LISTENERS} listeners already")));
        }
        all.0 += 1;
        let number = all.0;
        all.1.insert(number, listener);
        Ok(number)
    }

    fn get(&self, number: u64) -> RpcResult<Arc<Listener>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let why = "there is no such listener; one that does not ask for 30 s is forgotten";
        all.1.get(&number).cloned().ok_or_else(|| refused(why))
    }

    fn remove(&self, number: u64) -> bool {
        let removed = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.1.remove(&number)
        };
        removed.is_some()
    }
}

impl Listener {
    fn idle_for(&self) -> Duration {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    fn touch(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn poll(&self, wait: Duration) -> Received {
        self.touch();
        let mut sources = self.sources.lock().await;
        let first = tokio::time::timeout(wait, sources.next()).await.ok().flatten();
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let mut next = first.or_else(|| sources.try_next());
        while let Some(message) = next {
            bytes += message.payload.len();
            messages.push(self.number(&mut sources, message));
            let full = messages.len() >= MAX_MESSAGES || bytes >= MAX_BYTES;
            next = if full { None } else { sources.try_next() };
        }
        self.touch();
        Received { messages, missed: sources.missed() }
    }

    fn number(&self, sources: &mut Sources, mut message: Message) -> ReceivedMessage {
        let number = sources.next_number;
        sources.next_number += 1;
        let (kind, topic) = match &message.kind {
            MessageKind::Unicast => ("unicast", None),
            MessageKind::Broadcast => ("broadcast", None),
            MessageKind::Multicast { topic } => ("multicast", Some(topic.clone())),
        };
        let received = ReceivedMessage {
            number,
            kind: kind.into(),
            topic,
            from: message.from.to_string(),
            gateway: message.gateway.to_string(),
            group: message.group.clone(),
            module: message.module.0,
            id: message.id.clone(),
            payload: hex::encode_prefixed(&message.payload),
        };
        if message.kind == MessageKind::Unicast {
            let mut replyable = self.replyable.lock().unwrap_or_else(PoisonError::into_inner);
            if replyable.len() >= REPLYABLE {
                replyable.pop_front();
            }
            // What it says is not needed any more.
            message.payload = Default::default();
            replyable.push_back((number, message));
        }
        received
    }

    fn reply(&self, number: u64, payload: Payload) -> RpcResult<bool> {
        self.touch();
        let mut replyable = self.replyable.lock().unwrap_or_else(PoisonError::into_inner);
        let place = replyable.iter().position(|(other, _)| *other == number);
        let why = "there is no such message to this node alone, or it was replied to already";
        let place = place.ok_or_else(|| refused(why))?;
        let (_, message) = replyable.remove(place).ok_or_else(|| refused(why))?;
        message.reply(payload.0).map_err(refused)?;
        Ok(true)
    }
}

impl Sources {
    /// The next message of any source; waits when there is none.
    async fn next(&mut self) -> Option<Message> {
        let topics = self.topics.iter_mut().map(|topic| {
            Box::pin(topic.next()) as core::pin::Pin<Box<dyn Future<Output = _> + Send + '_>>
        });
        let mut all: Vec<_> = topics.collect();
        if let Some(direct) = &mut self.direct {
            all.push(Box::pin(direct.next()));
        }
        poll_fn(|context| {
            for source in &mut all {
                if let Poll::Ready(message) = source.as_mut().poll(context) {
                    return Poll::Ready(message);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn try_next(&mut self) -> Option<Message> {
        let direct = self.direct.as_mut().and_then(Messages::try_next);
        direct.or_else(|| self.topics.iter_mut().find_map(Subscription::try_next))
    }

    fn missed(&self) -> u64 {
        let topics: u64 = self.topics.iter().map(Subscription::missed).sum();
        topics + self.direct.as_ref().map_or(0, Messages::missed)
    }
}
