//! One JSON value in, one or none out: requests, batches and notifications of JSON-RPC 2.0.

use jsonrpsee_core::server::Methods;
use jsonrpsee_types::Request;
use jsonrpsee_types::error::{
    INVALID_REQUEST_CODE, OVERSIZED_REQUEST_CODE, PARSE_ERROR_CODE, TOO_BIG_BATCH_REQUEST_CODE,
    TOO_BIG_BATCH_RESPONSE_CODE,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Requests in one batch, at most (go-ethereum's `--rpc.batch-request-limit` is 1000; ours are
/// held in memory until the last is answered).
pub const MAX_BATCH: usize = 100;

/// Bytes of answers to one batch, at most (go-ethereum, `--rpc.batch-response-max-size`). The
/// requests after that get an error each.
pub const MAX_BATCH_ANSWER: usize = 25_000_000;

/// Answers one request or one batch; `None` when there is nothing to be said (a notification).
pub async fn answer(methods: &Methods, request: &[u8]) -> Option<String> {
    let Ok(request) = serde_json::from_slice::<&RawValue>(request) else {
        return Some(parse_error());
    };
    let text = request.get();
    if !text.starts_with('[') {
        return answer_one(methods, text).await;
    }
    let Ok(batch) = serde_json::from_str::<Vec<&RawValue>>(text) else {
        return Some(parse_error());
    };
    if batch.is_empty() {
        return Some(error(&Value::Null, INVALID_REQUEST_CODE, "the batch is empty"));
    }
    if batch.len() > MAX_BATCH {
        let why = format!("a batch has at most {MAX_BATCH} requests");
        return Some(error(&Value::Null, TOO_BIG_BATCH_REQUEST_CODE, &why));
    }
    let (mut answers, mut bytes) = (Vec::new(), 0);
    for request in batch {
        if bytes > MAX_BATCH_ANSWER {
            let id = id(request.get());
            let why = format!("the answers to a batch have at most {MAX_BATCH_ANSWER} bytes");
            answers.push(error(&id, TOO_BIG_BATCH_RESPONSE_CODE, &why));
        } else if let Some(answer) = answer_one(methods, request.get()).await {
            bytes += answer.len();
            answers.push(answer);
        }
    }
    (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
}

/// The answer to what is no JSON.
#[must_use]
pub fn parse_error() -> String {
    error(&Value::Null, PARSE_ERROR_CODE, "the request is not valid JSON")
}

/// The answer to a request that is longer than can be taken.
#[must_use]
pub fn too_long(why: &str) -> String {
    error(&Value::Null, OVERSIZED_REQUEST_CODE, why)
}

async fn answer_one(methods: &Methods, request: &str) -> Option<String> {
    let Ok(fields) = serde_json::from_str::<serde_json::Map<String, Value>>(request) else {
        return Some(error(&Value::Null, INVALID_REQUEST_CODE, "a request is a JSON object"));
    };
    if let Err(why) = serde_json::from_str::<Request<'_>>(request) {
        // One without an ID is a notification: nothing is answered, and there is none that we know.
        let well_formed = fields.get("jsonrpc").is_some_and(|version| version == "2.0")
            && fields.get("method").is_some_and(Value::is_string);
        if well_formed && !fields.contains_key("id") {
            return None;
        }
        let why = format!("this is no request of JSON-RPC 2.0: {why}");
        return Some(error(&id(request), INVALID_REQUEST_CODE, &why));
    }
    match methods.raw_json_request(request, 1).await {
        Ok((answer, _subscription)) => Some(answer.get().to_owned()),
        Err(_) => Some(parse_error()),
    }
}

/// The ID of something that may be a request.
fn id(request: &str) -> Value {
    let request = serde_json::from_str::<Value>(request).unwrap_or_default();
    match request.get("id") {
        Some(id @ (Value::Number(_) | Value::String(_))) => id.clone(),
        _ => Value::Null,
    }
}

fn error(id: &Value, code: i32, message: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string()
}

#[cfg(test)]
mod tests;
