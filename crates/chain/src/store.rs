//! The tables on disk, in one file of redb. Nothing here knows the rules of a chain.
//!
//! | table | key | value |
//! |---|---|---|
//! | `index` | block hash | number, and total difficulty up to this block |
//! | `headers` | number, block hash | RLP of the header |
//! | `bodies` | number, block hash | RLP of the body |
//! | `canonical` | number | hash of the canonical block |
//! | `clique` | block hash | [`Snapshot`](crate::clique::Snapshot) behind that block |
//! | `meta` | name | schema version, genesis, head |
//! | `receipts` | number, block hash | RLP list of the receipts, as in `Receipts` messages of eth/68 |
//! | `transactions` | transaction hash | number of its canonical block, and its place in it |
//! | `states` | number, block hash | place of the root of the state behind the block |
//! | `nodes` | number of a chunk | nodes of the tries of the states (`state/node.rs`) |
//! | `codes` | code hash | code |
//!
//! Blocks are kept whether they are canonical or not, so that a reorganisation rewrites `canonical`,
//! `transactions` and `meta` only. Headers and bodies are in the order of their numbers: what is written, served
//! and exported together lies together.

mod error;
mod reader;
mod state;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use alloy_primitives::U256;
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition, WriteTransaction};

pub use error::{Damage, StoreError};
pub(crate) use reader::Reader;
pub use state::{Snapshot, StateTables};
pub(crate) use tables::Tables;

/// Name of the database file in a data directory.
pub const DATABASE_FILE_NAME: &str = "chain.redb";

/// Version of the layout above. A store of another version is refused.
pub(crate) const SCHEMA_VERSION: u64 = 2;

/// Memory for pages of the database, bytes: the blocks that peers ask for are mostly the last
/// ones, and the file itself is cached by the system.
const CACHE_BYTES: usize = 64 << 20;

type Hash = [u8; 32];
/// Number and hash of a block.
type BlockKey = (u64, Hash);

const INDEX: TableDefinition<'_, Hash, (u64, Hash)> = TableDefinition::new("index");
const HEADERS: TableDefinition<'_, BlockKey, &[u8]> = TableDefinition::new("headers");
const BODIES: TableDefinition<'_, BlockKey, &[u8]> = TableDefinition::new("bodies");
const CANONICAL: TableDefinition<'_, u64, Hash> = TableDefinition::new("canonical");
const CLIQUE: TableDefinition<'_, Hash, &[u8]> = TableDefinition::new("clique");
const RECEIPTS: TableDefinition<'_, BlockKey, &[u8]> = TableDefinition::new("receipts");
const TRANSACTIONS: TableDefinition<'_, Hash, (u64, u32)> = TableDefinition::new("transactions");
const STATES: TableDefinition<'_, BlockKey, u64> = TableDefinition::new("states");
const NODES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("nodes");
const CODES: TableDefinition<'_, Hash, &[u8]> = TableDefinition::new("codes");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const META_SCHEMA: &str = "schema";
const META_GENESIS: &str = "genesis.json";
const META_GENESIS_HASH: &str = "genesis";
const META_HEAD: &str = "head";

/// An open store. When a write fails (disk full), redb refuses to go on with the file: it is then
/// opened anew, as often as somebody asks, until that succeeds.
#[derive(Debug)]
pub(crate) struct Store {
    /// `None` while it could not be opened again.
    database: RwLock<Option<Database>>,
    /// A transaction has failed: it is to be seen whether the file has been given up.
    suspect: AtomicBool,
    path: PathBuf,
}

impl Store {
    /// Opens the store in a directory; makes it when `create` and there is none.
    pub(crate) fn open(dir: &Path, create: bool, check: bool) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE_FILE_NAME);
        if !create && !path.exists() {
            return Err(StoreError::Missing { path });
        }
        fs::create_dir_all(dir).map_err(|error| StoreError::Open {
            path: path.clone(),
            source: Box::new(redb::Error::Io(error)),
        })?;
        if create && !path.exists() {
            Self::make(dir, &path)?;
        }
        let database = RwLock::new(Some(open_file(&path, check)?));
        Ok(Self { database, suspect: AtomicBool::new(false), path })
    }

    /// Makes an empty database beside its place and moves it there when it is whole: redb writes its
    /// first pages one after the other, and a process that is killed in between left a file that
    /// nobody could open.
    fn make(dir: &Path, path: &Path) -> Result<(), StoreError> {
        let new = path.with_extension("redb.new");
        let failed =
            |source: redb::Error| StoreError::Open { path: new.clone(), source: Box::new(source) };
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(redb::Error::Io(error)));
            }
            _ => {}
        }
        drop(Database::create(&new).map_err(|error| failed(error.into()))?);
        fs::rename(&new, path)
            .and_then(|()| fs::File::open(dir)?.sync_all())
            .map_err(|error| failed(redb::Error::Io(error)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read(&self) -> Result<Reader, StoreError> {
        self.begin(Database::begin_read).map(Reader)
    }

    /// Starts a transaction; there is one at a time, a second one waits.
    pub(crate) fn write(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.begin(Database::begin_write)?;
        // A node that was killed is back at once, however long its chain is.
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    /// A transaction has failed. What comes next looks whether the file has to be opened again.
    pub(crate) fn suspect(&self) {
        self.suspect.store(true, Ordering::Release);
    }

    fn begin<T>(
        &self,
        begin: impl Fn(&Database) -> Result<T, redb::TransactionError>,
    ) -> Result<T, StoreError> {
        if self.suspect.load(Ordering::Acquire) {
            self.reopen()?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let missing = || StoreError::Missing { path: self.path.clone() };
        Ok(begin(database.as_ref().ok_or_else(missing)?)?)
    }

    /// Opens the file again if redb has given it up.
    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.as_ref().is_none_or(|database| is_given_up(&database.begin_write())) {
            // Two of one file are not allowed: the old one has to go first.
            *database = None;
            *database = Some(open_file(&self.path, false)?);
        }
        self.suspect.store(false, Ordering::Release);
        Ok(())
    }
}

/// Whether redb refuses to go on with this file since a write has failed.
const fn is_given_up<T>(begun: &Result<T, redb::TransactionError>) -> bool {
    matches!(begun, Err(redb::TransactionError::Storage(redb::StorageError::PreviousIo)))
}

fn open_file(path: &Path, check: bool) -> Result<Database, StoreError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check);
    builder.create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        DatabaseError::Storage(redb::StorageError::Corrupted(_)) => {
            StoreError::Damaged { path: path.into(), what: Damage::Structure }
        }
        other => StoreError::Open { path: path.into(), source: Box::new(other.into()) },
    })
}

fn index_entry((number, difficulty): (u64, Hash)) -> (u64, U256) {
    (number, U256::from_be_bytes(difficulty))
}
