//! A chain file into the chain.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use chainmesh_proto::eth::chain::{ChainHead, ChainReader, ChainWriter, ImportError, SyncBlock};

use super::{BlockReader, FileError, IMPORT_BATCH_BLOCKS, IMPORT_BATCH_BYTES, RawBlock};
use crate::{Chain, block, body};

/// How far an import is. After each batch, all that it counts is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Blocks of the file that are done with.
    pub blocks: u64,
    /// How many of them were in the chain before.
    pub known: u64,
    /// Bytes of the file that are done with.
    pub bytes: u64,
    /// Bytes of the file, when that is known.
    pub total_bytes: Option<u64>,
    /// The head of the chain.
    pub head: ChainHead,
}

/// What an import has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportSummary {
    /// Where it ended.
    pub progress: Progress,
    /// Whether it was stopped before the end of the file.
    pub stopped: bool,
}

/// The choices that an import leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// Most blocks in one transaction; at least 1.
    pub batch_blocks: usize,
    /// Bytes of the file, for the progress, when that is known.
    pub total_bytes: Option<u64>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { batch_blocks: IMPORT_BATCH_BLOCKS, total_bytes: None }
    }
}

/// Imports the file at `path`; see [`import`].
///
/// # Errors
/// See [`FileError`].
pub fn import_path(
    chain: &Chain,
    path: &Path,
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<ImportSummary, FileError> {
    let open = |source| FileError::Open { path: path.into(), source };
    let file = File::open(path).map_err(open)?;
    let total_bytes = Some(file.metadata().map_err(open)?.len());
    let options = ImportOptions { total_bytes, ..ImportOptions::default() };
    import(chain, BufReader::with_capacity(1 << 16, file), options, progress)
}

/// Imports blocks from a stream, batch by batch; `progress` is told after each, and may end the
/// import there. Blocks that are in the chain already are passed over, and so is our genesis block
/// in front of the others.
///
/// # Errors
/// See [`FileError`]: the first block that was not taken. The blocks before it are stored.
pub fn import(
    chain: &Chain,
    input: impl Read,
    options: ImportOptions,
    mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<ImportSummary, FileError> {
    let mut import = Import {
        chain,
        reader: BlockReader::new(input),
        batch: Vec::new(),
        batch_bytes: 0,
        expected: None,
        progress: Progress {
            blocks: 0,
            known: 0,
            bytes: 0,
            total_bytes: options.total_bytes,
            head: chain.head(),
        },
    };
    let batch_blocks = options.batch_blocks.max(1);
    loop {
        let next = import.next();
        let end = !matches!(next, Ok(true));
        let full = import.batch.len() >= batch_blocks || import.batch_bytes >= IMPORT_BATCH_BYTES;
        if end || full || import.passed_over_enough(batch_blocks) {
            // What is good before a fault is stored before the fault is told.
            import.store()?;
            next?;
            let stopped = progress(&import.progress).is_break() && !end;
            if end || stopped {
                return Ok(ImportSummary { progress: import.progress, stopped });
            }
        }
    }
}

struct Import<'a, R> {
    chain: &'a Chain,
    reader: BlockReader<R>,
    /// Blocks that are read and not stored, with the byte at which each begins.
    batch: Vec<(u64, SyncBlock)>,
    batch_bytes: usize,
    /// Number of the next block.
    expected: Option<u64>,
    progress: Progress,
}

impl<R: Read> Import<'_, R> {
    /// Reads a block and checks what can be checked without its parent. `false` at the end.
    fn next(&mut self) -> Result<bool, FileError> {
        let expected = self.expected.unwrap_or(1);
        let Some(RawBlock { offset, rlp }) = self.reader.next_block(expected)? else {
            return Ok(false);
        };
        let sync_block = block::decode(&rlp).map_err(|source| FileError::Rlp {
            block: expected,
            offset,
            source,
        })?;
        let number = sync_block.header.number;
        self.check_genesis(offset, &sync_block)?;
        self.expected = Some(number.saturating_add(1));
        if self.chain.number_of(&sync_block.hash)?.is_some() {
            // It goes through the batch when there is one, for the count to stay in order.
            if self.batch.is_empty() {
                self.progress.blocks += 1;
                self.progress.known += 1;
                self.progress.bytes = self.reader.offset();
                return Ok(true);
            }
            self.progress.known += 1;
        }
        body::check(&sync_block.header, &sync_block.body_rlp)
            .map_err(|source| FileError::Body { block: number, offset, source })?;
        self.batch_bytes = self.batch_bytes.saturating_add(rlp.len());
        self.batch.push((offset, sync_block));
        Ok(true)
    }

    /// A file of another network is recognised by its first block.
    fn check_genesis(&self, offset: u64, sync_block: &SyncBlock) -> Result<(), FileError> {
        let ours = self.chain.genesis_hash();
        let found = match sync_block.header.number {
            0 => sync_block.hash,
            1 => sync_block.header.parent_hash,
            _ => return Ok(()),
        };
        if found == ours {
            return Ok(());
        }
        let block = sync_block.header.number;
        Err(FileError::OtherGenesis { block, offset, found, ours })
    }

    fn passed_over_enough(&self, batch_blocks: usize) -> bool {
        self.batch.is_empty() && self.progress.known.is_multiple_of(batch_blocks as u64)
    }

    fn store(&mut self) -> Result<(), FileError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (offsets, blocks): (Vec<u64>, Vec<SyncBlock>) = self.batch.drain(..).unzip();
        self.batch_bytes = 0;
        let head = self.chain.import(&blocks).map_err(|error| {
            let refused = match &error {
                ImportError::Invalid { hash, .. } | ImportError::UnknownParent { hash, .. } => {
                    blocks.iter().position(|block| block.hash == *hash)
                }
                ImportError::Storage(_) => None,
            };
            let offset = refused.and_then(|index| offsets.get(index)).copied();
            FileError::refused(error, offset.unwrap_or_default())
        })?;
        self.progress.blocks += blocks.len() as u64;
        self.progress.bytes = self.reader.offset();
        self.progress.head = head;
        Ok(())
    }
}
