//! The transactions that wait for a block, in a running node: kept at the head of the chain, kept
//! over a restart if they are our own, and cleared of what waited too long.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chainmesh_chain::pool::{JOURNAL_FILE_NAME, NetworkPool};
use chainmesh_chain::{Chain, Mempool, MempoolConfig, StoreError, Subscription};
use chainmesh_net::TransactionPool;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// How often the pool is rid of what waited too long, and its journal is written anew
/// (go-ethereum, `evictionInterval`).
const MAINTENANCE_PERIOD: Duration = Duration::from_secs(60);

/// The pool of a node; its upkeep ends when this is dropped.
#[derive(Debug)]
pub(crate) struct NodePool {
    pool: Arc<Mempool>,
    /// Keeps the pool at the head of the chain.
    _follows: Subscription,
    upkeep: JoinHandle<()>,
}

impl Drop for NodePool {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

impl NodePool {
    /// A pool at the head of this chain, with the journal in this directory, inside the current
    /// tokio runtime. A journal that cannot be opened is said in the log, and is missed at the next
    /// start only.
    pub(crate) fn start(
        chain: &Arc<Chain>,
        config: MempoolConfig,
        data_dir: &Path,
    ) -> Result<Self, StoreError> {
        let pool = Arc::new(Mempool::behind(chain, config)?);
        let follows = pool.follow(chain, |why| {
            warn!("the pool of transactions cannot follow the chain: {why}");
        });
        let path = data_dir.join(JOURNAL_FILE_NAME);
        match pool.open_journal(&path, crate::unix_time()) {
            Ok(report) if report != Default::default() => {
                info!(?report, "the journal of transactions was read");
            }
            Ok(_) => {}
            Err(error) => {
                let path = path.display();
                warn!("our own transactions will not survive a restart: {path}: {error}");
            }
        }
        let upkeep = tokio::spawn(keep(Arc::clone(&pool)));
        Ok(Self { pool, _follows: follows, upkeep })
    }

    /// The pool.
    pub(crate) const fn pool(&self) -> &Arc<Mempool> {
        &self.pool
    }

    /// The pool as the network sees it.
    pub(crate) fn network(&self) -> Arc<dyn TransactionPool> {
        Arc::new(NetworkPool::new(Arc::clone(self.pool()), Arc::new(crate::unix_time)))
    }
}

async fn keep(pool: Arc<Mempool>) {
    let mut told = None;
    loop {
        tokio::time::sleep(MAINTENANCE_PERIOD).await;
        let this = Arc::clone(&pool);
        let maintain = move || {
            this.maintain(crate::unix_time());
            this.journal_error()
        };
        let Ok(error) = tokio::task::spawn_blocking(maintain).await else { return };
        if let Some(error) = &error
            && told.as_ref() != Some(error)
        {
            warn!("our own transactions will not survive a restart: {error}");
        }
        told = error;
    }
}
