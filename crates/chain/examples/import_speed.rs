//! How fast a chain file goes into a store: `import_speed GENESIS CHAIN [BATCH …]`.
//!
//! One line for each batch size (blocks in one transaction, each made durable), and one for the
//! parts that need no store.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use chainmesh_chain::file::{self, BlockReader, ImportOptions};
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, block, body};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(genesis), Some(chain)) = (arguments.next(), arguments.next()) else {
        return Err("usage: import_speed GENESIS CHAIN [BATCH …]".into());
    };
    let mut batches = arguments.map(|batch| batch.parse()).collect::<Result<Vec<usize>, _>>()?;
    if batches.is_empty() {
        batches = vec![file::IMPORT_BATCH_BLOCKS, 512, 128];
    }
    let spec = ChainSpec::read(Path::new(&genesis))?;
    let bytes = fs::read(chain)?;
    let blocks = decode_and_check(&bytes)?;
    for batch_blocks in batches {
        let dir = tempfile::tempdir()?;
        let chain = Chain::open_with(dir.path(), spec.clone(), ChainOptions::default())?;
        let start = Instant::now();
        let options = ImportOptions { batch_blocks, ..ImportOptions::default() };
        file::import(&chain, bytes.as_slice(), options, |_| ControlFlow::Continue(()))?;
        report(&format!("import, {batch_blocks} blocks a transaction"), blocks, start);
        let start = Instant::now();
        file::export(&chain, 1..=blocks, std::io::sink(), |_, _| ControlFlow::Continue(()))?;
        report("export", blocks, start);
        let path = chain.path().to_path_buf();
        drop(chain);
        let start = Instant::now();
        drop(Chain::open_existing(dir.path(), ChainOptions::default())?);
        println!("store {} bytes, opened in {:?}", fs::metadata(path)?.len(), start.elapsed());
    }
    Ok(())
}

fn decode_and_check(bytes: &[u8]) -> Result<u64, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let (mut reader, mut blocks) = (BlockReader::new(bytes), 0);
    while let Some(raw) = reader.next_block(blocks + 1)? {
        let whole = block::decode(&raw.rlp)?;
        body::check(&whole.header, &whole.body_rlp)?;
        blocks += 1;
    }
    report("decode and check roots", blocks, start);
    Ok(blocks)
}

fn report(what: &str, blocks: u64, start: Instant) {
    let elapsed = start.elapsed();
    println!(
        "{what}: {blocks} blocks in {elapsed:?}, {:.0} blocks/s",
        blocks as f64 / elapsed.as_secs_f64()
    );
}
