//! Methods that read the disk or run the EVM: on blocking threads, so many at once.

use std::sync::Arc;

use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::RpcContext;
use super::error::{RpcResult, internal};
use super::params::Args;

/// Methods that read the disk at the same time, at most. The others wait.
const MAX_READS: usize = 16;

/// Methods that run the EVM at the same time, at most: one for each processor, two at least.
fn max_calls() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| processors.get().max(2))
}

/// How many may work at once.
#[derive(Debug, Clone)]
pub(crate) struct Workers(Arc<Semaphore>);

impl Workers {
    pub(crate) fn for_reads() -> Self {
        Self(Arc::new(Semaphore::new(MAX_READS)))
    }

    pub(crate) fn for_calls() -> Self {
        Self(Arc::new(Semaphore::new(max_calls())))
    }

    /// Does something on a blocking thread when it is its turn. What has begun is brought to its
    /// end, also when nobody waits for it any more.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> RpcResult<T> + Send + 'static,
    ) -> RpcResult<T> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = what();
            drop(turn);
            done
        });
        // It has panicked, or the node is being shut down.
        done.await.map_err(|_| internal("method handler crashed"))?
    }
}

/// What a method does with its parameters.
pub(super) type Method = fn(&RpcContext, &mut Args) -> RpcResult<Value>;

/// Registers a method without parameters that is answered from memory.
pub(super) fn plain(
    module: &mut RpcModule<RpcContext>,
    name: &'static str,
    method: fn(&RpcContext) -> RpcResult<Value>,
) -> Result<(), RegisterMethodError> {
    module.register_method(name, move |params, context, _| {
        Args::new(&params, 0)?;
        method(context)
    })?;
    Ok(())
}

/// Registers a method that reads the disk, with at most so many parameters.
pub(super) fn read(
    module: &mut RpcModule<RpcContext>,
    name: &'static str,
    most: usize,
    method: Method,
) -> Result<(), RegisterMethodError> {
    register(module, name, most, method, |context| &context.readers)
}

/// The same for a method that runs the EVM.
pub(super) fn execute(
    module: &mut RpcModule<RpcContext>,
    name: &'static str,
    most: usize,
    method: Method,
) -> Result<(), RegisterMethodError> {
    register(module, name, most, method, |context| &context.callers)
}

fn register(
    module: &mut RpcModule<RpcContext>,
    name: &'static str,
    most: usize,
    method: Method,
    workers: fn(&RpcContext) -> &Workers,
) -> Result<(), RegisterMethodError> {
    module.register_async_method(name, move |params, context, _| async move {
        let mut args = Args::new(&params, most)?;
        let workers = workers(&context).clone();
        workers.work(move || method(&context, &mut args)).await
    })?;
    Ok(())
}
