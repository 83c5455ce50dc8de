//! [`Chain`]: the blocks on disk, and which of them are canonical.

mod ahead;
mod announced;
mod content;
mod future;
mod import;
mod made;
mod run;
mod snapshots;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::SystemTime;

use alloy_consensus::Header;
use alloy_eip2124::ForkFilter;
use alloy_genesis::Genesis;
use alloy_primitives::{B256, U256};
use alloy_rlp::Decodable;
use bytes::Bytes;
use chainmesh_proto::eth::chain::{
    ChainHead, ChainReader, ChainWriter, ImportError, StorageError, SyncBlock,
};

use crate::clique::Snapshot;
use crate::execute::KnownSenders;
use crate::genesis::SpecError;
use crate::heads::{Heads, NewHead, Subscription};
use crate::state::cache::Shared;
use crate::store::{Damage, Reader, SCHEMA_VERSION, Store, StoreError, Tables};
use crate::{ChainSpec, block, forks, state};
use future::FutureBlocks;
use import::import_error;
use made::MadeBlock;
use snapshots::SnapshotCache;

pub use content::TransactionPlace;

/// How far behind the head a side chain may begin or go on (go-ethereum, `FullImmutabilityThreshold`).
pub const MAX_SIDE_CHAIN_DEPTH: u64 = 90_000;

/// Why a chain could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The genesis makes no chain.
    #[error("the genesis makes no chain: {0}")]
    Spec(#[from] SpecError),
    /// The directory holds the chain of another network.
    #[error(
        "the block store {} is of another network: its genesis block is {stored}, the one asked \
         for is {wanted}",
        path.display()
    )]
    OtherGenesis {
        /// The database file.
        path: PathBuf,
        /// Genesis hash of the store.
        stored: B256,
        /// Genesis hash of the network that was asked for.
        wanted: B256,
    },
    /// The genesis in the store cannot be read.
    #[error("the genesis in the block store {} is damaged: {source}", path.display())]
    StoredGenesis {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The choices that opening a chain leaves.
#[derive(Clone)]
pub struct ChainOptions {
    /// Our clock, seconds since 1970: blocks too far ahead of it are refused.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Whether the checksums of the whole file are checked at the start. It takes about a second
    /// for each GiB; without it, a file that was altered from outside is noticed later or never.
    pub check_integrity: bool,
    /// How many blocks behind the head a block may still be taken; [`MAX_SIDE_CHAIN_DEPTH`].
    pub max_side_chain_depth: u64,
}

impl Default for ChainOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(system_clock),
            check_integrity: true,
            max_side_chain_depth: MAX_SIDE_CHAIN_DEPTH,
        }
    }
}

impl core::fmt::Debug for ChainOptions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ChainOptions")
            .field("check_integrity", &self.check_integrity)
            .field("max_side_chain_depth", &self.max_side_chain_depth)
            .finish_non_exhaustive()
    }
}

fn system_clock() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// The chain of one network, on disk. Share it in an [`Arc`]; all methods take `&self`, and only
/// [`ChainReader::head`] and what says so do without the disk.
///
/// Which block is the head: the one with the greatest total difficulty. Among those with the same:
///
/// * proof of stake: the one with the greatest number, and among these the one that came first;
/// * clique: the one with the smallest number, which more signers have sealed in turn, as in
///   go-ethereum; and among these the one with the smallest hash. There go-ethereum tosses a coin,
///   its own blocks not preferred, lest two halves of the signers hold on to two branches for ever.
///   The hash does the same for that, and all nodes come to the same head at once
///   (EIP-3436 ends with the hash, too);
/// * otherwise the one that came first.
pub struct Chain {
    spec: ChainSpec,
    store: Store,
    head: RwLock<ChainHead>,
    /// What the states of this store share.
    states: Arc<Shared>,
    /// Held while a batch is imported and its new head is told.
    writer: Mutex<SnapshotCache>,
    /// Blocks whose time has not come. Locked behind `writer`.
    future: Mutex<FutureBlocks>,
    /// The block that was made here last.
    made: Mutex<Option<MadeBlock>>,
    /// Who may know the senders of transactions.
    known: RwLock<Option<Weak<dyn KnownSenders>>>,
    heads: Heads,
    options: ChainOptions,
}

impl core::fmt::Debug for Chain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Chain")
            .field("path", &self.store.path())
            .field("genesis", &self.spec.genesis_hash())
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

