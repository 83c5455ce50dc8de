//! The tables on disk, in one file of redb. Nothing here knows the rules of a chain.
//!
//! | table | key | value |
//! |---|---|---|
//! | `index` | block hash | number, and total difficulty up to this block |
//! | `headers` | number, block hash | RLP of the header |
//! | `bodies` | number, block hash | RLP of the body |
//! | `canonical` | number | hash of the canonical block |
//! | `clique_snapshots` | block hash | [`Snapshot`](crate::clique::Snapshot) behind that block |
//! | `meta` | name | schema version, genesis, head |
//!
//! Blocks are kept whether they are canonical or not, so that a reorganisation rewrites `canonical`
//! and `meta` only. Headers and bodies are in the order of their numbers: what is written, served
//! and exported together lies together.

use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use chainmesh_proto::eth::chain::StorageError;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction,
};

/// Name of the database file in a data directory.
pub const DATABASE_FILE_NAME: &str = "chain.redb";

/// Version of the layout above. A store of another version is refused.
pub(crate) const SCHEMA_VERSION: u64 = 1;

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
const CLIQUE: TableDefinition<'_, Hash, &[u8]> = TableDefinition::new("clique_snapshots");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const META_SCHEMA: &str = "schema";
const META_GENESIS: &str = "genesis.json";
const META_GENESIS_HASH: &str = "genesis";
const META_HEAD: &str = "head";

/// What is wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("the block store {path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is no store in the directory.
    #[error("there is no block store {path}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened, or is no store.
    #[error("cannot open the block store {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<redb::Error>,
    },
    /// The file was cut or altered from outside.
    #[error(
        "the block store {path} is damaged ({what}); restore it from a backup, or remove it and sync again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: Damage,
    },
    /// The file was written by another version of this program.
    #[error(
        "the block store {path} has layout {found}, this program knows layout {SCHEMA_VERSION}"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: u64,
    },
    /// Reading or writing failed.
    #[error("the block store failed: {0}")]
    Io(#[source] Box<redb::Error>),
    /// Something that must be in the store is not.
    #[error("the block store is damaged ({0})")]
    Inconsistent(Damage),
}

/// What does not fit in a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The file is cut, or its structure does not hold together.
    Structure,
    /// The entry with this name is missing or malformed.
    Meta(&'static str),
    /// A block that others refer to is missing or cannot be decoded.
    Block(B256),
    /// There is no canonical block with this number, below the head.
    Canonical(u64),
}

impl core::fmt::Display for Damage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Structure => f.write_str("its structure does not hold together"),
            Self::Meta(name) => write!(f, "its entry \"{name}\" is missing or malformed"),
            Self::Block(hash) => write!(f, "block {hash} is missing or malformed"),
            Self::Canonical(number) => write!(f, "there is no canonical block {number}"),
        }
    }
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Corrupted(_) => Self::Inconsistent(Damage::Structure),
            other => Self::Io(Box::new(other)),
        }
    }
}

impl From<StoreError> for StorageError {
    fn from(error: StoreError) -> Self {
        Self(Box::new(error))
    }
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
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
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check);
        let database = builder.create(&path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.clone() },
            DatabaseError::Storage(redb::StorageError::Corrupted(_)) => {
                StoreError::Damaged { path: path.clone(), what: Damage::Structure }
            }
            other => StoreError::Open { path: path.clone(), source: Box::new(other.into()) },
        })?;
        Ok(Self { database, path })
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
        Ok(Reader(self.database.begin_read()?))
    }

    /// Starts a transaction; there is one at a time, a second one waits.
    pub(crate) fn write(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.database.begin_write()?;
        // A node that was killed is back at once, however long its chain is.
        transaction.set_quick_repair(true);
        Ok(transaction)
    }
}

/// The state of the store at one moment.
pub(crate) struct Reader(ReadTransaction);

