//! `chainmesh pub`.

mod tally;

use std::future::{Future as _, poll_fn};
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use chainmesh_sdk::{Client, PublishError};
use clap::Args;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::output;
use super::sdk::{SdkPort, tell_state, text};
use super::signals::StopSignals;
use tally::Tally;

/// Largest payload that is read, bytes: a node takes messages up to 32 MiB, header included.
const MAX_PAYLOAD: u64 = (32 << 20) - (64 << 10);
/// Messages of a stream that are under way at once.
const UNDER_WAY: usize = 256;

/// Publish messages on a topic: to one subscriber, or to all
///
/// It is a client of a node's SDK port, as applications are. A message goes to one subscriber,
/// drawn at random among those at all nodes of the consortium, and its answer is printed; with
/// --multicast it goes to all of them, and nobody answers.
///
/// Without MESSAGE each line of stdin is a message. Many are under way at once; they leave in the
/// order of the lines, and answers are printed in the order in which they come; a summary on stderr tells how many were answered, and
/// how fast.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh pub news \"it rains\" --data-dir ./net/node4     beside chainmesh devnet --consortium
  chainmesh pub news \"it rains\" --multicast --data-dir ./net/node4
  chainmesh pub news --file photo.jpg --node wss://10.0.0.1:20201 --cert-dir ./app
  seq 100000 | chainmesh pub numbers --multicast --rate 5000 --data-dir ./net/node4
  tail -f app.log | chainmesh pub log --multicast --data-dir ./net/node4

It ends with 0 when everything was delivered (a multicast: when the node took it),
with 1 when something was not, with 2 when it was called in a wrong way. Nothing is
published twice: when the connection is lost, what was under way counts as failed.
chainmesh sub subscribes.")]
pub(super) struct PubArgs {
    /// Where to publish
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// What to say; - or nothing: each line of stdin
    #[arg(value_name = "MESSAGE")]
    message: Option<String>,
    #[command(flatten)]
    port: SdkPort,
    /// To all subscribers
    #[arg(long)]
    multicast: bool,
    /// Publish what is in this file, as one message of any bytes
    #[arg(long, value_name = "FILE", conflicts_with = "message")]
    file: Option<PathBuf>,
    /// Wait so long for an answer
    #[arg(long, value_name = "SECS", default_value_t = 60,
          value_parser = clap::value_parser!(u16).range(1..=3600))]
    timeout: u16,
    /// At most so many messages a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print a JSON object for each answer, with "text" if it is UTF-8, else with "hex"
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: PubArgs) -> anyhow::Result<()> {
    let one = match (&args.message, &args.file) {
        (_, Some(file)) => Some(read(file)?),
        (Some(message), None) if message != "-" => Some(Bytes::from(message.clone())),
        _ => None,
    };
    let runtime = super::runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = StopSignals::listen()?;
        let mut config = args.port.config().await?;
        config.timeout = Duration::from_secs(args.timeout.into());
        let client = tokio::select! {
            client = Client::connect(config) => client?,
            () = signals.next() => bail!("interrupted"),
        };
        let work = async {
            match one {
                Some(payload) => tokio::select! {
                    ended = single(&args, &client, payload) => ended,
                    () = signals.next() => bail!("interrupted; it may have arrived"),
                },
                None => stream(&args, &client, &mut signals).await,
            }
        };
        let ended = tokio::select! {
            ended = work => ended,
            () = tell_state(&client) => Ok(()),
        };
        client.close().await;
        ended
    });
    // A thread may be reading stdin, which need not end.
    runtime.shutdown_background();
    ended
}

fn read(path: &std::path::Path) -> anyhow::Result<Bytes> {
    let file = std::fs::File::open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let mut payload = Vec::new();
    let read = file.take(MAX_PAYLOAD + 1).read_to_end(&mut payload);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if payload.len() as u64 > MAX_PAYLOAD {
        bail!("{} is too long: a message has at most {MAX_PAYLOAD} bytes", path.display());
    }
    Ok(payload.into())
}

/// What came of one message: its answer, unless it was for all.
async fn publish(
    client: &Client,
    topic: &str,
    payload: Bytes,
    multicast: bool,
) -> Result<Option<chainmesh_sdk::Reply>, PublishError> {
    if multicast {
        client.multicast(topic, payload).await.map(|()| None)
    } else {
        client.publish(topic, payload).await.map(Some)
    }
}

