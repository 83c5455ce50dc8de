//! The file with the transactions of our own users, so that a restart keeps them.
//!
//! It is go-ethereum's `transactions.rlp`: one after the other, a legacy transaction as its list,
//! a typed one as a string around its EIP-2718 form.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use alloy_rlp::{Encodable, Header};
use bytes::Bytes;

use super::config::MAX_TRANSACTION_BYTES;

/// File name of the journal in a data directory, as go-ethereum's.
pub const JOURNAL_FILE_NAME: &str = "transactions.rlp";

/// Longest journal that is read, in bytes; what is behind is not looked at. 1,024 local
/// transactions of the largest size fit, and one that is being written beside them.
pub const MAX_JOURNAL_BYTES: u64 = 256 * 1024 * 1024;

/// How many bytes more than at its last rotation a journal has before it is written anew.
const ROTATE_AFTER: u64 = 4 * 1024 * 1024;

/// What was found in a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalReport {
    /// Transactions that are in the pool again.
    pub taken: usize,
    /// Transactions that the pool does not take any more, because they were mined or for any
    /// other reason.
    pub refused: usize,
    /// The byte from which on the file is damaged; what was before it is used. After a crash this
    /// is the transaction that was being written.
    pub damaged_at: Option<u64>,
}

/// The journal of a running pool.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    rotated_length: u64,
}

impl Journal {
    /// Writes these transactions into a new file beside the old one, puts it in its place, and
    /// keeps it open.
    pub(super) fn rotate(
        path: &Path,
        transactions: impl IntoIterator<Item = Bytes>,
    ) -> io::Result<Self> {
        let new = path.with_extension("rlp.new");
        let mut length = 0;
        {
            let mut writer = BufWriter::new(File::create(&new)?);
            for raw in transactions {
                let encoded = encode(&raw);
                writer.write_all(&encoded)?;
                length += encoded.len() as u64;
            }
            writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        fs::rename(&new, path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { path: path.into(), file, length, rotated_length: length })
    }

    /// Adds one. What was written in part is cut off again.
    pub(super) fn append(&mut self, raw: &Bytes) -> io::Result<()> {
        let encoded = encode(raw);
        if let Err(error) = self.file.write_all(&encoded) {
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += encoded.len() as u64;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has grown enough to be written anew.
    pub(super) const fn is_long(&self) -> bool {
        self.length > self.rotated_length.saturating_mul(2).saturating_add(ROTATE_AFTER)
    }
}

fn encode(raw: &Bytes) -> Vec<u8> {
    if raw.first().is_some_and(|first| *first >= 0xc0) {
        return raw.to_vec();
    }
    let mut encoded = Vec::with_capacity(raw.len() + 9);
    raw.as_ref().encode(&mut encoded);
    encoded
}

/// The transactions of a journal in their EIP-2718 form, and where it is damaged. No file is an
/// empty journal.
pub(super) fn read(path: &Path) -> io::Result<(Vec<Bytes>, Option<u64>)> {
    let mut content = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_JOURNAL_BYTES).read_to_end(&mut content)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(error) => return Err(error),
    };
    Ok(split(&content))
}

/// The items of a journal, up to the first that is none.
fn split(content: &[u8]) -> (Vec<Bytes>, Option<u64>) {
    let mut rest = content;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let at = content.len() - rest.len();
        let item = rest;
        let length = Header::decode(&mut rest).ok().and_then(|header| {
            let (payload, behind) = rest.split_at_checked(header.payload_length)?;
            rest = behind;
            let whole = item.get(..item.len() - behind.len())?;
            Some(if header.list { whole } else { payload })
        });
        match length {
            Some(raw) if !raw.is_empty() && raw.len() <= MAX_TRANSACTION_BYTES => {
                found.push(Bytes::copy_from_slice(raw));
            }
            _ => return (found, Some(at as u64)),
        }
    }
    (found, None)
}

#[cfg(test)]
mod tests;
