//! Requests, batches and notifications, against the examples of the JSON-RPC 2.0 specification.

use jsonrpsee_core::server::{Methods, RpcModule};
use serde_json::{Value, json};

use super::{MAX_BATCH, answer};

fn methods() -> Methods {
    let mut module = RpcModule::new(());
    module
        .register_method("subtract", |params, (), _| {
            let (from, what): (i64, i64) = params.parse()?;
            Ok::<_, jsonrpsee_types::ErrorObjectOwned>(from - what)
        })
        .unwrap();
    module.into()
}

async fn ask(request: &str) -> Option<Value> {
    let answer = answer(&methods(), request.as_bytes()).await?;
    Some(serde_json::from_str(&answer).unwrap())
}

/// The code of the error, and the ID.
async fn refused(request: &str) -> (i64, Value) {
    let answer = ask(request).await.expect("an answer");
    assert_eq!(answer["jsonrpc"], "2.0");
    (answer["error"]["code"].as_i64().expect("an error"), answer["id"].clone())
}

#[tokio::test]
async fn a_request_is_answered() {
    let answer = ask(r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#);
    assert_eq!(answer.await, Some(json!({"jsonrpc": "2.0", "result": 19, "id": 1})));
}

#[tokio::test]
async fn what_is_wrong_has_its_code() {
    let unknown = r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#;
    assert_eq!(refused(unknown).await, (-32601, json!("1")));
    let params = r#"{"jsonrpc": "2.0", "method": "subtract", "params": ["a"], "id": 7}"#;
    assert_eq!(refused(params).await, (-32602, json!(7)));
    assert_eq!(refused(r#"{"jsonrpc": "2.0", "method": "foobar, "params"}"#).await.0, -32700);
    let method = r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#;
    assert_eq!(refused(method).await, (-32600, Value::Null));
    assert_eq!(refused(r#"{"method": "subtract", "id": 3}"#).await, (-32600, json!(3)));
    assert_eq!(refused("[]").await, (-32600, Value::Null));
    assert_eq!(refused(r#"[{"jsonrpc": "2.0"},]"#).await.0, -32700);
}

#[tokio::test]
async fn a_notification_is_not_answered() {
    assert_eq!(ask(r#"{"jsonrpc": "2.0", "method": "update", "params": [1]}"#).await, None);
    assert_eq!(ask(r#"[{"jsonrpc": "2.0", "method": "update"}]"#).await, None);
}

#[tokio::test]
async fn a_batch_is_answered_one_by_one() {
    let batch = r#"[
        {"jsonrpc": "2.0", "method": "subtract", "params": [1, 2], "id": "a"},
        {"jsonrpc": "2.0", "method": "notify", "params": [7]},
        1,
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "id": "5"}
    ]"#;
    let answer = ask(batch).await.expect("an answer");
    let seen: Vec<_> = answer.as_array().unwrap().iter().collect();
    assert_eq!(seen.len(), 4);
    assert_eq!((&seen[0]["id"], &seen[0]["result"]), (&json!("a"), &json!(-1)));
    assert_eq!((&seen[1]["id"], &seen[1]["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert_eq!((&seen[2]["id"], &seen[2]["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert_eq!((&seen[3]["id"], &seen[3]["error"]["code"]), (&json!("5"), &json!(-32601)));
}

#[tokio::test]
async fn a_batch_has_an_end() {
    let one = r#"{"jsonrpc": "2.0", "method": "subtract", "params": [1, 2], "id": 1}"#;
    let batch = |count| format!("[{}]", vec![one; count].join(","));
    let full = ask(&batch(MAX_BATCH)).await.expect("an answer");
    assert_eq!(full.as_array().unwrap().len(), MAX_BATCH);
    assert_eq!(refused(&batch(MAX_BATCH + 1)).await.0, -32010);
}
