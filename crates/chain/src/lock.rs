//! One process per data directory: a locked file with the number of the process that holds it.
//!
//! The operating system lets go of the lock when the process ends, however it ends, so that a
//! file that was left behind by a crash locks nobody out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Name of the lock file in a data directory, as go-ethereum's.
pub const LOCK_FILE_NAME: &str = "LOCK";

/// Longest content of a lock file that is looked at: a process id has at most 10 digits.
const MAX_LOCK_FILE: u64 = 32;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process uses the data directory.
    #[error(
        "the data directory {} is in use by {}; stop it, or give this one another --data-dir",
        path.display(),
        process(*pid)
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process, when its number could be read.
        pid: Option<u32>,
    },
    /// The directory or the file in it could not be made or locked.
    #[error("cannot lock the data directory {}: {source}", path.display())]
    Io {
        /// The data directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

/// The right to use a data directory; it ends when this is dropped.
#[derive(Debug)]
pub struct DataDirLock {
    path: PathBuf,
    file: File,
}

impl DataDirLock {
    /// Locks a data directory, which is made if it does not exist. Does not wait.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn acquire(data_dir: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: data_dir.into(), source };
        fs::create_dir_all(data_dir).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(data_dir.join(LOCK_FILE_NAME))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::InUse { path: data_dir.into(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Self { path: data_dir.into(), file })
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        // What fails here is done by the system when the file is closed.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    file.flush()
}

/// The process id in a lock file; the holder may be about to write it.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_LOCK_FILE).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests;
