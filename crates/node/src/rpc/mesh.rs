//! `mesh_…`: the consortium mesh, its messages, and what can be read again at run time.
//!
//! Each method takes one object with named fields. Payloads are hex with 0x. What peers wrote
//! (topics, groups, IDs of messages) is given as it came: escape it before it is shown.

mod listeners;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::hex;
use chainmesh_identity::PeerId;
use chainmesh_net::Bytes;
use chainmesh_net::mesh::{MODULE_SEND, MeshHandle, MeshReport, ModuleId, SendError, SendOptions};
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::error::{CALL_EXECUTION_FAILED_CODE, INVALID_PARAMS_CODE};
use jsonrpsee_types::{ErrorObjectOwned, Params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::RpcContext;
use super::error::refused;
pub(crate) use listeners::Listeners;
pub use listeners::{MAX_LISTENERS, Received, ReceivedMessage};
use status::MeshStatus;

type RpcResult<T> = Result<T, ErrorObjectOwned>;

/// Longest wait for a reply that can be asked for.
pub const MAX_REPLY_WAIT: Duration = Duration::from_secs(300);

/// Digits of an ID that are enough to name a member, if no other begins with them.
const SHORTEST_ID: usize = 4;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    module.register_method("mesh_status", |_, context, _| {
        let mesh = mesh(context)?;
        Ok::<_, ErrorObjectOwned>(MeshStatus::new(&mesh.report(), context))
    })?;
    module.register_async_method("mesh_send", |params, context, _| async move {
        let params: SendParams = object(&params)?;
        send(&mesh(&context)?, params).await
    })?;
    module.register_async_method("mesh_multicast", |params, context, _| async move {
        let params: MulticastParams = object(&params)?;
        let sent = mesh(&context)?.multicast(&params.topic, params.payload.0).await;
        sent.map(several).map_err(|error| failed(&error))
    })?;
    module.register_async_method("mesh_broadcast", |params, context, _| async move {
        let params: BroadcastParams = object(&params)?;
        let module = params.module.map_or(MODULE_SEND, ModuleId);
        let sent = mesh(&context)?.broadcast_to(params.group, module, params.payload.0).await;
        sent.map(several).map_err(|error| failed(&error))
    })?;
    module.register_async_method("mesh_reload", |_, context, _| async move {
        let why = "this node has no certificates and lists that could be read again";
        let reloader = context.reloader.as_ref().ok_or_else(|| refused(why))?;
        let report = reloader
            .reload()
            .await
            .map_err(|error| refused(format!("{error}; everything stays as it was")))?;
        let changes: Vec<String> = report.changes.iter().map(ToString::to_string).collect();
        Ok::<_, ErrorObjectOwned>(json!({
            "changes": changes, "sessionsEnded": report.sessions_ended,
        }))
    })?;
    listeners::register(module)
}

/// `mesh_send`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SendParams {
    /// A node ID, a short ID, or the first digits of one.
    to: String,
    payload: Payload,
    group: Option<String>,
    module: Option<u16>,
    /// Seconds to wait for the reply of the application.
    reply_within: Option<f64>,
}

/// `mesh_multicast`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MulticastParams {
    topic: String,
    payload: Payload,
}

/// `mesh_broadcast`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BroadcastParams {
    payload: Payload,
    group: Option<String>,
    module: Option<u16>,
}

/// Bytes as hex.
#[derive(Debug)]
struct Payload(Bytes);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(&text);
        let wrong = |_| serde::de::Error::custom("a payload is written in hex, with 0x before it");
        bytes.map(|bytes| Self(bytes.into())).map_err(wrong)
    }
}