impl Chain {
    /// Opens the chain of a network in a data directory; makes it when there is none.
    ///
    /// The caller holds the [`DataDirLock`](crate::DataDirLock) of the directory.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn open(data_dir: &Path, genesis: Genesis) -> Result<Self, ChainError> {
        Self::open_with(data_dir, ChainSpec::new(genesis)?, ChainOptions::default())
    }

    /// [`Chain::open`] with other choices.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn open_with(
        data_dir: &Path,
        spec: ChainSpec,
        options: ChainOptions,
    ) -> Result<Self, ChainError> {
        let store = Store::open(data_dir, true, options.check_integrity)?;
        let path = store.path().to_path_buf();
        let at = |error| located(&path, error);
        let fresh = store.read().and_then(|reader| reader.is_empty()).map_err(at)?;
        if !fresh {
            let reader = store.read().map_err(at)?;
            check_schema(&reader, &path)?;
            let (stored, wanted) = (reader.genesis_hash().map_err(at)?, spec.genesis_hash());
            if stored != wanted {
                return Err(ChainError::OtherGenesis { path, stored, wanted });
            }
        }
        begin(&store, &spec, fresh).map_err(at)?;
        Self::with_store(store, spec, options)
    }

    /// Opens the chain that is in a data directory, whichever it is.
    ///
    /// # Errors
    /// See [`ChainError`]; [`StoreError::Missing`] when there is none.
    pub fn open_existing(data_dir: &Path, options: ChainOptions) -> Result<Self, ChainError> {
        let store = Store::open(data_dir, false, options.check_integrity)?;
        let path = store.path().to_path_buf();
        let at = |error| located(&path, error);
        let reader = store.read().map_err(at)?;
        if reader.is_empty().map_err(at)? {
            return Err(StoreError::Missing { path }.into());
        }
        check_schema(&reader, &path)?;
        let json = reader.genesis_json().map_err(at)?;
        let genesis = serde_json::from_slice(&json)
            .map_err(|source| ChainError::StoredGenesis { path: path.clone(), source })?;
        let spec = ChainSpec::new(genesis)?;
        let (stored, wanted) = (reader.genesis_hash().map_err(at)?, spec.genesis_hash());
        if stored != wanted {
            return Err(ChainError::OtherGenesis { path, stored, wanted });
        }
        drop(reader);
        Self::with_store(store, spec, options)
    }

    fn with_store(
        store: Store,
        spec: ChainSpec,
        options: ChainOptions,
    ) -> Result<Self, ChainError> {
        let path = store.path().to_path_buf();
        let at = |error| located(&path, error);
        let head = load_head(&store).map_err(at)?;
        let last_chunk = store.read().and_then(|reader| reader.last_chunk()).map_err(at)?;
        Ok(Self {
            spec,
            store,
            head: RwLock::new(head),
            states: Arc::new(Shared::new(last_chunk)),
            writer: Mutex::default(),
            future: Mutex::default(),
            made: Mutex::default(),
            known: RwLock::default(),
            heads: Heads::default(),
            options,
        })
    }

    /// Genesis and rules of the network.
    #[must_use]
    pub const fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// The filter for the fork ids of peers, at the head of now. From memory.
    #[must_use]
    pub fn fork_filter(&self) -> ForkFilter {
        let head = self.head();
        forks::fork_filter(&self.spec, head.number, head.timestamp)
    }

    /// Calls `callback` at each new head, on the thread that imports, in order, as soon as the
    /// head is on disk. The callback may read the chain, and must not import.
    pub fn subscribe(&self, callback: impl Fn(&NewHead) + Send + Sync + 'static) -> Subscription {
        self.heads.subscribe(Arc::new(callback))
    }

    /// A known header, canonical or not.
    ///
    /// # Errors
    /// When the store fails.
    pub fn header(&self, hash: &B256) -> Result<Option<Header>, StoreError> {
        let reader = self.store.read()?;
        let Some((number, _)) = reader.index(hash)? else { return Ok(None) };
        let damaged = StoreError::Inconsistent(Damage::Block(*hash));
        let Some(rlp) = reader.header(number, hash)? else { return Err(damaged) };
        decode_header(&rlp, hash).map(Some)
    }

    /// The sum of the difficulties of a known block and all before it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn total_difficulty(&self, hash: &B256) -> Result<Option<U256>, StoreError> {
        Ok(self.store.read()?.index(hash)?.map(|(_, total)| total))
    }

    /// Who may seal the child of a known block of a clique network; `None` on other networks and
    /// for unknown blocks.
    ///
    /// # Errors
    /// When the store fails.
    pub fn clique_snapshot(&self, hash: &B256) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let crate::Consensus::Clique { epoch, .. } = self.spec.consensus() else {
            return Ok(None);
        };
        let reader = self.store.read()?;
        match reader.index(hash)? {
            Some(_) => self.lock().behind(&reader, epoch, *hash).map(Some),
            None => Ok(None),
        }
    }

    /// What our clock says, seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        (self.options.clock)()
    }

    fn lock(&self) -> MutexGuard<'_, SnapshotCache> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            // Whoever panicked left its transaction unfinished; the cache is only a cache.
            let mut cache = poisoned.into_inner();
            *cache = SnapshotCache::default();
            cache
        })
    }

    fn read<T>(
        &self,
        what: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Result<T, StorageError> {
        Ok(what(&self.store.read()?)?)
    }
}

