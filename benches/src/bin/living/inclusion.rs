//! Transactions through a network of four nodes: from JSON-RPC of a full node over the validator
//! back to the receipt at the full node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

use crate::Failure;
use crate::accounts::{Account, Signed, sign_all};
use crate::http::Http;
use crate::made;
use crate::node::{Console, Node, Options, System, quantity, wait};

/// Accounts that send in turn.
const SENDERS: usize = 1_000;
/// Connections of the clients; divides [`SENDERS`], so that each account has one connection.
const CONNECTIONS: usize = 20;
/// Transactions under way at most when as many are sent as can be. The pools of both keep 5,120.
const WINDOW: u64 = 4_500;
/// Gas limit of blocks: more than the pools can fill.
const GAS_LIMIT: u64 = 300_000_000;
/// Transactions that are signed for one second of the last part.
const MOST_PER_SECOND: f64 = 6_000.0;

/// What was seen of one load.
struct Seen {
    sent: usize,
    included: usize,
    refused: u64,
    per_second: f64,
    blocks: f64,
    p50: f64,
    p99: f64,
    cpu: [f64; 2],
}

/// Prints the table.
pub(crate) fn table(systems: &[&System], rates: &[f64], secs: f64) -> Result<(), Failure> {
    println!(
        "## Transactions: full node → validator → receipt at the full node\n\n4 nodes: a validator \
         (period 1 s), and three full nodes around it. Clients send signed transfers of {SENDERS} \
         accounts to one full node over {CONNECTIONS} HTTP connections, {secs} s for each line. The \
         time is that from sending to the receipt.\n"
    );
    println!(
        "| sent | system | included/s | p50 ms | p99 ms | blocks/s | not included | refused at first | \
         CPU ms/tx, full node | validator | p50 of geth |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let senders = Account::first(SENDERS as u64)?;
    let steady: usize = rates.iter().map(|rate| (rate * secs) as usize).sum();
    let count = steady + (MOST_PER_SECOND * secs) as usize;
    let to = Address::repeat_byte(0x77);
    let all = sign_all(count, |place| {
        // The place is below the count, and the remainder below the number of senders.
        #[allow(clippy::indexing_slicing)]
        senders[place % SENDERS].pay((place / SENDERS) as u64, to)
    });
    let mut seen: Vec<Vec<Seen>> = Vec::new();
    for system in systems {
        seen.push(run(system, &senders, &all, rates, secs)?);
    }
    let geth = systems.iter().position(|system| matches!(system, System::Geth(_)));
    for place in 0..=rates.len() {
        let rate = rates.get(place).map_or("as many as go".into(), |rate| format!("{rate:.0}/s"));
        let of = |system: usize| seen.get(system).and_then(|seen| seen.get(place));
        let reference = geth.and_then(of).map(|seen| seen.p50);
        for (number, system) in systems.iter().enumerate() {
            let Some(it) = of(number) else { continue };
            println!(
                "| {rate} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {} | {} | {:.3} | {:.3} | {} |",
                system.name(),
                it.per_second,
                it.p50,
                it.p99,
                it.blocks,
                it.sent - it.included,
                it.refused,
                it.cpu[0] * 1e3 / it.included.max(1) as f64,
                it.cpu[1] * 1e3 / it.included.max(1) as f64,
                reference.map_or("-".into(), |geth| format!("{:.2}", it.p50 / geth)),
            );
        }
    }
    println!();
    Ok(())
}

fn run(
    system: &System,
    senders: &[Account],
    all: &[Signed],
    rates: &[f64],
    secs: f64,
) -> Result<Vec<Seen>, Failure> {
    let directory = tempfile::tempdir()?;
    let signer = Account::new(u64::MAX)?;
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let genesis = made::genesis(&signer, senders, GAS_LIMIT, now - 2);
    let path = directory.path().join("genesis.json");
    std::fs::write(&path, serde_json::to_vec(&genesis)?)?;
    let mut nodes = Vec::new();
    for (number, name) in ["validator", "full1", "full2", "full3"].into_iter().enumerate() {
        let data = directory.path().join(name);
        system.prepare(&data, &path, None)?;
        let options = Options {
            genesis: path.clone(),
            signer: (number == 0).then_some(&signer),
            http: number == 1,
            max_peers: None,
            gas_limit: Some(GAS_LIMIT),
        };
        nodes.push(Node::start(system, &data, &options)?);
    }
    let [validator, full, others @ ..] = nodes.as_slice() else { return Err("no nodes".into()) };
    for node in core::iter::once(full).chain(others) {
        node.connect(validator)?;
    }
    let mut consoles = nodes.iter().map(Node::console).collect::<Result<Vec<_>, _>>()?;
    // A node of geth takes transactions of peers after its first block.
    wait("all nodes have the first blocks", || {
        for console in &mut consoles {
            if number(console)? < 3 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })?;
    let mut seen = Vec::new();
    let mut rest = all;
    for rate in rates {
        let (part, behind) = rest.split_at((rate * secs) as usize);
        rest = behind;
        seen.push(load(validator, full, part, Some(*rate), secs)?);
    }
    seen.push(load(validator, full, rest, None, secs)?);
    Ok(seen)
}

fn number(console: &mut Console) -> Result<u64, Failure> {
    quantity(&console.call("eth_blockNumber", json!([]))?)
}

/// What clients and the watcher share. Times are in microseconds since `start`.
struct Shared<'a> {
    start: Instant,
    end: Duration,
    all: &'a [Signed],
    rate: Option<f64>,
    sent_at: Vec<AtomicU64>,
    sent: AtomicU64,
    included: AtomicU64,
    refused: AtomicU64,
    done: AtomicBool,
}

fn load(
    validator: &Node,
    full: &Node,
    all: &[Signed],
    rate: Option<f64>,
    secs: f64,
) -> Result<Seen, Failure> {
    let cpu = [full.cpu()?, validator.cpu()?];
    let shared = Shared {
        start: Instant::now() + Duration::from_millis(50),
        end: Duration::from_secs_f64(secs),
        all,
        rate,
        sent_at: all.iter().map(|_| AtomicU64::new(0)).collect(),
        sent: AtomicU64::new(0),
        included: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        done: AtomicBool::new(false),
    };
    let (blocks, spent) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(full, &shared));
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| {
                scope.spawn({
                    let shared = &shared;
                    move || send(full, shared, client)
                })
            })
            .collect();
        let sent: Result<Vec<()>, Failure> = clients
            .into_iter()
            .map(|client| client.join().unwrap_or(Err("a client panicked".into())))
            .collect();
        shared.done.store(true, Relaxed);
        let blocks = watcher.join().unwrap_or(Err("the watcher panicked".into()));
        sent?;
        Ok::<_, Failure>((blocks?, [full.cpu()? - cpu[0], validator.cpu()? - cpu[1]]))
    })?;
    summary(&shared, &blocks, spent)
}