async fn single(args: &PubArgs, client: &Client, payload: Bytes) -> anyhow::Result<()> {
    match publish(client, &args.topic, payload, args.multicast).await? {
        None => {
            output::note("handed to the node, for all subscribers");
            Ok(())
        }
        Some(reply) => {
            let milliseconds = reply.after.as_secs_f64() * 1e3;
            output::note(&format!("answered in {milliseconds:.1} ms"));
            answer(args, &reply)
        }
    }
}

/// Prints an answer, if it says something.
fn answer(args: &PubArgs, reply: &chainmesh_sdk::Reply) -> anyhow::Result<()> {
    if args.json {
        let milliseconds = reply.after.as_secs_f64() * 1e3;
        let mut value = json!({"milliseconds": milliseconds, "bytes": reply.payload.len()});
        match std::str::from_utf8(&reply.payload) {
            Ok(text) => value["text"] = text.into(),
            Err(_) => {
                value["hex"] = alloy_primitives::hex::encode_prefixed(&reply.payload).into();
            }
        }
        return output::line(&value.to_string());
    }
    if reply.payload.is_empty() {
        return Ok(());
    }
    output::line(&text(&reply.payload))
}

/// Each line of stdin.
async fn stream(args: &PubArgs, client: &Client, signals: &mut StopSignals) -> anyhow::Result<()> {
    if std::io::stdin().is_terminal() {
        output::note("each line is a message; Ctrl-D ends it");
    }
    let mut lines = BufReader::new(tokio::io::stdin());
    let mut tally = Tally::new(args.multicast);
    let mut under_way = JoinSet::new();
    let mut pace = args.rate.map(|rate| {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        pace
    });
    let mut line = Vec::new();
    let mut at_end = false;
    let mut interrupted = false;
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    while !at_end || !under_way.is_empty() {
        let reads = !at_end && under_way.len() < UNDER_WAY;
        tokio::select! {
            () = signals.next() => {
                // What is under way is waited for; who does not want to wait asks again.
                if std::mem::replace(&mut interrupted, true) || under_way.is_empty() {
                    break;
                }
                at_end = true;
                output::note("stopping; Ctrl-C again does not wait for the last answers");
            }
            Some(done) = under_way.join_next() => {
                let (bytes, result) = done.context("a message was not handled to its end")?;
                if let Some(reply) = tally.note(bytes, &result) {
                    answer(args, reply)?;
                }
            }
            more = next_line(&mut lines, &mut line, pace.as_mut()), if reads => match more? {
                None => at_end = true,
                Some(payload) => {
                    let (client, topic) = (client.clone(), args.topic.clone());
                    let multicast = args.multicast;
                    let mut sent = Box::pin(async move {
                        let bytes = payload.len();
                        (bytes, publish(&client, &topic, payload, multicast).await)
                    });
                    // Begun here, one after the other: lines keep their order.
                    match poll_fn(|cx| Poll::Ready(sent.as_mut().poll(cx))).await {
                        Poll::Pending => drop(under_way.spawn(sent)),
                        Poll::Ready((bytes, result)) => {
                            if let Some(reply) = tally.note(bytes, &result) {
                                answer(args, reply)?;
                            }
                        }
                    }
                }
            },
            _ = clock.tick() => tally.show(Instant::now()),
        }
    }
    tally.finish()
}

/// The next line without its end, when it is its time; `None` at the end. When this is dropped before
/// it is ready, nothing is lost: what was read stays in `line`.
async fn next_line(
    lines: &mut BufReader<tokio::io::Stdin>,
    line: &mut Vec<u8>,
    pace: Option<&mut tokio::time::Interval>,
) -> anyhow::Result<Option<Bytes>> {
    while line.last() != Some(&b'\n') {
        let here = lines.fill_buf().await.context("cannot read stdin")?;
        if here.is_empty() {
            break;
        }
        let end = here.iter().position(|byte| *byte == b'\n').map_or(here.len(), |at| at + 1);
        line.extend_from_slice(here.get(..end).unwrap_or_default());
        lines.consume(end);
        if line.len() as u64 > MAX_PAYLOAD {
            bail!("a line is too long: a message has at most {MAX_PAYLOAD} bytes");
        }
    }
    if line.is_empty() {
        return Ok(None);
    }
    if let Some(pace) = pace {
        pace.tick().await;
    }
    let mut whole = std::mem::take(line);
    if whole.last() == Some(&b'\n') {
        whole.pop();
    }
    Ok(Some(whole.into()))
}