async fn send(mesh: &MeshHandle, params: SendParams) -> RpcResult<Value> {
    let to = resolve(&mesh.report(), &params.to)?;
    let wait = params.reply_within.map(|seconds| {
        Duration::try_from_secs_f64(seconds).unwrap_or(MAX_REPLY_WAIT).min(MAX_REPLY_WAIT)
    });
    let module = params.module.map_or(MODULE_SEND, ModuleId);
    let options = SendOptions { group: params.group, module, reply_within: wait };
    let began = std::time::Instant::now();
    let answer = mesh.send(to, params.payload.0, options).await;
    let answer = answer.map_err(|error| failed(&error))?;
    Ok(json!({
        "id": answer.id.to_string(),
        "to": to.to_string(),
        "gateway": answer.gateway.to_string(),
        "reply": answer.reply.map(hex::encode_prefixed),
        "copies": answer.copies,
        "milliseconds": began.elapsed().as_secs_f64() * 1000.0,
    }))
}

fn several(sent: chainmesh_net::mesh::Sent) -> Value {
    json!({
        "id": sent.id.to_string(),
        "copies": sent.copies,
        "members": sent.members,
        "confirmed": sent.confirmed,
    })
}

/// Who is meant: a whole ID, known or not, or the first digits of that of a member.
fn resolve(report: &MeshReport, text: &str) -> RpcResult<PeerId> {
    if let Ok(id) = text.parse::<PeerId>() {
        return Ok(id);
    }
    let digits = text.trim_start_matches("0x").to_ascii_lowercase();
    if digits.len() < SHORTEST_ID || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        let why = format!(
            "a node is named by its ID (128 hex digits), its short ID (64), or at least \
             {SHORTEST_ID} of the first digits of one of them"
        );
        return Err(invalid(&why));
    }
    let is_meant = |id: PeerId, short: String| {
        id.to_string().starts_with(&digits) || short.starts_with(&digits)
    };
    let members = report.members.iter();
    let members = members.map(|member| (member.name, member.short.to_string()));
    let all = members.chain([(report.name, report.short.to_string())]);
    let mut meant: Vec<PeerId> =
        all.filter(|(id, short)| is_meant(*id, short.clone())).map(|(id, _)| id).collect();
    meant.sort_unstable();
    meant.dedup();
    match meant.as_slice() {
        [one] => Ok(*one),
        [] => Err(refused(format!("no member of the mesh has an ID that begins with {digits}"))),
        several => Err(refused(format!(
            "{} members have IDs that begin with {digits}: give more digits",
            several.len()
        ))),
    }
}

fn mesh(context: &RpcContext) -> RpcResult<MeshHandle> {
    let why = "this node has no mesh: it is not part of a consortium (chainmesh run --consortium)";
    context.net.mesh().ok_or_else(|| refused(why))
}

/// The one object with named fields, alone or in a list.
fn object<T: DeserializeOwned>(params: &Params<'_>) -> RpcResult<T> {
    let parsed = if params.is_object() { params.parse() } else { params.one() };
    parsed.map_err(|error| match error.data() {
        // serde's words are in the data.
        Some(data) => invalid(data.get().trim_matches('"')),
        None => error,
    })
}

fn invalid(why: &str) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INVALID_PARAMS_CODE, why.to_owned(), None::<()>)
}

/// The message was not delivered. The data has a word for scripts.
fn failed(error: &SendError) -> ErrorObjectOwned {
    use chainmesh_net::mesh::SendFailure;
    let label = match error {
        SendError::Ended(_) => "ended",
        SendError::Failure(failure) => match failure {
            SendFailure::UnknownNode => "unknown_node",
            SendFailure::NotReachable => "not_reachable",
            SendFailure::NoSuchFrontNode => "no_such_front_node",
            SendFailure::OverLimit(_) => "over_limit",
            SendFailure::TimedOut => "timed_out",
            SendFailure::NoReply => "no_reply",
            SendFailure::Refused(_) => "refused",
            SendFailure::TooLarge { .. } => "too_large",
            SendFailure::TooLong => "too_long",
            SendFailure::QueueFull => "queue_full",
            SendFailure::Busy => "busy",
        },
    };
    ErrorObjectOwned::owned(CALL_EXECUTION_FAILED_CODE, error.to_string(), Some(label))
}

/// A context that is shared between methods.
type SharedContext = Arc<RpcContext>;