/// Sends every transaction of the accounts of one client, at its time.
fn send(full: &Node, shared: &Shared<'_>, client: usize) -> Result<(), Failure> {
    let mut http = Http::connect(full.http.ok_or("the node serves no HTTP")?)?;
    let micros = || shared.start.elapsed().as_micros() as u64;
    for place in (client..shared.all.len()).step_by(CONNECTIONS) {
        let (Some(one), Some(sent_at)) = (shared.all.get(place), shared.sent_at.get(place)) else {
            break;
        };
        let at = match shared.rate {
            Some(rate) => {
                let at = Duration::from_secs_f64(place as f64 / rate);
                thread::sleep((shared.start + at).saturating_duration_since(Instant::now()));
                // From when it should have been sent: a node that is slow does not look fast.
                at.as_micros() as u64
            }
            None => {
                while shared.sent.load(Relaxed).saturating_sub(shared.included.load(Relaxed))
                    >= WINDOW
                    && shared.start.elapsed() < shared.end
                {
                    thread::sleep(Duration::from_millis(1));
                }
                if shared.start.elapsed() >= shared.end {
                    return Ok(());
                }
                micros()
            }
        };
        sent_at.store(at.max(1), Relaxed);
        shared.sent.fetch_add(1, Relaxed);
        loop {
            let answer: Value = serde_json::from_slice(&http.post(&one.request)?)?;
            if answer["result"].is_string() {
                break;
            }
            if shared.refused.fetch_add(1, Relaxed) == 0 {
                eprintln!("refused: {}", answer["error"]["message"]);
            }
            if shared.start.elapsed() > shared.end + Duration::from_secs(10) {
                return Err(format!("refused for ever: {answer}").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// When a block was there, microseconds since the start, and what is in it.
struct Block {
    at: u64,
    hashes: Vec<B256>,
}

/// Notes each block of the full node when the receipt of its last transaction is there.
fn watch(full: &Node, shared: &Shared<'_>) -> Result<Vec<Block>, Failure> {
    let mut console = full.console()?;
    let mut last = number(&mut console)?;
    let (mut blocks, mut patience) = (Vec::new(), None);
    loop {
        let head = number(&mut console)?;
        while last < head {
            last += 1;
            let block =
                console.call("eth_getBlockByNumber", json!([format!("{last:#x}"), false]))?;
            let hashes: Vec<B256> = serde_json::from_value(block["transactions"].clone())?;
            if let Some(hash) = hashes.last() {
                wait("a receipt", || {
                    let receipt = console.call("eth_getTransactionReceipt", json!([hash]))?;
                    Ok((!receipt.is_null()).then_some(()))
                })?;
            }
            let at = shared.start.elapsed().as_micros() as u64;
            shared.included.fetch_add(hashes.len() as u64, Relaxed);
            blocks.push(Block { at, hashes });
        }
        if shared.done.load(Relaxed) {
            let until = *patience.get_or_insert_with(|| Instant::now() + Duration::from_secs(20));
            let missing = shared.sent.load(Relaxed) > shared.included.load(Relaxed);
            if !missing || Instant::now() > until {
                return Ok(blocks);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn summary(shared: &Shared<'_>, blocks: &[Block], cpu: [f64; 2]) -> Result<Seen, Failure> {
    let place: HashMap<B256, usize> =
        shared.all.iter().enumerate().map(|(place, one)| (one.hash, place)).collect();
    let mut times = Vec::new();
    for block in blocks {
        for hash in &block.hashes {
            let sent_at = place.get(hash).and_then(|place| shared.sent_at.get(*place));
            let sent_at = sent_at.ok_or("a transaction of somebody else is in a block")?;
            times.push(block.at.saturating_sub(sent_at.load(Relaxed)) as f64 / 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let at =
        |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    // From block to block, while there was something to send.
    let end = shared.end.as_micros() as u64;
    let busy: Vec<&Block> = blocks.iter().filter(|block| block.at <= end).collect();
    let whole = blocks.last().map_or(f64::NAN, |last| times.len() as f64 * 1e6 / last.at as f64);
    let (per_second, blocks) = match busy.as_slice() {
        [first, later @ .., last] if later.len() > 1 => {
            let after_first = later.iter().chain([last]);
            let between: usize = after_first.map(|block| block.hashes.len()).sum();
            let seconds = (last.at - first.at) as f64 / 1e6;
            (between as f64 / seconds, (later.len() + 1) as f64 / seconds)
        }
        // Too few blocks to count from one to the other.
        _ => (whole, f64::NAN),
    };
    let sent = shared.sent.load(Relaxed) as usize;
    let refused = shared.refused.load(Relaxed);
    Ok(Seen {
        sent,
        included: times.len(),
        refused,
        per_second,
        blocks,
        p50: at(0.5),
        p99: at(0.99),
        cpu,
    })
}
