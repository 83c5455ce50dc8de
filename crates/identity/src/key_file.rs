//! The file `<datadir>/p2p_key`: 32 bytes of secp256k1 in hex.
//!
//! It is loaded if it is there, else generated and saved so that a crash at any point leaves either
//! no file or a whole one. A damaged file is an error and is never overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{NodeKey, NodeKeyError};

/// Name of the key file in a data directory.
pub const KEY_FILE_NAME: &str = "p2p_key";

/// Longest key file that is looked at, bytes: 64 digits, `0x`, and some white space.
const MAX_KEY_FILE: u64 = 256;

/// What went wrong with the key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file could not be read.
    #[error("cannot read the node key {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot save the node key {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is there, and is no key. It is left as it is.
    #[error(
        "the node key {path} is damaged: {source}; it was left as it is. \
         Restore it from a backup, or move it away to let a new key (and identity) be made"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NodeKeyError,
    },
    /// The file is there already, and a new key was to be made.
    #[error("{path} exists already; it was left as it is")]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the key at `path`; `None` when there is no such file.
///
/// # Errors
/// [`KeyFileError::Read`] and [`KeyFileError::Damaged`].
pub fn load(path: &Path) -> Result<Option<NodeKey>, KeyFileError> {
    let read = |source| KeyFileError::Read { path: path.into(), source };
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(read(error)),
    };
    let damaged = |source| KeyFileError::Damaged { path: path.into(), source };
    if length > MAX_KEY_FILE {
        return Err(damaged(NodeKeyError::Length(usize::try_from(length).unwrap_or(usize::MAX))));
    }
    let bytes = zeroize::Zeroizing::new(fs::read(path).map_err(read)?);
    let text = core::str::from_utf8(&bytes).map_err(|_| damaged(NodeKeyError::NotHex))?;
    NodeKey::from_hex(text).map(Some).map_err(damaged)
}

/// Saves `key` at `path`, readable by the owner only, unless there is a file already. The file
/// appears whole or not at all: it is written beside, synced, and linked into place.
///
/// # Errors
/// [`KeyFileError::Exists`] and [`KeyFileError::Write`].
pub fn create(path: &Path, key: &NodeKey) -> Result<(), KeyFileError> {
    let write = |source| KeyFileError::Write { path: path.into(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(directory).map_err(write)?;
    let beside = directory.join(format!(".{KEY_FILE_NAME}.{}.new", std::process::id()));
    // A leftover of a crashed process with the same number is nobody's key yet.
    let _ = fs::remove_file(&beside);
    let result = write_synced(&beside, key).and_then(|()| fs::hard_link(&beside, path));
    let removed = fs::remove_file(&beside);
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists { path: path.into() });
        }
        other => other.and(removed).map_err(write)?,
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(write)
}

fn write_synced(path: &Path, key: &NodeKey) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(key.to_hex().as_bytes())?;
    file.sync_all()
}

/// The key at `path`, or, when there is none, a new one made of `entropy` and saved there.
///
/// # Errors
/// See [`KeyFileError`]. Two processes that do this at once end with the same key.
pub fn load_or_create(path: &Path, entropy: [u8; 32]) -> Result<NodeKey, KeyFileError> {
    if let Some(key) = load(path)? {
        return Ok(key);
    }
    let key = NodeKey::from_entropy(entropy);
    match create(path, &key) {
        Ok(()) => Ok(key),
        Err(KeyFileError::Exists { .. }) => match load(path)? {
            Some(key) => Ok(key),
            None => Err(KeyFileError::Exists { path: path.into() }),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
