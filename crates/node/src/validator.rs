//! When the next block is made: the timer around [`Producer`].
//!
//! It wakes at each new head and when the time of the next block has come, makes an empty block on
//! the head of that moment, imports it and tells the peers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chainmesh_chain::clique::{CliqueError, DIFFICULTY_NO_TURN};
use chainmesh_chain::producer::ProduceError;
use chainmesh_chain::{Chain, Producer};
use chainmesh_identity::NodeKey;
use chainmesh_net::{P2pHandle, SessionCommand};
use chainmesh_proto::eth::chain::{ChainHead, ChainReader, ChainWriter, ImportError, SyncBlock};
use secp256k1::SecretKey;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

/// How much later than in turn a block out of turn may come, for each of half of the signers and
/// one more (go-ethereum, `consensus/clique`, `wiggleTime`).
const WIGGLE_MILLIS: u64 = 500;

/// Wait before the next try when the store failed.
const RETRY: Duration = Duration::from_secs(5);

/// Why a node cannot be a validator.
#[derive(Debug, thiserror::Error)]
pub enum ValidatorError {
    /// The network has no signers.
    #[error(
        "this network has no clique signers, so there is nothing to seal: leave --validator-key \
         out, or use a genesis with \"clique\" in its config"
    )]
    NotClique,
    /// The key is none that blocks can be sealed with.
    #[error("the validator key cannot seal blocks: {0}")]
    Key(#[from] secp256k1::Error),
}

/// A producer of blocks for the network of this genesis.
///
/// # Errors
/// See [`ValidatorError`].
pub fn producer(chain: &Chain, key: &NodeKey) -> Result<Producer, ValidatorError> {
    if Producer::ready_at(chain.spec(), 0).is_none() {
        return Err(ValidatorError::NotClique);
    }
    let key: SecretKey = key.to_hex().parse()?;
    Ok(Producer::new(key))
}

/// A validator at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Validator(JoinHandle<()>);

impl Drop for Validator {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Validator {
    /// Begins to make blocks, inside the current tokio runtime.
    #[must_use]
    pub fn start(chain: Arc<Chain>, net: P2pHandle, producer: Producer) -> Self {
        let signer = producer.signer();
        match chain.clique_snapshot(&chain.head().hash) {
            Ok(Some(snapshot)) if !snapshot.signers().contains(&signer) => {
                warn!(%signer, "this key is no signer of this network: it will make no blocks");
            }
            _ => info!(%signer, "sealing blocks"),
        }
        Self(tokio::spawn(seal_blocks(chain, net, Arc::new(producer))))
    }
}

async fn seal_blocks(chain: Arc<Chain>, net: P2pHandle, producer: Arc<Producer>) {
    let moved = Arc::new(Notify::new());
    let _subscription = chain.subscribe({
        let moved = Arc::clone(&moved);
        move |_| moved.notify_one()
    });
    loop {
        let head = chain.head();
        let Some(at) = Producer::ready_at(chain.spec(), head.timestamp) else { return };
        tokio::select! {
            () = sleep_until(at) => {}
            () = moved.notified() => continue,
        }
        let block = match make(&chain, &producer).await {
            Ok(block) => block,
            Err(ProduceError::TooEarly { .. }) => continue,
            Err(ProduceError::Store(why)) => {
                error!("no block was made: {why}");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Err(why) => {
                match why {
                    ProduceError::Clique(CliqueError::SignedRecently { .. }) => {}
                    why => warn!("no block was made: {why}"),
                }
                moved.notified().await;
                continue;
            }
        };
        if block.header.difficulty == DIFFICULTY_NO_TURN {
            tokio::select! {
                () = tokio::time::sleep(wiggle(&chain, head)) => {}
                () = moved.notified() => continue,
            }
        }
        if import(&chain, block, &net).await.is_err() {
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn make(chain: &Arc<Chain>, producer: &Arc<Producer>) -> Result<SyncBlock, ProduceError> {
    let (chain, producer) = (Arc::clone(chain), Arc::clone(producer));
    let made = tokio::task::spawn_blocking(move || producer.next_on(&chain, crate::unix_time()));
    match made.await {
        Ok(made) => made,
        // The runtime is being shut down: this task is about to be dropped.
        Err(_) => core::future::pending().await,
    }
}

async fn import(chain: &Arc<Chain>, block: SyncBlock, net: &P2pHandle) -> Result<(), ImportError> {
    let (hash, number) = (block.hash, block.header.number);
    let chain = Arc::clone(chain);
    let imported = tokio::task::spawn_blocking(move || chain.import(&[block])).await;
    match imported {
        Ok(Ok(_)) => {
            info!(number, %hash, "sealed a block");
            // An error means that the network has ended, and so does this task.
            let _ = net.cmd_tx.send(SessionCommand::BroadcastBlock { hash, number }).await;
            Ok(())
        }
        Ok(Err(why)) => {
            error!(number, "the sealed block was not stored: {why}");
            Err(why)
        }
        Err(_) => core::future::pending().await,
    }
}

/// A random delay, so that the signers out of turn do not all seal at once.
fn wiggle(chain: &Chain, head: ChainHead) -> Duration {
    let signers = match chain.clique_snapshot(&head.hash) {
        Ok(Some(snapshot)) => snapshot.signers().len() as u64,
        _ => 1,
    };
    let [first, second, ..] = chainmesh_net::entropy();
    let random = u64::from(u16::from_le_bytes([first, second]));
    Duration::from_millis((signers / 2 + 1) * WIGGLE_MILLIS * random / u64::from(u16::MAX))
}

/// Waits until the wall clock shows this second. It is looked at again at least each second: the
/// clock may be set while we wait.
async fn sleep_until(at: u64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at.min(u64::from(u32::MAX)));
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}
