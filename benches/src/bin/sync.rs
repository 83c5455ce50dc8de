//! How long one node takes to fetch a chain from another over loopback.
//!
//! `chainmesh-sync GENESIS CHAIN.rlp [ROUNDS]` imports the chain into a node, then, in each round,
//! starts an empty node that knows its address, and measures from that node's start to the last
//! block's being on its disk. One line of JSON a round.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use chainmesh_chain::{Chain, ChainSpec, file};
use chainmesh_net::{EthChain, NodeKey, P2pConfig, P2pHandle, entropy};
use chainmesh_proto::eth::chain::ChainReader;

type Failure = Box<dyn std::error::Error>;

async fn node(chain: &Arc<Chain>, other: Option<&P2pHandle>) -> Result<P2pHandle, Failure> {
    let key = NodeKey::from_entropy(entropy());
    let mut config = P2pConfig::new(key, chain.spec().config().chain_id, chain.genesis_hash());
    (config.listen_address, config.listen_port) = ([127, 0, 0, 1].into(), 0);
    config.boot_nodes.extend(other.and_then(P2pHandle::enode));
    let reader: Arc<dyn ChainReader> = Arc::<Chain>::clone(chain);
    let mut eth = EthChain::new(reader, chain.fork_filter());
    eth.sync = Some(Arc::<Chain>::clone(chain));
    config.chain = Some(eth);
    Ok(chainmesh_net::start(config).await?)
}

fn open(directory: &Path, genesis: &Path) -> Result<Arc<Chain>, Failure> {
    let spec = ChainSpec::read(genesis)?;
    std::fs::create_dir_all(directory)?;
    Ok(Arc::new(Chain::open(directory, spec.genesis().clone())?))
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [genesis, blocks, rest @ ..] = arguments.as_slice() else {
        return Err("usage: chainmesh-sync GENESIS CHAIN.rlp [ROUNDS]".into());
    };
    let rounds: u32 = rest.first().map_or(Ok(5), |rounds| rounds.parse())?;
    let directory = tempfile::tempdir()?;
    let genesis = Path::new(genesis);

    let source = open(&directory.path().join("source"), genesis)?;
    let started = Instant::now();
    file::import_path(&source, Path::new(blocks), |_| ControlFlow::Continue(()))?;
    report("import", &source, started);
    let serving = node(&source, None).await?;

    for round in 0..rounds {
        let chain = open(&directory.path().join(round.to_string()), genesis)?;
        let (arrived_to, arrived) = mpsc::sync_channel(1);
        let target = source.head().hash;
        let _subscription = chain.subscribe(move |new| {
            if new.head.hash == target {
                let _ = arrived_to.send(());
            }
        });
        let started = Instant::now();
        let syncing = node(&chain, Some(&serving)).await?;
        tokio::task::spawn_blocking(move || arrived.recv()).await??;
        report("sync", &chain, started);
        syncing.shutdown().await;
    }
    serving.shutdown().await;
    Ok(())
}

fn report(what: &str, chain: &Chain, since: Instant) {
    let (blocks, seconds) = (chain.head().number, since.elapsed().as_secs_f64());
    let rate = blocks as f64 / seconds;
    println!(
        r#"{{"what":"{what}","blocks":{blocks},"ms":{:.1},"blocks_s":{rate:.0}}}"#,
        seconds * 1e3
    );
}
