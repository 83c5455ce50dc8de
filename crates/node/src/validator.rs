//! When the next block is made: the timer around [`Producer`].
//!
//! It wakes at each new head and when the time of the next block has come, makes a block on the
//! head of that moment, imports it and tells the peers. A block whose parent is the head no longer
//! when it is ready is given up. What the validator is doing can be read from its
//! [`CliqueHandle`], and is logged when it becomes something else.

mod retry;
mod time;

use std::sync::Arc;
use std::time::Duration;

use chainmesh_chain::clique::{CliqueError, CliqueHandle, DIFFICULTY_NO_TURN, ValidatorState};
use chainmesh_chain::producer::{PayloadBuilder, ProduceError};
use chainmesh_chain::{Chain, Producer, Subscription};
use chainmesh_identity::NodeKey;
use chainmesh_net::{P2pHandle, SessionCommand};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, ImportError, SyncBlock};
use chainmesh_proto::eth::sync::SyncState;
use secp256k1::SecretKey;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use retry::Trouble;

/// How much later than in turn a block out of turn may come, for each of half of the signers and
/// one more (go-ethereum, `consensus/clique`, `wiggleTime`).
const WIGGLE_MILLIS: u64 = 500;

/// Wait before the next try when the store failed, or a block could not be filled.
const RETRY: Duration = Duration::from_secs(5);

/// A node that has just started seals nothing while it fetches the blocks that it has missed; when
/// there was no new one for so long, it does.
const SYNC_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked at whether they are there.
const SYNC_LOOK: Duration = Duration::from_millis(200);

/// How long it is waited for peers to tell what there is to fetch.
const SYNC_BEGIN: Duration = Duration::from_secs(1);

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

/// The key that seals blocks, and what is said in them.
#[derive(Debug)]
pub struct ValidatorOptions {
    /// The key of the signer.
    pub key: NodeKey,
    /// What each block says in front of its extra data, 32 bytes at most; `chainmesh` by default.
    pub vanity: Option<String>,
    /// The gas limit that blocks move towards; that of the parent by default.
    pub gas_limit: Option<u64>,
}

impl ValidatorOptions {
    /// A validator with this key, and the defaults.
    #[must_use]
    pub const fn new(key: NodeKey) -> Self {
        Self { key, vanity: None, gas_limit: None }
    }
}

/// A producer of blocks for the network of this handle, which votes as the handle says.
///
/// # Errors
/// See [`ValidatorError`].
pub fn producer(
    options: &ValidatorOptions,
    handle: &CliqueHandle,
) -> Result<Producer, ValidatorError> {
    let key: SecretKey = options.key.to_hex().parse()?;
    let producer = Producer::new(key)
        .with_gas_limit(options.gas_limit)
        .with_proposals(handle.shared_proposals().clone());
    Ok(match &options.vanity {
        Some(text) => producer.with_vanity(text.as_bytes()),
        None => producer,
    })
}

/// A validator at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Validator {
    task: JoinHandle<()>,
    handle: CliqueHandle,
    transactions: Arc<Notify>,
}

impl Drop for Validator {
    fn drop(&mut self) {
        self.task.abort();
        self.handle.set_validator_state(ValidatorState::Off);
    }
}

impl Validator {
    /// Begins to make blocks, inside the current tokio runtime.
    #[must_use]
    pub fn start(
        chain: Arc<Chain>,
        net: P2pHandle,
        producer: Producer,
        builder: Arc<dyn PayloadBuilder>,
        handle: CliqueHandle,
    ) -> Self {
        let signer = producer.signer();
        match handle.signers(None) {
            Ok(signers) if !signers.contains(&signer) => {
                warn!(%signer, "this key is no signer of this network: it seals nothing until it is one");
            }
            _ => info!(%signer, "this node is a validator"),
        }
        let (moved, transactions) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let subscription = chain.subscribe({
            let moved = Arc::clone(&moved);
            move |_| moved.notify_one()
        });
        let work = Work {
            chain,
            net,
            producer: Arc::new(producer),
            builder,
            handle: handle.clone(),
            moved,
            transactions: Arc::clone(&transactions),
            _subscription: subscription,
        };
        Self { task: tokio::spawn(work.run()), handle, transactions }
    }

    /// To be told when there is a new transaction: on a network with period 0 it makes a block
    /// possible.
    #[must_use]
    pub const fn transactions(&self) -> &Arc<Notify> {
        &self.transactions
    }
}

/// What the task of a validator has.
struct Work {
    chain: Arc<Chain>,
    net: P2pHandle,
    producer: Arc<Producer>,
    builder: Arc<dyn PayloadBuilder>,
    handle: CliqueHandle,
    /// The head is another one.
    moved: Arc<Notify>,
    transactions: Arc<Notify>,
    _subscription: Subscription,
}

impl Work {
    async fn run(self) {
        self.wait_for_missed_blocks().await;
        let mut trouble = Trouble::default();
        loop {
            let Some(turn) = self.turn(&mut trouble).await else {
                tokio::time::sleep(RETRY).await;
                continue;
            };
            match turn {
                ValidatorState::Sealing { at, .. } => {
                    if trouble.is_over() {
                        self.enter(turn);
                    }
                    tokio::select! {
                        () = time::sleep_until(at) => {}
                        () = self.moved.notified() => continue,
                    }
                    self.seal(&mut trouble).await;
                }
                ValidatorState::ClockBehind { at, .. } => {
                    self.enter(turn);
                    tokio::select! {
                        () = time::sleep_until(at) => {}
                        () = self.moved.notified() => {}
                    }
                }
                ValidatorState::Ended => return self.enter(turn),
                _ => {
                    self.enter(turn);
                    self.moved.notified().await;
                }
            }
        }
    }

