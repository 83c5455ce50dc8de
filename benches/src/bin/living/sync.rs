//! Full synchronisation: an empty node fetches and executes a chain that another one has.

use std::time::Duration;

use serde_json::json;

use crate::Failure;
use crate::made::Made;
use crate::node::{Node, Options, System, quantity, wait};

/// What one synchronisation took.
struct Took {
    /// From the connection of both nodes to the head's being there.
    seconds: f64,
    /// From the first block that was seen to the head.
    blocks: f64,
    cpu: [f64; 2],
    memory: [f64; 2],
}

/// Prints the table; each pair is who has the chain and who fetches it.
pub(crate) fn table(pairs: &[(&System, &System)], made: &Made, rounds: u32) -> Result<(), Failure> {
    println!(
        "## Full synchronisation with execution\n\n{} blocks, {} transactions, {:.1} MB; the head's \
         hash is compared. Medians of {rounds} rounds that take turns.\n",
        made.blocks,
        made.transactions,
        made.bytes as f64 / 1e6
    );
    println!(
        "| fetches | from | s | blocks/s | tx/s | CPU s, fetching | CPU s, serving | \
         MiB at most, fetching | serving | s, of geth from geth |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut all: Vec<Vec<Took>> = pairs.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (&(serving, fetching), all) in pairs.iter().zip(&mut all) {
            all.push(once(serving, fetching, made)?);
        }
    }
    let median = |all: &[Took], of: &dyn Fn(&Took) -> f64| {
        let mut all: Vec<f64> = all.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let seconds: Vec<f64> = all.iter().map(|all| median(all, &|took| took.seconds)).collect();
    let both_geth =
        pairs.iter().position(|(a, b)| matches!((a, b), (System::Geth(_), System::Geth(_))));
    let reference = both_geth.and_then(|place| seconds.get(place));
    for ((&(serving, fetching), all), seconds) in pairs.iter().zip(&all).zip(&seconds) {
        println!(
            "| {} | {} | {seconds:.2} | {:.0} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} | {} |",
            fetching.name(),
            serving.name(),
            made.blocks as f64 / seconds,
            made.transactions as f64 / seconds,
            median(all, &|took| took.cpu[1]),
            median(all, &|took| took.cpu[0]),
            median(all, &|took| took.memory[1]),
            median(all, &|took| took.memory[0]),
            reference.map_or("-".into(), |geth| format!("{:.2}", seconds / geth)),
        );
    }
    let spread = |all: &[Took]| {
        let mut all: Vec<f64> = all.iter().map(|took| took.seconds).collect();
        all.sort_by(f64::total_cmp);
        all.iter().map(|seconds| format!("{seconds:.2}")).collect::<Vec<_>>().join(" ")
    };
    println!();
    for ((serving, fetching), all) in pairs.iter().zip(&all) {
        let blocks = median(all, &|took| took.blocks);
        println!(
            "* {} from {}: {} s; {blocks:.2} s of it from the first block that was seen",
            fetching.name(),
            serving.name(),
            spread(all)
        );
    }
    println!();
    Ok(())
}

fn once(serving: &System, fetching: &System, made: &Made) -> Result<Took, Failure> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let options = || Options { genesis: made.genesis.clone(), ..Options::default() };
    let (from, to) = (path("from"), path("to"));
    serving.prepare(&from, &made.genesis, Some(&made.chain))?;
    fetching.prepare(&to, &made.genesis, None)?;
    let serving = Node::start(serving, &from, &options())?;
    // geth waits for five peers, or ten seconds, unless it is to have one peer only.
    let fetching = Node::start(fetching, &to, &Options { max_peers: Some(1), ..options() })?;
    measure(&serving, &fetching, made)
}

fn measure(serving: &Node, fetching: &Node, made: &Made) -> Result<Took, Failure> {
    let cpu = [serving.cpu()?, fetching.cpu()?];
    let began = std::time::Instant::now();
    fetching.connect(serving)?;
    let mut console = fetching.console()?;
    let mut first = None;
    wait("the chain is there", || {
        let number = quantity(&console.call("eth_blockNumber", json!([]))?)?;
        if number > 0 && first.is_none() {
            first = Some(began.elapsed());
        }
        if number < made.blocks {
            return Ok(None);
        }
        let head = console.call("eth_getBlockByNumber", json!(["latest", false]))?;
        Ok((head["hash"].as_str() == Some(&made.head.to_string())).then_some(()))
    })?;
    let took = began.elapsed();
    Ok(Took {
        seconds: took.as_secs_f64(),
        blocks: (took - first.unwrap_or(Duration::ZERO)).as_secs_f64(),
        cpu: [serving.cpu()? - cpu[0], fetching.cpu()? - cpu[1]],
        memory: [serving.memory("VmHWM")?, fetching.memory("VmHWM")?],
    })
}
