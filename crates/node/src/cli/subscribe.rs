//! `chainmesh sub`.

use std::pin::Pin;

use alloy_primitives::hex;
use chainmesh_net::Escaped;
use chainmesh_sdk::{Client, Kind, Message, ReplyError, Subscription};
use clap::Args;
use futures_util::Stream as _;
use serde_json::json;

use super::output;
use super::sdk::{SdkPort, now, tell_state, text};
use super::signals::StopSignals;

/// Subscribe to topics at a node, and print each message, until Ctrl-C
///
/// It is a client of the node's SDK port, as applications are: what SDKs of FISCO BCOS or chainmesh
/// pub publish at any node of the consortium comes here. Each message is a line: when it came,
/// whether it was for one subscriber or for all, its topic, and what it says. When the node is lost,
/// it connects again and subscribes again, and says so on stderr.
///
/// A message for one subscriber is answered: with nothing, unless --reply or --echo say otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh sub news --data-dir ./net/node1           beside chainmesh devnet --consortium
  chainmesh sub news weather --node wss://10.0.0.1:20201 --cert-dir ./app
  chainmesh sub time --reply \"it is noon\" --data-dir ./net/node1
  chainmesh sub news --json --data-dir ./net/node1 | jq -r .text
  chainmesh sub news --node wss://a:20201 --node wss://b:20201 --cert-dir ./app

It ends with 0 after --count messages or Ctrl-C, with 1 when no node lets it in or
the output cannot be written, with 2 when it was called in a wrong way.
chainmesh pub publishes; chainmesh topics shows who subscribes where.")]
pub(super) struct SubArgs {
    /// What to subscribe to
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    port: SdkPort,
    /// Answer this to each message for one subscriber
    #[arg(long, value_name = "TEXT")]
    reply: Option<String>,
    /// Answer each message for one subscriber with what it says
    #[arg(long, conflicts_with = "reply")]
    echo: bool,
    /// End after so many messages
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print a JSON object for each message, with "text" if it is UTF-8, else with "hex"
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: SubArgs) -> anyhow::Result<()> {
    super::runtime()?.block_on(async {
        let mut signals = StopSignals::listen()?;
        let connecting = async {
            let config = args.port.config().await?;
            anyhow::Ok(Client::connect(config).await?)
        };
        let client = tokio::select! {
            client = connecting => client?,
            () = signals.next() => return Ok(()),
        };
        let ended = tokio::select! {
            ended = receive(&args, &client) => ended,
            () = tell_state(&client) => Ok(()),
            () = signals.next() => Ok(()),
        };
        client.close().await;
        ended
    })
}

async fn receive(args: &SubArgs, client: &Client) -> anyhow::Result<()> {
    let mut subscriptions = Vec::new();
    for topic in &args.topics {
        subscriptions.push(client.subscribe(topic).await?);
    }
    let topics: Vec<String> = args.topics.iter().map(|topic| Escaped(topic).to_string()).collect();
    output::note(&format!("subscribed to {}; Ctrl-C ends it", topics.join(", ")));
    let mut left = args.count;
    while let Some(message) = next(&mut subscriptions).await {
        show(args, &message)?;
        let answer = match (&args.reply, args.echo) {
            (Some(text), _) => Some(text.clone().into()),
            (None, true) => Some(message.payload().clone()),
            (None, false) => None,
        };
        match (answer, message.kind()) {
            (Some(answer), Kind::Unicast) => match message.reply(answer).await {
                Ok(()) | Err(ReplyError::Multicast) => {}
                Err(error) => output::note(&format!("it was not answered: {error}")),
            },
            // It is acknowledged when it is dropped.
            _ => drop(message),
        }
        if let Some(left) = &mut left {
            *left -= 1;
            if *left == 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The next message of any of them; `None` when the client was closed.
async fn next(subscriptions: &mut [Subscription]) -> Option<Message> {
    std::future::poll_fn(|cx| {
        for subscription in &mut *subscriptions {
            let next = Pin::new(subscription).poll_next(cx);
            if next.is_ready() {
                return next;
            }
        }
        std::task::Poll::Pending
    })
    .await
}

fn show(args: &SubArgs, message: &Message) -> anyhow::Result<()> {
    let (topic, payload) = (message.topic(), message.payload());
    let kind = match message.kind() {
        Kind::Unicast => "unicast",
        Kind::Multicast => "multicast",
    };
    if !args.json {
        let (topic, said) = (Escaped(topic), text(payload));
        let word = match message.kind() {
            Kind::Unicast => "one",
            Kind::Multicast => "all",
        };
        return output::line(&format!("{}  to {word}  [{topic}]  {said}", now()));
    }
    let mut value = json!({
        "time": crate::unix_time(),
        "sequence": message.sequence(),
        "topic": topic,
        "kind": kind,
        "bytes": payload.len(),
    });
    match std::str::from_utf8(payload) {
        Ok(text) => value["text"] = text.into(),
        Err(_) => value["hex"] = hex::encode_prefixed(payload).into(),
    }
    output::line(&value.to_string())
}