impl ChainReader for Chain {
    fn genesis_hash(&self) -> B256 {
        self.spec.genesis_hash()
    }

    fn head(&self) -> ChainHead {
        *self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn canonical_hash(&self, number: u64) -> Result<Option<B256>, StorageError> {
        self.read(|reader| reader.canonical(number))
    }

    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StorageError> {
        self.read(|reader| Ok(reader.index(hash)?.map(|(number, _)| number)))
    }

    fn header_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        self.read(|reader| match reader.index(hash)? {
            Some((number, _)) => reader.header(number, hash),
            None => Ok(None),
        })
    }

    fn body_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        self.read(|reader| match reader.index(hash)? {
            Some((number, _)) => reader.body(number, hash),
            None => Ok(None),
        })
    }

    fn receipts_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        Ok(self.stored_receipts(hash)?)
    }
}

impl ChainWriter for Chain {
    fn import(&self, blocks: &[SyncBlock]) -> Result<ChainHead, ImportError> {
        self.import_batch(blocks)
    }

    fn check_header(&self, header: &Header, hash: &B256) -> Result<Option<U256>, ImportError> {
        self.check_announced(header, hash).map_err(|why| import_error(header, *hash, why))
    }
}

/// Writes the genesis block into a new store, and its configuration into any: forks may have been
/// scheduled since.
fn begin(store: &Store, spec: &ChainSpec, fresh: bool) -> Result<(), StoreError> {
    let genesis = spec.genesis();
    let json = serde_json::to_vec(genesis)
        .map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
    if !fresh && store.read()?.genesis_json()? == json {
        return Ok(());
    }
    let transaction = store.write()?;
    {
        let mut tables = Tables::open(&transaction)?;
        let (header, hash) = (spec.genesis_header(), spec.genesis_hash());
        tables.set_genesis(hash, &json)?;
        if fresh {
            let body = match header.withdrawals_root {
                Some(_) => block::EMPTY_BODY_WITH_WITHDRAWALS_RLP,
                None => block::EMPTY_BODY_RLP,
            };
            let rlp = spec.genesis_header_rlp();
            tables.put_block((0, hash), rlp, body, header.difficulty)?;
            tables.put_receipts((0, hash), &[alloy_rlp::EMPTY_LIST_CODE])?;
            let root = state::genesis::write(&mut tables, &Arc::new(Shared::new(0)), genesis)?;
            if root.hash != header.state_root {
                return Err(StoreError::Inconsistent(Damage::State(hash)));
            }
            tables.put_state((0, hash), root.place.raw())?;
            tables.set_canonical(0, hash)?;
            tables.set_head(hash)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn check_schema(reader: &Reader, path: &Path) -> Result<(), StoreError> {
    match reader.schema().map_err(|error| located(path, error))? {
        SCHEMA_VERSION => Ok(()),
        found => Err(StoreError::Schema { path: path.into(), found }),
    }
}

fn load_head(store: &Store) -> Result<ChainHead, StoreError> {
    let reader = store.read()?;
    let hash = reader.head()?;
    let damaged = || StoreError::Inconsistent(Damage::Block(hash));
    let (number, total_difficulty) = reader.index(&hash)?.ok_or_else(damaged)?;
    let header = decode_header(&reader.header(number, &hash)?.ok_or_else(damaged)?, &hash)?;
    if reader.canonical(number)? != Some(hash) {
        return Err(StoreError::Inconsistent(Damage::Canonical(number)));
    }
    Ok(ChainHead { number, hash, timestamp: header.timestamp, total_difficulty })
}

fn decode_header(mut rlp: &[u8], hash: &B256) -> Result<Header, StoreError> {
    Header::decode(&mut rlp).map_err(|_| StoreError::Inconsistent(Damage::Block(*hash)))
}

/// Says which file it is that is damaged.
fn located(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Inconsistent(what) => StoreError::Damaged { path: path.into(), what },
        other => other,
    }
}
