//! One JSON value in, one or none out: requests, batches and notifications of JSON-RPC 2.0.
//!
//! Every transport (Unix socket, HTTP, WebSocket) has a [`Dispatcher`] per connection. What it
//! holds is bounded by the transport: it reads no further request while it has too many.

mod batch;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use alloy_primitives::hex;
use jsonrpsee_core::server::{
    BoundedSubscriptions, ConnectionId, Extensions, MethodCallback, MethodResponse, MethodSink,
    Methods, SubscriptionState,
};
use jsonrpsee_core::traits::IdProvider;
use jsonrpsee_types::error::{
    INVALID_REQUEST_CODE, METHOD_NOT_FOUND_CODE, OVERSIZED_REQUEST_CODE, OVERSIZED_RESPONSE_CODE,
    PARSE_ERROR_CODE,
};
use jsonrpsee_types::{Id, Params, SubscriptionId};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::error::{LIMIT_EXCEEDED_CODE, RESPONSE_TOO_LARGE_CODE, SERVER_ERROR_CODE};

/// Requests in one batch, at most (go-ethereum's `--rpc.batch-request-limit` is 1000; ours are
/// held in memory until the last is answered).
pub const MAX_BATCH: usize = 100;

/// Bytes of an answer, and of all answers to one batch, at most (go-ethereum,
/// `--rpc.batch-response-max-size`). The requests of a batch after that get an error each.
pub const MAX_ANSWER: usize = 25_000_000;

/// Notifications of one subscription that wait for the connection, at most. After that whoever
/// makes them waits.
const NOTIFICATIONS: usize = 16;

/// Notifications of one subscription, until it ends.
pub type Notifications = mpsc::Receiver<Box<RawValue>>;

/// What is said to a request.
#[derive(Debug, Default)]
pub struct Answer {
    /// The text; `None` when there is nothing to be said (a notification).
    pub text: Option<String>,
    /// Subscriptions that begin behind the text.
    pub subscriptions: Vec<Notifications>,
}

impl Answer {
    fn text(text: String) -> Self {
        Self { text: Some(text), subscriptions: Vec::new() }
    }
}

/// Answers the requests of one connection.
#[derive(Debug)]
pub struct Dispatcher {
    methods: Methods,
    connection: ConnectionId,
    /// `None` where nothing can be sent that was not asked for.
    subscriptions: Option<BoundedSubscriptions>,
}

/// Numbers of connections: unsubscribing is for the connection that has subscribed.
#[derive(Debug, Default)]
pub struct Connections(AtomicUsize);

impl Connections {
    /// A dispatcher for one more connection, with as many subscriptions at most.
    pub fn open(&self, methods: &Methods, max_subscriptions: u32) -> Dispatcher {
        Dispatcher {
            methods: methods.clone(),
            connection: ConnectionId(self.0.fetch_add(1, Relaxed)),
            subscriptions: Some(BoundedSubscriptions::new(max_subscriptions)),
        }
    }

    /// A dispatcher for a transport on which there are no subscriptions.
    #[must_use]
    pub fn without_subscriptions(&self, methods: &Methods) -> Dispatcher {
        let connection = ConnectionId(self.0.fetch_add(1, Relaxed));
        Dispatcher { methods: methods.clone(), connection, subscriptions: None }
    }
}

