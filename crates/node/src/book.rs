//! The address book on disk: `peers.redb` in the data directory.
//!
//! It is disposable: one that cannot be read is set aside and begun anew, and a node without one finds
//! its peers as it did the first time. So nothing here makes a node fail.

use core::time::Duration;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainmesh_identity::PeerId;
use chainmesh_net::{P2pHandle, entropy};
use chainmesh_proto::peers::book::{AddressBook, Changes, Loaded, RecordError};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::node::AbortOnDrop;

/// Name of the file in a data directory.
pub(crate) const BOOK_FILE_NAME: &str = "peers.redb";

/// How often what changed is written.
const SAVE_PERIOD: Duration = Duration::from_secs(10);
/// Longest file that is read: a full book has a tenth of it.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Records that are read at most; a book has room for 6,144.
const MAX_RECORDS: usize = 16_384;
/// Memory for pages, bytes.
const CACHE_BYTES: usize = 1 << 20;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const HEAD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("head");
const HEAD_KEY: &str = "head";

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
enum BookFileError {
    #[error(transparent)]
    Redb(#[from] redb::Error),
    #[error("{0}")]
    Head(RecordError),
    #[error("its checksums are wrong")]
    Checksums,
    #[error("it has {0} bytes, more than any address book")]
    TooLong(u64),
    #[error("its pages contradict each other")]
    Pages,
}

/// The book of a running node: written at intervals, and at the end.
#[derive(Debug)]
pub(crate) struct BookKeeper {
    store: Arc<Mutex<Store>>,
    net: P2pHandle,
    task: AbortOnDrop,
}

#[derive(Debug)]
pub(crate) struct Store {
    database: Arc<Database>,
    /// What could not be written, and goes with the next.
    pending: Pending,
}

/// Changes one upon the other.
#[derive(Debug, Default)]
struct Pending {
    head: Option<Vec<u8>>,
    all: bool,
    records: BTreeMap<PeerId, Option<Vec<u8>>>,
}

impl Pending {
    fn add(&mut self, changes: Changes) {
        self.head = changes.head.or(self.head.take());
        if changes.all {
            self.all = true;
            self.records.clear();
        }
        self.records.extend(changes.records);
    }

    fn is_empty(&self) -> bool {
        self.head.is_none() && !self.all && self.records.is_empty()
    }
}

/// Opens the book in a directory, or begins one. Without a store nothing is kept.
///
/// Reads the disk.
pub(crate) fn open(dir: &Path, local_id: PeerId) -> (Option<Store>, AddressBook) {
    let path = dir.join(BOOK_FILE_NAME);
    if path.exists() {
        match guarded(|| read(&path, local_id)) {
            Ok((database, Some(loaded))) => {
                if let Some(first) = loaded.first {
                    let left_out = loaded.damaged;
                    warn!(left_out, "records of the address book are left out: {first}");
                }
                info!(nodes = loaded.book.len(), "address book read");
                return (Some(Store::new(database)), loaded.book);
            }
            // Made, and not yet written.
            Ok((database, None)) => {
                return (Some(Store::new(database)), AddressBook::new(local_id, entropy()));
            }
            Err(BookFileError::Redb(redb::Error::DatabaseAlreadyOpen)) => {
                warn!(path = %path.display(), "the address book is in use; this run keeps none");
                return (None, AddressBook::new(local_id, entropy()));
            }
            Err(why) => set_aside(&path, &why),
        }
    }
    let made = guarded(|| Ok(create(&path)?));
    let made = made.inspect_err(|why| {
        warn!(path = %path.display(), "the address book is not kept: {why}");
    });
    (made.ok().map(Store::new), AddressBook::new(local_id, entropy()))
}

/// A damaged file can make redb panic; this file is not worth it.
fn guarded<T>(work: impl FnOnce() -> Result<T, BookFileError>) -> Result<T, BookFileError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(BookFileError::Pages))
}