impl Reader {
    /// Whether anything was ever stored.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        match self.0.open_table(META) {
            Ok(meta) => Ok(meta.get(META_SCHEMA)?.is_none()),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(true),
            Err(other) => Err(other.into()),
        }
    }

    fn meta(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.open_table(META)?.get(name)?.map(|value| value.value().to_vec()))
    }

    pub(crate) fn schema(&self) -> Result<u64, StoreError> {
        let bytes = self.meta(META_SCHEMA)?.and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes).ok_or(StoreError::Inconsistent(Damage::Meta(META_SCHEMA)))
    }

    pub(crate) fn genesis_json(&self) -> Result<Vec<u8>, StoreError> {
        let damaged = StoreError::Inconsistent(Damage::Meta(META_GENESIS));
        self.meta(META_GENESIS)?.ok_or(damaged)
    }

    pub(crate) fn genesis_hash(&self) -> Result<B256, StoreError> {
        self.meta_hash(META_GENESIS_HASH)
    }

    pub(crate) fn head(&self) -> Result<B256, StoreError> {
        self.meta_hash(META_HEAD)
    }

    fn meta_hash(&self, name: &'static str) -> Result<B256, StoreError> {
        let damaged = StoreError::Inconsistent(Damage::Meta(name));
        let bytes = self.meta(name)?.ok_or(damaged)?;
        B256::try_from(bytes.as_slice()).map_err(|_| StoreError::Inconsistent(Damage::Meta(name)))
    }

    pub(crate) fn index(&self, hash: &B256) -> Result<Option<(u64, U256)>, StoreError> {
        Ok(self.0.open_table(INDEX)?.get(hash.0)?.map(|entry| index_entry(entry.value())))
    }

    pub(crate) fn canonical(&self, number: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.0.open_table(CANONICAL)?.get(number)?.map(|hash| B256::from(hash.value())))
    }

    pub(crate) fn header(&self, number: u64, hash: &B256) -> Result<Option<Bytes>, StoreError> {
        let found = self.0.open_table(HEADERS)?.get((number, hash.0))?;
        Ok(found.map(|rlp| Bytes::copy_from_slice(rlp.value())))
    }

    pub(crate) fn snapshot(&self, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.open_table(CLIQUE)?.get(hash.0)?.map(|rlp| rlp.value().to_vec()))
    }

    pub(crate) fn body(&self, number: u64, hash: &B256) -> Result<Option<Bytes>, StoreError> {
        let found = self.0.open_table(BODIES)?.get((number, hash.0))?;
        Ok(found.map(|rlp| Bytes::copy_from_slice(rlp.value())))
    }
}

fn index_entry((number, difficulty): (u64, Hash)) -> (u64, U256) {
    (number, U256::from_be_bytes(difficulty))
}

/// The tables of one write transaction, which reads what it has written itself.
pub(crate) struct Tables<'t> {
    index: Table<'t, Hash, (u64, Hash)>,
    headers: Table<'t, BlockKey, &'static [u8]>,
    bodies: Table<'t, BlockKey, &'static [u8]>,
    canonical: Table<'t, u64, Hash>,
    clique: Table<'t, Hash, &'static [u8]>,
    meta: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            index: transaction.open_table(INDEX)?,
            headers: transaction.open_table(HEADERS)?,
            bodies: transaction.open_table(BODIES)?,
            canonical: transaction.open_table(CANONICAL)?,
            clique: transaction.open_table(CLIQUE)?,
            meta: transaction.open_table(META)?,
        })
    }

    pub(crate) fn set_genesis(&mut self, hash: B256, json: &[u8]) -> Result<(), StoreError> {
        self.meta.insert(META_SCHEMA, SCHEMA_VERSION.to_be_bytes().as_slice())?;
        self.meta.insert(META_GENESIS_HASH, hash.as_slice())?;
        self.meta.insert(META_GENESIS, json)?;
        Ok(())
    }

    pub(crate) fn set_head(&mut self, hash: B256) -> Result<(), StoreError> {
        self.meta.insert(META_HEAD, hash.as_slice())?;
        Ok(())
    }

    /// Stores a block; whether it is canonical is another question.
    pub(crate) fn put_block(
        &mut self,
        (number, hash): (u64, B256),
        header_rlp: &[u8],
        body_rlp: &[u8],
        total_difficulty: U256,
    ) -> Result<(), StoreError> {
        self.headers.insert((number, hash.0), header_rlp)?;
        self.bodies.insert((number, hash.0), body_rlp)?;
        self.index.insert(hash.0, (number, total_difficulty.to_be_bytes()))?;
        Ok(())
    }

    pub(crate) fn index(&self, hash: &B256) -> Result<Option<(u64, U256)>, StoreError> {
        Ok(self.index.get(hash.0)?.map(|entry| index_entry(entry.value())))
    }

    pub(crate) fn header(&self, number: u64, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.headers.get((number, hash.0))?.map(|rlp| rlp.value().to_vec()))
    }

    pub(crate) fn canonical(&self, number: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.canonical.get(number)?.map(|hash| B256::from(hash.value())))
    }

    pub(crate) fn set_canonical(&mut self, number: u64, hash: B256) -> Result<(), StoreError> {
        self.canonical.insert(number, hash.0)?;
        Ok(())
    }

    pub(crate) fn clear_canonical(&mut self, number: u64) -> Result<bool, StoreError> {
        Ok(self.canonical.remove(number)?.is_some())
    }

    pub(crate) fn snapshot(&self, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.clique.get(hash.0)?.map(|rlp| rlp.value().to_vec()))
    }

    pub(crate) fn put_snapshot(&mut self, hash: B256, rlp: &[u8]) -> Result<(), StoreError> {
        self.clique.insert(hash.0, rlp)?;
        Ok(())
    }
}
