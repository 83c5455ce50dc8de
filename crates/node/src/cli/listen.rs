//! `chainmesh listen`.

use alloy_primitives::hex;
use anyhow::Context as _;
use chainmesh_net::Escaped;
use clap::Args;
use serde_json::json;

use super::output;
use super::running::{RunningNode, refusal};
use super::sdk::now;
use super::send::text;
use super::signals::StopSignals;
use crate::ipc::client::{CallError, IpcClient};
use crate::rpc::mesh::{Received, ReceivedMessage};

/// How long a question to the node waits for something to come, seconds.
const WAIT: u64 = 4;

/// Receive messages of the consortium, until Ctrl-C
///
/// A running node follows the topics as long as this runs; without a topic it gives the messages
/// that are sent to it alone or to all. Each message is a line: when it came, how, from whom, and
/// what it says.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh listen --data-dir ./n0 --topic news
  chainmesh listen --data-dir ./n0                   sent to n0 alone, or to all
  chainmesh listen --data-dir ./n0 --reply \"thanks\"  and replies to the former
  chainmesh listen --data-dir ./n0 --topic news --json | jq -r .text")]
pub(super) struct ListenArgs {
    #[command(flatten)]
    node: RunningNode,
    /// A topic; may be given several times
    #[arg(long)]
    topic: Vec<String>,
    /// With --topic: also what is sent to this node alone, or to all
    #[arg(long)]
    direct: bool,
    /// Reply this to each message that is sent to this node alone
    #[arg(long, value_name = "TEXT")]
    reply: Option<String>,
    /// End after so many messages
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Print a JSON object for each message, with the payload in hex, and as text if it is one
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: ListenArgs) -> anyhow::Result<()> {
    super::runtime()?.block_on(async {
        let mut signals = StopSignals::listen()?;
        let mut node = args.node.connect().await?;
        let direct = args.direct || args.topic.is_empty() || args.reply.is_some();
        let params = json!({"topics": args.topic, "direct": direct});
        let subscribed = node.call("mesh_subscribe", params).await.map_err(refusal)?;
        let listener = subscribed["listener"].as_u64().context("the node named no listener")?;
        let what = match args.topic.as_slice() {
            [] => "messages to this node".to_owned(),
            topics => topics.join(", "),
        };
        output::note(&format!("listening to {}; Ctrl-C ends it", Escaped(&what)));
        let ended = tokio::select! {
            ended = receive(&args, &mut node, listener) => ended,
            () = signals.next() => Ok(()),
        };
        signals.end_on_next();
        // Another connection: on the first one a question may be under way. When it fails, the node
        // forgets us by itself.
        if let Ok(mut node) = args.node.connect().await {
            let _ = node.call("mesh_unsubscribe", json!({"listener": listener})).await;
        }
        ended
    })
}

async fn receive(args: &ListenArgs, node: &mut IpcClient, listener: u64) -> anyhow::Result<()> {
    let (mut missed, mut count) = (0, 0);
    loop {
        let answer = node.call("mesh_poll", json!({"listener": listener, "wait": WAIT})).await;
        let answer = match answer {
            Err(CallError::Io { .. }) => anyhow::bail!("the node has ended"),
            other => other.map_err(refusal)?,
        };
        let received: Received =
            serde_json::from_value(answer).context("the node's answer cannot be understood")?;
        if received.missed > missed {
            let lost = received.missed - missed;
            output::note(&format!("{lost} messages were missed: they came faster than they went"));
            missed = received.missed;
        }
        for message in received.messages {
            show(args, &message)?;
            if let (Some(reply), "unicast") = (&args.reply, message.kind.as_str()) {
                let payload = hex::encode_prefixed(reply);
                let params =
                    json!({"listener": listener, "number": message.number, "payload": payload});
                node.call("mesh_reply", params).await.map_err(refusal)?;
            }
            count += 1;
            if args.count == Some(count) {
                return Ok(());
            }
        }
    }
}

fn show(args: &ListenArgs, message: &ReceivedMessage) -> anyhow::Result<()> {
    if args.json {
        let mut value = serde_json::to_value(message)?;
        let bytes = hex::decode(&message.payload).unwrap_or_default();
        if let Ok(text) = String::from_utf8(bytes) {
            value["text"] = text.into();
        }
        return output::line(&value.to_string());
    }
    let how = match (message.kind.as_str(), &message.topic) {
        (_, Some(topic)) => format!("[{}]", Escaped(topic)),
        ("broadcast", None) => "[all]".into(),
        _ => "[you]".into(),
    };
    let (when, from) = (now(), super::mesh::short(&message.from));
    output::line(&format!("{when}  {from}  {how}  {}", text(&message.payload)))
}