fn set_aside(path: &Path, why: &BookFileError) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".damaged-{}", crate::unix_time()));
    let aside = PathBuf::from(aside);
    match std::fs::rename(path, &aside) {
        Ok(()) => warn!(
            aside = %aside.display(),
            "the address book is damaged and was set aside, a new one is begun: {why}"
        ),
        Err(error) => warn!(
            path = %path.display(),
            "the address book is damaged ({why}) and cannot be set aside: {error}"
        ),
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn create(path: &Path) -> Result<Database, redb::Error> {
    // Whole before it has its name: a process that is killed in between leaves no half of a file.
    let new = path.with_extension("redb.new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    drop(builder().create(&new)?);
    // It holds the secret by which records have their places: who knows it can aim at them.
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(builder().open(path)?)
}

fn read(path: &Path, local_id: PeerId) -> Result<(Database, Option<Loaded>), BookFileError> {
    let length = path.metadata().map_err(redb::Error::Io)?.len();
    if length > MAX_FILE_BYTES {
        return Err(BookFileError::TooLong(length));
    }
    let mut database = builder().open(path).map_err(redb::Error::from)?;
    if !database.check_integrity().map_err(redb::Error::from)? {
        return Err(BookFileError::Checksums);
    }
    let (head, records) = contents(&database)?;
    let Some(head) = head else { return Ok((database, None)) };
    let records = records.iter().map(Vec::as_slice);
    let loaded = AddressBook::load(local_id, entropy(), crate::unix_time(), &head, records);
    Ok((database, Some(loaded.map_err(BookFileError::Head)?)))
}

type Contents = (Option<Vec<u8>>, Vec<Vec<u8>>);

fn contents(database: &Database) -> Result<Contents, redb::Error> {
    let transaction = database.begin_read()?;
    let head = match transaction.open_table(HEAD) {
        Ok(table) => table.get(HEAD_KEY)?.map(|bytes| bytes.value().to_vec()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let mut records = Vec::new();
    match transaction.open_table(RECORDS) {
        Ok(table) => {
            for entry in table.iter()?.take(MAX_RECORDS) {
                records.push(entry?.1.value().to_vec());
            }
        }
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok((head, records))
}

fn write(database: &Database, pending: &Pending) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    if pending.all {
        transaction.delete_table(RECORDS)?;
    }
    {
        let mut table = transaction.open_table(RECORDS)?;
        for (id, bytes) in &pending.records {
            let key = id.as_bytes().as_slice();
            match bytes {
                Some(bytes) => table.insert(key, bytes.as_slice()).map(drop)?,
                None => table.remove(key).map(drop)?,
            }
        }
        let mut table = transaction.open_table(HEAD)?;
        if let Some(head) = &pending.head {
            table.insert(HEAD_KEY, head.as_slice())?;
        }
    }
    Ok(transaction.commit()?)
}

impl Store {
    fn new(database: Database) -> Self {
        Self { database: Arc::new(database), pending: Pending::default() }
    }

    /// Writes what is pending; what cannot be written stays so.
    async fn save(&mut self, changes: Changes) {
        self.pending.add(changes);
        if self.pending.is_empty() {
            return;
        }
        let (database, pending) = (Arc::clone(&self.database), core::mem::take(&mut self.pending));
        let written = tokio::task::spawn_blocking(move || {
            let result = guarded(|| Ok(write(&database, &pending)?));
            (pending, result)
        });
        if let Ok((pending, Err(why))) = written.await {
            warn!("the address book was not written, and is tried again: {why}");
            self.pending = pending;
        }
    }
}

impl BookKeeper {
    /// Begins to write the book of a node.
    pub(crate) fn start(store: Store, net: P2pHandle) -> Self {
        let store = Arc::new(Mutex::new(store));
        let task = AbortOnDrop(tokio::spawn({
            let (store, net) = (Arc::clone(&store), net.clone());
            async move {
                loop {
                    tokio::time::sleep(SAVE_PERIOD).await;
                    let mut store = store.lock().await;
                    let Ok(changes) = net.take_book_changes().await else { return };
                    store.save(changes).await;
                }
            }
        }));
        Self { store, net, task }
    }

    /// Writes the book a last time: before the node says goodbye to its peers, who will be dialled
    /// first the next time.
    pub(crate) async fn stop(self) {
        let mut store = self.store.lock().await;
        drop(self.task);
        if let Ok(changes) = self.net.take_book_changes().await {
            store.save(changes).await;
        }
    }
}

#[cfg(test)]
mod tests;