    /// What there is to do behind the head of now; `None` when the store failed.
    async fn turn(&self, trouble: &mut Trouble) -> Option<ValidatorState> {
        let (handle, signer) = (self.handle.clone(), self.producer.signer());
        let now = crate::unix_time();
        let look = tokio::task::spawn_blocking(move || handle.turn(signer, now));
        match look.await {
            Ok(Ok(turn)) => Some(turn),
            Ok(Err(why)) => {
                self.enter(trouble.store_failed(&why, now));
                None
            }
            // The runtime is being shut down: this task is about to be dropped.
            Err(_) => core::future::pending().await,
        }
    }

    /// Makes one block, and imports it if its parent is still the head when its time has come.
    async fn seal(&self, trouble: &mut Trouble) {
        let now = crate::unix_time();
        let block = match self.make(now).await {
            Ok(block) => block,
            // The head moved, or the clock was set.
            Err(
                ProduceError::TooEarly { .. }
                | ProduceError::Clique(
                    CliqueError::SignedRecently { .. } | CliqueError::Unauthorized { .. },
                ),
            ) => return,
            Err(ProduceError::NoTransactions) => {
                self.enter(ValidatorState::WaitingForTransactions);
                tokio::select! {
                    () = self.transactions.notified() => {}
                    () = self.moved.notified() => {}
                }
                return;
            }
            Err(ProduceError::Store(why)) => {
                self.enter(trouble.store_failed(&why, now));
                return tokio::time::sleep(RETRY).await;
            }
            Err(why) => {
                self.enter(trouble.failed(&why, now));
                return tokio::time::sleep(RETRY).await;
            }
        };
        if block.header.difficulty == DIFFICULTY_NO_TURN {
            tokio::select! {
                () = tokio::time::sleep(self.wiggle()) => {}
                () = self.moved.notified() => return,
            }
        }
        if self.chain.head().hash != block.header.parent_hash {
            let number = block.header.number;
            return debug!(number, "the head moved while a block was made: it is given up");
        }
        match self.import(block).await {
            Ok(()) => trouble.end(),
            Err(why) => {
                self.enter(trouble.store_failed(&why, now));
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn make(&self, now: u64) -> Result<SyncBlock, ProduceError> {
        let (chain, producer) = (Arc::clone(&self.chain), Arc::clone(&self.producer));
        let builder = Arc::clone(&self.builder);
        let make = move || producer.build_on(&chain, &*builder, now);
        match tokio::task::spawn_blocking(make).await {
            Ok(made) => made,
            Err(_) => core::future::pending().await,
        }
    }

    async fn import(&self, block: SyncBlock) -> Result<(), ImportError> {
        let (hash, number) = (block.hash, block.header.number);
        let chain = Arc::clone(&self.chain);
        match tokio::task::spawn_blocking(move || chain.import(&[block])).await {
            Ok(Ok(_)) => {
                info!(number, %hash, "sealed a block");
                // An error means that the network has ended, and so does this task.
                let _ = self.net.cmd_tx.send(SessionCommand::BroadcastBlock { hash, number }).await;
                Ok(())
            }
            Ok(Err(why)) => Err(why),
            Err(_) => core::future::pending().await,
        }
    }

    /// A random delay, so that the signers out of turn do not all seal at once.
    fn wiggle(&self) -> Duration {
        let signers = self.handle.signers(None).map_or(1, |signers| signers.len() as u64);
        let [first, second, ..] = chainmesh_net::entropy();
        let random = u64::from(u16::from_le_bytes([first, second]));
        Duration::from_millis((signers / 2 + 1) * WIGGLE_MILLIS * random / u64::from(u16::MAX))
    }

    /// At the start only, as in go-ethereum: otherwise a peer that pretends to have a longer chain
    /// could stop the validator.
    async fn wait_for_missed_blocks(&self) {
        if self.net.sync_report().is_none() {
            return;
        }
        self.enter(ValidatorState::Synchronising);
        tokio::time::sleep(SYNC_BEGIN).await;
        let (mut seen, mut waited) = (self.chain.head().number, Duration::ZERO);
        let following = |report| matches!(report, Some(SyncState::Following) | None);
        while !following(self.net.sync_report().map(|report| report.state)) {
            if waited >= SYNC_PATIENCE {
                return warn!("no new block for a while: sealing on the chain as it is here");
            }
            tokio::time::sleep(SYNC_LOOK).await;
            let number = self.chain.head().number;
            waited = if number == seen { waited + SYNC_LOOK } else { Duration::ZERO };
            seen = number;
        }
    }

    /// Notes what the validator is doing, and logs it when it is something else than before.
    fn enter(&self, state: ValidatorState) {
        let before = self.handle.set_validator_state(state.clone());
        if core::mem::discriminant(&before) == core::mem::discriminant(&state) {
            return;
        }
        match &state {
            ValidatorState::StoreFailed { .. } | ValidatorState::Failed { .. } => {
                error!(
                    "no blocks are made: {state}; it is tried again every {} s",
                    RETRY.as_secs()
                );
            }
            ValidatorState::NotASigner | ValidatorState::ClockBehind { .. } => {
                warn!("no blocks are made: {state}");
            }
            ValidatorState::SignedRecently { .. } => debug!("{state}"),
            // From turn to turn.
            _ if matches!(before, ValidatorState::SignedRecently { .. }) => debug!("{state}"),
            _ => info!("{state}"),
        }
    }
}
