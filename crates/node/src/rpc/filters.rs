//! `eth_newFilter` and its kin: filters that are polled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde_json::{Value, json};

use super::RpcContext;
use super::blocks::BlockTag;
use super::dispatch::random_id;
use super::error::{RpcResult, internal, limit_exceeded, refused};
use super::follow::{Follower, Step};
use super::logs::{LogQuery, LogRange, MAX_LOGS};
use super::reading::read;

/// How long a filter lives that nobody asks for (go-ethereum, `filters.Config.Timeout`).
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// Filters at once, at most. Chosen: each holds a few hundred bytes, and up to 160 KiB of names.
const MAX_FILTERS: usize = 1_024;

/// What a filter waits for.
#[derive(Debug)]
enum Filter {
    Blocks(Follower),
    /// The number of the next one.
    Pending(u64),
    Logs(Follower, Box<LogQuery>),
}

#[derive(Debug)]
struct Entry {
    filter: Arc<Mutex<Filter>>,
    used: Instant,
}

/// The filters of a node.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<BTreeMap<String, Entry>>);

impl Filters {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.used.elapsed() < LIFETIME);
        entries
    }

    fn add(&self, filter: Filter) -> RpcResult<Value> {
        let mut entries = self.lock();
        if entries.len() >= MAX_FILTERS {
            return Err(limit_exceeded(format_args!(
                "there are {MAX_FILTERS} filters already: uninstall some, or use subscriptions"
            )));
        }
        let id = random_id();
        let filter = Arc::new(Mutex::new(filter));
        entries.insert(id.clone(), Entry { filter, used: Instant::now() });
        Ok(json!(id))
    }

    fn get(&self, id: &str) -> RpcResult<Arc<Mutex<Filter>>> {
        let mut entries = self.lock();
        let entry = entries.get_mut(id).ok_or_else(|| refused("filter not found"))?;
        entry.used = Instant::now();
        Ok(Arc::clone(&entry.filter))
    }
}

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "eth_newBlockFilter", 0, |context, _| {
        context.filters.add(Filter::Blocks(Follower::at_head(context.chain()?)))
    })?;
    read(module, "eth_newPendingTransactionFilter", 1, |context, _| {
        context.filters.add(Filter::Pending(context.events.next_pending()))
    })?;
    read(module, "eth_newFilter", 1, |context, args| {
        let query: LogQuery = args.required()?;
        let follower = Follower::at_head(context.chain()?);
        context.filters.add(Filter::Logs(follower, Box::new(query)))
    })?;
    read(module, "eth_uninstallFilter", 1, |context, args| {
        let id: String = args.required()?;
        Ok(json!(context.filters.lock().remove(&id).is_some()))
    })?;
    read(module, "eth_getFilterLogs", 1, |context, args| {
        let filter = context.filters.get(&args.required::<String>()?)?;
        let query = match &*filter.lock().unwrap_or_else(PoisonError::into_inner) {
            Filter::Logs(_, query) => query.clone(),
            _ => return Err(refused("filter not found")),
        };
        Ok(Value::Array(query.find(context.chain()?)?))
    })?;
    read(module, "eth_getFilterChanges", 1, |context, args| {
        let filter = context.filters.get(&args.required::<String>()?)?;
        let mut filter = filter.lock().unwrap_or_else(PoisonError::into_inner);
        filter.changes(context)
    })
}

impl Filter {
    fn changes(&mut self, context: &RpcContext) -> RpcResult<Value> {
        match self {
            Self::Pending(next) => {
                let (hashes, after) = context.events.pending_since(*next);
                *next = after;
                Ok(json!(hashes))
            }
            Self::Blocks(follower) => {
                let added = follower.steps(context.chain()?)?.into_iter().filter_map(|step| {
                    let Step::Added(hash) = step else { return None };
                    Some(hash)
                });
                Ok(json!(added.collect::<Vec<_>>()))
            }
            Self::Logs(follower, query) => {
                let chain = context.chain()?;
                let mut logs = Vec::new();
                for step in follower.steps(chain)? {
                    let (hash, removed) = match step {
                        Step::Removed(hash) => (hash, true),
                        Step::Added(hash) => (hash, false),
                    };
                    if !in_range(query.range, context, hash)? {
                        continue;
                    }
                    logs.extend(query.filter.of_block(chain, hash, removed)?);
                    if logs.len() > MAX_LOGS {
                        return Err(limit_exceeded(format_args!(
                            "there are more than {MAX_LOGS} logs since the last time: they are \
                             skipped, and eth_getLogs gives them"
                        )));
                    }
                }
                Ok(Value::Array(logs))
            }
        }
    }
}

/// Whether a filter has named this block by its numbers.
fn in_range(
    range: LogRange,
    context: &RpcContext,
    hash: alloy_primitives::B256,
) -> RpcResult<bool> {
    let (from, to) = match range {
        LogRange::Block(block) => return Ok(block == hash),
        LogRange::Numbers(from, to) => (from, to),
    };
    if !matches!((from, to), (BlockTag::Number(_), _) | (_, BlockTag::Number(_))) {
        return Ok(true);
    }
    let header = context.chain()?.header(&hash).map_err(internal)?;
    let number = header.map_or(0, |header| header.number);
    let above = !matches!(from, BlockTag::Number(from) if number < from);
    let below = !matches!(to, BlockTag::Number(to) if number > to);
    Ok(above && below)
}
