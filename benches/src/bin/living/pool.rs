//! Memory of a node whose pool is full, beside what the pool says it holds.

use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use serde_json::json;

use crate::Failure;
use crate::accounts::{Account, Signed, sign_all};
use crate::http::Http;
use crate::made;
use crate::node::{Node, Options, System, quantity};

/// Bytes of data, so that the transaction has 128 KiB at most.
const LARGE: usize = 128 * 1024 - 300;

/// Prints the table.
pub(crate) fn table(systems: &[&System]) -> Result<(), Failure> {
    println!("## Memory of a full pool\n");
    println!(
        "| filled with | system | sent | bytes sent, MiB | taken | pending | queued | MiB before | MiB after | more |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let senders = Account::first(6_144)?;
    let to = Address::repeat_byte(0x77);
    let pay = |account: &Account| account.pay(0, to);
    let large = |account: &Account| {
        account.sign(0, to, 1, 21_000 + 4 * LARGE as u64, Bytes::from(vec![0; LARGE]))
    };
    // What is signed: a count below the number of senders.
    #[allow(clippy::indexing_slicing)]
    let fills: [(&str, Vec<Signed>); 2] = [
        ("6,144 transfers, one of each account", sign_all(6_144, |place| pay(&senders[place]))),
        (
            "800 times 128 KiB of data, one of each account",
            sign_all(800, |place| large(&senders[place])),
        ),
    ];
    for (name, signed) in &fills {
        for system in systems {
            fill(name, system, &senders, signed)?;
        }
    }
    println!();
    Ok(())
}

fn fill(
    name: &str,
    system: &System,
    senders: &[Account],
    signed: &[Signed],
) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("genesis.json");
    let genesis = made::genesis(&Account::new(u64::MAX)?, senders, 30_000_000, 1_700_000_000);
    std::fs::write(&path, serde_json::to_vec(&genesis)?)?;
    let data = directory.path().join("node");
    system.prepare(&data, &path, None)?;
    let node =
        Node::start(system, &data, &Options { genesis: path, http: true, ..Options::default() })?;
    let mut http = Http::connect(node.http.ok_or("the node serves no HTTP")?)?;
    let before = settled(&node)?;
    let mut taken = 0;
    for one in signed {
        let answer: serde_json::Value = serde_json::from_slice(&http.post(&one.request)?)?;
        taken += usize::from(answer["result"].is_string());
    }
    let after = settled(&node)?;
    let status = node.console()?.call("txpool_status", json!([]))?;
    // A request has each byte as two digits.
    let bytes: usize = signed.iter().map(|one| one.request.len() / 2).sum();
    println!(
        "| {name} | {} | {} | {:.1} | {taken} | {} | {} | {before:.1} | {after:.1} | {:.1} |",
        system.name(),
        signed.len(),
        bytes as f64 / f64::from(1 << 20),
        quantity(&status["pending"])?,
        quantity(&status["queued"])?,
        after - before
    );
    Ok(())
}

/// Resident memory when it has not grown for a second.
fn settled(node: &Node) -> Result<f64, Failure> {
    let mut last = node.memory("VmRSS")?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = node.memory("VmRSS")?;
        if now <= last {
            return Ok(now);
        }
        last = now;
    }
}
