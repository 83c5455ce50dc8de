//! `eth_subscribe`: new heads, pending transactions, logs, synchronisation.

use std::sync::Arc;
use std::time::Duration;

use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::{
    PendingSubscriptionSink, RpcModule, SubscriptionMessage, SubscriptionSink,
};
use jsonrpsee_types::ErrorObjectOwned;
use jsonrpsee_types::error::METHOD_NOT_FOUND_CODE;
use serde_json::{Value, json};

use super::error::{RpcResult, internal};
use super::follow::{Follower, Step};
use super::logs::{LogFilter, LogQuery, subscribed};
use super::params::Args;
use super::{RpcContext, eth, shapes};

/// How often synchronisation is looked at for those who want to know of it.
const SYNC_PERIOD: Duration = Duration::from_secs(1);

/// What somebody wants to hear of.
#[derive(Debug)]
enum Wanted {
    Heads,
    /// Whole transactions, or their hashes.
    Pending(bool),
    Logs(Box<LogFilter>),
    Syncing,
}

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, context, _| async move {
            let wanted = Args::new(&params, 2).and_then(|mut args| wanted(&mut args));
            match wanted {
                Ok(wanted) => serve(wanted, pending, context).await,
                Err(why) => pending.reject(why).await,
            }
        },
    )?;
    Ok(())
}

fn wanted(args: &mut Args) -> RpcResult<Wanted> {
    let name: String = args.required()?;
    Ok(match name.as_str() {
        "newHeads" => Wanted::Heads,
        "newPendingTransactions" => Wanted::Pending(args.optional()?.unwrap_or(false)),
        "logs" => {
            let query: LogQuery = args.optional()?.unwrap_or_default();
            Wanted::Logs(Box::new(subscribed(query)?))
        }
        "syncing" => Wanted::Syncing,
        // go-ethereum's words and code.
        _ => {
            let name = chainmesh_net::Escaped(&name).to_string();
            let why = format!("no \"{name}\" subscription in eth namespace");
            return Err(ErrorObjectOwned::owned(METHOD_NOT_FOUND_CODE, why, None::<()>));
        }
    })
}

async fn serve(wanted: Wanted, pending: PendingSubscriptionSink, context: Arc<RpcContext>) {
    // From before the answer on, so that nothing is missed behind it.
    let heads = context.events.heads();
    let transactions = context.events.pending();
    let next = context.events.next_pending();
    let follower = context.chain().map(|chain| Follower::at_head(chain));
    let follower = match (follower, &wanted) {
        (Ok(follower), _) => Some(follower),
        (Err(why), Wanted::Heads | Wanted::Logs(_)) => return pending.reject(why).await,
        (Err(_), _) => None,
    };
    // An error means that the connection is gone.
    let Ok(sink) = pending.accept().await else { return };
    let served = match (wanted, follower) {
        (Wanted::Pending(full), _) => tell_pending(&sink, &context, transactions, next, full).await,
        (Wanted::Syncing, _) => tell_syncing(&sink, &context).await,
        (Wanted::Heads, Some(follower)) => {
            tell_blocks(&sink, &context, heads, follower, None).await
        }
        (Wanted::Logs(filter), Some(follower)) => {
            let filter = Some(Arc::from(filter));
            tell_blocks(&sink, &context, heads, follower, filter).await
        }
        (Wanted::Heads | Wanted::Logs(_), None) => Ok(()),
    };
    if let Err(Ended::Failed(why)) = served {
        tracing::warn!("a subscription ended: {}", why.message());
    }
}

/// Why a subscription ends.
enum Ended {
    /// Nobody listens any more.
    Gone,
    Failed(ErrorObjectOwned),
}

impl From<ErrorObjectOwned> for Ended {
    fn from(why: ErrorObjectOwned) -> Self {
        Self::Failed(why)
    }
}

async fn tell(sink: &SubscriptionSink, what: &Value) -> Result<(), Ended> {
    let message = SubscriptionMessage::new(sink.method_name(), sink.subscription_id(), what);
    let message = message.map_err(|why| Ended::Failed(internal(why)))?;
    sink.send(message).await.map_err(|_| Ended::Gone)
}

/// Waits for a change, or for the end of the subscription.
async fn changed(
    sink: &SubscriptionSink,
    watch: &mut tokio::sync::watch::Receiver<()>,
) -> Result<(), Ended> {
    tokio::select! {
        () = sink.closed() => Err(Ended::Gone),
        changed = watch.changed() => changed.map_err(|_| Ended::Gone),
    }
}

/// New heads, or the logs in them.
async fn tell_blocks(
    sink: &SubscriptionSink,
    context: &Arc<RpcContext>,
    mut heads: tokio::sync::watch::Receiver<()>,
    mut follower: Follower,
    filter: Option<Arc<LogFilter>>,
) -> Result<(), Ended> {
    loop {
        changed(sink, &mut heads).await?;
        let work = {
            let context = Arc::clone(context);
            move || Ok((follower.steps(context.chain()?)?, follower))
        };
        let (steps, now) = context.readers.work(work).await?;
        follower = now;
        for step in steps {
            let (context_of, filter) = (Arc::clone(context), filter.clone());
            let shown = move || shown(&context_of, step, filter.as_deref());
            for what in context.readers.work(shown).await? {
                tell(sink, &what).await?;
            }
        }
    }
}

/// What is told about a block.
fn shown(context: &RpcContext, step: Step, filter: Option<&LogFilter>) -> RpcResult<Vec<Value>> {
    let chain = context.chain()?;
    match (step, filter) {
        (Step::Added(hash), None) => {
            let header = chain.header(&hash).map_err(internal)?;
            let shown = header.map(|header| shapes::header(hash, &header)).transpose()?;
            Ok(shown.map(Value::Object).into_iter().collect())
        }
        (Step::Removed(_), None) => Ok(Vec::new()),
        (Step::Added(hash), Some(filter)) => filter.of_block(chain, hash, false),
        (Step::Removed(hash), Some(filter)) => filter.of_block(chain, hash, true),
    }
}

async fn tell_pending(
    sink: &SubscriptionSink,
    context: &RpcContext,
    mut woken: tokio::sync::watch::Receiver<()>,
    mut next: u64,
    full: bool,
) -> Result<(), Ended> {
    loop {
        changed(sink, &mut woken).await?;
        let (hashes, after) = context.events.pending_since(next);
        next = after;
        for hash in hashes {
            if !full {
                tell(sink, &json!(hash)).await?;
                continue;
            }
            let waiting = context.pool.as_ref().and_then(|pool| pool.get(&hash));
            if let Some(waiting) = waiting
                && let Some(transaction) = waiting.decode()
            {
                tell(sink, &shapes::transaction(&transaction, waiting.sender(), None)).await?;
            }
        }
    }
}

async fn tell_syncing(sink: &SubscriptionSink, context: &RpcContext) -> Result<(), Ended> {
    let mut ticks = tokio::time::interval(SYNC_PERIOD);
    let mut before = Value::Bool(false);
    loop {
        tokio::select! {
            () = sink.closed() => return Err(Ended::Gone),
            _ = ticks.tick() => {}
        }
        let now = eth::syncing(context);
        // Its beginning and its end are told, as in go-ethereum.
        if now.is_boolean() != before.is_boolean() {
            let told = match &now {
                Value::Bool(_) => now.clone(),
                status => json!({"syncing": true, "status": status}),
            };
            tell(sink, &told).await?;
        }
        before = now;
    }
}
