//! Requests, batches, notifications and subscriptions, against the examples of the JSON-RPC 2.0
//! specification.

use jsonrpsee_core::server::{Methods, RpcModule, SubscriptionMessage};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, Connections, Dispatcher, MAX_ANSWER, MAX_BATCH};

fn methods() -> Methods {
    let mut module = RpcModule::new(());
    module
        .register_method("subtract", |params, (), _| {
            let (from, what): (i64, i64) = params.parse()?;
            Ok::<_, jsonrpsee_types::ErrorObjectOwned>(from - what)
        })
        .unwrap();
    module.register_method("long", |_, (), _| "x".repeat(MAX_ANSWER)).unwrap();
    module
        .register_subscription("count", "counted", "uncount", |_, pending, _, _| async move {
            let sink = pending.accept().await.unwrap();
            for number in 0..3 {
                let id = sink.subscription_id();
                let message = SubscriptionMessage::new(sink.method_name(), id, &number).unwrap();
                sink.send(message).await.unwrap();
            }
            sink.closed().await;
        })
        .unwrap();
    module.into()
}

fn dispatcher() -> Dispatcher {
    Connections::default().open(&methods(), 2)
}

async fn ask(request: &str) -> Option<Value> {
    let answer = dispatcher().answer(request.as_bytes()).await.text?;
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
    let null = ask(r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": null}"#);
    assert_eq!(null.await, Some(json!({"jsonrpc": "2.0", "result": 19, "id": null})));
}

#[tokio::test]
async fn what_is_wrong_has_its_code() {
    let unknown = r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#;
    assert_eq!(refused(unknown).await, (-32601, json!("1")));
    let said = ask(unknown).await.unwrap();
    assert_eq!(said["error"]["message"], "the method foobar does not exist/is not available");
    let params = r#"{"jsonrpc": "2.0", "method": "subtract", "params": ["a"], "id": 7}"#;
    assert_eq!(refused(params).await, (-32602, json!(7)));
    assert_eq!(refused(r#"{"jsonrpc": "2.0", "method": "foobar, "params"}"#).await.0, -32700);
    let method = r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#;
    assert_eq!(refused(method).await, (-32600, Value::Null));
    assert_eq!(refused(r#"{"method": "subtract", "id": 3}"#).await, (-32600, json!(3)));
    assert_eq!(refused(r#"{"jsonrpc": "2.0", "method": "a", "id": {}}"#).await.0, -32600);
    assert_eq!(refused("[]").await, (-32600, Value::Null));
    assert_eq!(refused("1").await, (-32600, Value::Null));
    assert_eq!(refused("").await, (-32700, Value::Null));
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
async fn answers_have_an_end() {
    let long = r#"{"jsonrpc": "2.0", "method": "long", "id": 5}"#;
    assert_eq!(refused(long).await, (-32003, json!(5)));
}

#[tokio::test]
async fn a_batch_has_an_end() {
    let one = r#"{"jsonrpc": "2.0", "method": "subtract", "params": [1, 2], "id": 1}"#;
    let batch = |count| format!("[{}]", vec![one; count].join(","));
    let full = ask(&batch(MAX_BATCH)).await.expect("an answer");
    assert_eq!(full.as_array().unwrap().len(), MAX_BATCH);
    let over = ask(&batch(MAX_BATCH + 1)).await.expect("an answer");
    assert_eq!(over["error"], json!({"code": -32600, "message": "batch too large"}));
    assert_eq!(over["id"], 1);
}

/// What is nested as deep as a request can be neither overflows the stack nor is it followed.
#[tokio::test]
async fn depth_is_bounded() {
    const DEPTH: usize = 2 * 1024 * 1024;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        let as_params = format!(
            r#"{{"jsonrpc": "2.0", "method": "subtract", "id": 1, "params": [{deep}, 1]}}"#
        );
        assert_eq!(refused(&as_params).await, (-32602, json!(1)));
        let as_id = format!(
            r#"{{"jsonrpc": "2.0", "method": "subtract", "params": [1, 2], "id": {deep}}}"#
        );
        assert_eq!(refused(&as_id).await.0, -32600);
        let as_member = format!(
            r#"{{"jsonrpc": "2.0", "method": "subtract", "params": [1, 2], "id": 1, "x": {deep}}}"#
        );
        assert_eq!(ask(&as_member).await.unwrap()["result"], -1);
        // A batch of one thing that is no request, or no request.
        let alone = ask(&deep).await.unwrap();
        let first = alone.get(0).unwrap_or(&alone);
        assert_eq!(first["error"]["code"], -32600, "{first}");
        let cut = deep.get(..DEPTH).unwrap();
        assert_eq!(refused(cut).await.0, -32700);
    }
}

async fn subscribe(dispatcher: &Dispatcher) -> (Value, Answer) {
    let mut answer = dispatcher.answer(br#"{"jsonrpc": "2.0", "method": "count", "id": 1}"#).await;
    let text: Value = serde_json::from_str(&answer.text.take().unwrap()).unwrap();
    (text, answer)
}

#[tokio::test]
async fn a_subscription_begins_behind_its_answer_and_ends_when_it_is_told() {
    let dispatcher = dispatcher();
    let (answer, mut begun) = subscribe(&dispatcher).await;
    let id = answer["result"].as_str().unwrap().to_owned();
    assert!(id.starts_with("0x") && id.len() > 20, "{id}");
    let notifications = &mut begun.subscriptions[0];
    for number in 0..3 {
        let message = notifications.recv().await.unwrap();
        let message: Value = serde_json::from_str(message.get()).unwrap();
        let params = json!({"subscription": id, "result": number});
        assert_eq!(message, json!({"jsonrpc": "2.0", "method": "counted", "params": params}));
    }
    let end = json!({"jsonrpc": "2.0", "method": "uncount", "id": 2, "params": [id]}).to_string();
    // It is of this connection, and nobody else's.
    let other = Connections(7.into()).open(&methods(), 1);
    let said = other.answer(end.as_bytes()).await.text.unwrap();
    assert!(said.contains("subscription not found"), "{said}");
    let said = dispatcher.answer(end.as_bytes()).await.text.unwrap();
    assert!(said.contains("\"result\":true"), "{said}");
    assert!(notifications.recv().await.is_none(), "it goes on");
    let said = dispatcher.answer(end.as_bytes()).await.text.unwrap();
    assert!(said.contains("subscription not found"), "{said}");
}

#[tokio::test]
async fn there_are_so_many_subscriptions_and_no_more() {
    let dispatcher = dispatcher();
    let (first, second) = (subscribe(&dispatcher).await, subscribe(&dispatcher).await);
    assert!(first.0["result"].is_string() && second.0["result"].is_string());
    let (third, answer) = subscribe(&dispatcher).await;
    assert_eq!(third["error"]["code"], -32005, "{third}");
    assert!(answer.subscriptions.is_empty());
    drop(first);
    // The place is free as soon as its task has seen that nobody listens.
    let mut again = subscribe(&dispatcher).await;
    while again.0["error"].is_object() {
        tokio::task::yield_now().await;
        again = subscribe(&dispatcher).await;
    }
}

#[tokio::test]
async fn http_has_no_subscriptions() {
    let dispatcher = Connections::default().without_subscriptions(&methods());
    let (answer, begun) = subscribe(&dispatcher).await;
    assert_eq!(answer["error"]["code"], -32601);
    assert_eq!(answer["error"]["message"], "notifications not supported");
    assert!(begun.subscriptions.is_empty());
}

/// What may stand in a request, near to what it should be.
fn nearly() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "1",
        "-1e999",
        "\"\"",
        "\"2.0\"",
        "\"jsonrpc\"",
        "\"id\"",
        "\"method\"",
        "\"params\"",
        "\"subtract\"",
        "\"count\"",
        "\"uncount\"",
        "\"\\ud800\"",
        " ",
        r#"{"jsonrpc":"2.0","id":1,"method":"subtract","params":[2,1]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"subtract","params":"#,
    ]);
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// Whatever comes, what is said is JSON-RPC.
fn is_answered(request: &[u8]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(async { dispatcher().answer(request).await.text });
    let Some(answer) = answer else { return Ok(()) };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let answers = match answer {
        Value::Array(answers) => answers,
        one => vec![one],
    };
    for answer in answers {
        prop_assert_eq!(&answer["jsonrpc"], "2.0");
        prop_assert!(answer.get("id").is_some(), "{}", answer);
        let (result, error) = (answer.get("result"), answer.get("error"));
        prop_assert!(result.is_some() != error.is_some(), "{}", answer);
        if let Some(error) = error {
            prop_assert!(error["code"].is_i64() && error["message"].is_string(), "{}", error);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_answered(request: Vec<u8>) {
        is_answered(&request)?;
    }

    #[test]
    fn what_is_nearly_a_request_is_answered(request in nearly()) {
        is_answered(request.as_bytes())?;
    }
}