/// A request, as far as it is looked at before the method is known. Parameters are not parsed
/// here, so their depth is no matter of the stack; each method parses them into its own types,
/// with the depth that serde_json allows (128).
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// An ID that is `null` is there; one that is not is `None`.
fn present<'de: 'a, 'a, D>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Dispatcher {
    /// Answers one request or one batch.
    pub async fn answer(&self, request: &[u8]) -> Answer {
        let Ok(request) = serde_json::from_slice::<&RawValue>(request) else {
            return Answer::text(parse_error());
        };
        let text = request.get();
        if text.starts_with('[') { self.batch(text).await } else { self.one(text).await }
    }

    async fn one(&self, request: &str) -> Answer {
        let fields = match serde_json::from_str::<Fields<'_>>(request) {
            Ok(fields) if request.starts_with('{') => fields,
            _ => return Answer::text(invalid(&Id::Null)),
        };
        let id = fields.id.map(|id| serde_json::from_str::<Id<'_>>(id.get()));
        let version = fields.jsonrpc.is_some_and(|version| version.get() == "\"2.0\"");
        let method = fields.method.and_then(|name| serde_json::from_str::<String>(name.get()).ok());
        let (Some(method), true) = (method, version) else {
            return Answer::text(invalid(&id.and_then(Result::ok).unwrap_or(Id::Null)));
        };
        match id {
            // A notification: nothing is answered, and there is none that we know.
            None => Answer::default(),
            Some(Err(_)) => Answer::text(invalid(&Id::Null)),
            Some(Ok(id)) => self.call(id, &method, fields.params.map(RawValue::get)).await,
        }
    }

    async fn call(&self, id: Id<'_>, method: &str, params: Option<&str>) -> Answer {
        let params = Params::new(params);
        let mut extensions = Extensions::new();
        extensions.insert(self.connection);
        let of = id.clone();
        let text = |answer: MethodResponse| match answer.as_error_code() {
            Some(OVERSIZED_RESPONSE_CODE) => {
                Answer::text(error(&of, RESPONSE_TOO_LARGE_CODE, "response too large"))
            }
            _ => Answer::text(answer.into_json().get().to_owned()),
        };
        match self.methods.method(method) {
            None => {
                // go-ethereum's words.
                let why = format!(
                    "the method {} does not exist/is not available",
                    chainmesh_net::Escaped(method)
                );
                Answer::text(error(&id, METHOD_NOT_FOUND_CODE, &why))
            }
            Some(MethodCallback::Sync(call)) => text(call(id, params, MAX_ANSWER, extensions)),
            Some(MethodCallback::Async(call)) => {
                let (id, params) = (id.into_owned(), params.into_owned());
                text(call(id, params, self.connection, MAX_ANSWER, extensions).await)
            }
            Some(MethodCallback::Subscription(call)) => {
                let Some(subscriptions) = &self.subscriptions else {
                    return Answer::text(unsupported(&id));
                };
                let Some(subscription_permit) = subscriptions.acquire() else {
                    let why =
                        format!("a connection has at most {} subscriptions", subscriptions.max());
                    return Answer::text(error(&id, LIMIT_EXCEEDED_CODE, &why));
                };
                let (sink, mut notifications) = mpsc::channel(NOTIFICATIONS);
                let state = SubscriptionState {
                    conn_id: self.connection,
                    id_provider: &RandomId,
                    subscription_permit,
                };
                let answer = call(id, params, MethodSink::new(sink), state, extensions).await;
                // The answer comes this way, too.
                let begun = notifications.recv().await.is_some() && answer.is_success();
                let mut answer = text(answer);
                answer.subscriptions.extend(begun.then_some(notifications));
                answer
            }
            Some(MethodCallback::Unsubscription(call)) => {
                if self.subscriptions.is_none() {
                    return Answer::text(unsupported(&id));
                }
                let said = call(id.clone(), params, self.connection, MAX_ANSWER, extensions);
                match serde_json::from_str::<Value>(said.as_json().get()) {
                    Ok(value) if value.get("result") == Some(&Value::Bool(false)) => {
                        Answer::text(error(&id, SERVER_ERROR_CODE, "subscription not found"))
                    }
                    _ => text(said),
                }
            }
        }
    }
}

/// Names of subscriptions as go-ethereum makes them: 16 random bytes in hex.
#[derive(Debug)]
struct RandomId;

impl IdProvider for RandomId {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(random_id().into())
    }
}

/// A name that nobody else guesses, for a subscription or a filter: `0x` and 32 hex digits without
/// leading zeros.
#[must_use]
pub fn random_id() -> String {
    let entropy = chainmesh_net::entropy();
    let (half, _) = entropy.split_at(16);
    let digits = hex::encode(half);
    let digits = digits.trim_start_matches('0');
    format!("0x{}", if digits.is_empty() { "0" } else { digits })
}

/// The answer to what is no JSON.
#[must_use]
pub fn parse_error() -> String {
    error(&Id::Null, PARSE_ERROR_CODE, "parse error: the request is not valid JSON")
}

/// The answer to a request that is longer than can be taken.
#[must_use]
pub fn too_long(why: &str) -> String {
    error(&Id::Null, OVERSIZED_REQUEST_CODE, why)
}

fn invalid(id: &Id<'_>) -> String {
    error(id, INVALID_REQUEST_CODE, "invalid request")
}

fn unsupported(id: &Id<'_>) -> String {
    error(id, METHOD_NOT_FOUND_CODE, "notifications not supported")
}

fn error(id: &Id<'_>, code: i32, message: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string()
}

#[cfg(test)]
mod tests;
