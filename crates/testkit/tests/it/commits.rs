//! Row 2: `kill -9` at any moment of an import, five hundred times.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chainmesh_testkit::fleet::{Fleet, Transport};
use chainmesh_testkit::process::{program, run};
use chainmesh_testkit::row::Row;

/// Blocks of the chain, one commit: making and committing is most of the import.
const BLOCKS: u64 = 300;
const KILLS: u32 = 500;

/// Moments spread over an import by the golden ratio: no seed, and no moment is favoured.
fn moment(number: u32, whole: Duration) -> Duration {
    let part = (f64::from(number) * 0.618_033_988_75).fract();
    whole.mul_f64(part)
}

#[test]
#[ignore = "five hundred imports take minutes"]
fn row_02_an_import_is_killed_at_any_moment() {
    let fleet = Fleet::builder(Transport::Rlpx, 1).quiet().blocks(BLOCKS).prepare();
    let row = Row::new(2, "kill -9 during an import", format!("{BLOCKS} blocks, {KILLS} kills"));
    let text = |path: &std::path::Path| path.to_str().expect("a name in UTF-8").to_owned();
    let file = fleet.directory().join("chain.rlp");
    let whole = fs::read(&file).expect("the chain file");
    let (genesis, chain) = (text(fleet.genesis()), text(&file));
    let data_dir = fleet.directory().join("killed");
    let place = text(&data_dir);
    let import = ["import", "--data-dir", &place, "--genesis", &genesis, &chain];
    let (output, whole_import) = run(&import);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let (mut killed, mut clean, mut slowest, mut kept) = (0, 0, Duration::ZERO, 0_usize);
    let mut number = 0;
    while killed < KILLS {
        number += 1;
        let _ = fs::remove_dir_all(&data_dir);
        let mut process = Command::new(program())
            .args(import)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        std::thread::sleep(moment(number, whole_import));
        let ended = process.try_wait().expect("a status").is_some();
        process.kill().expect("kill -9");
        process.wait().expect("its end");
        if ended || !data_dir.join("chain.redb").exists() {
            continue;
        }
        killed += 1;
        // What is there is the beginning of the chain, byte by byte, however much that is.
        let part = text(&fleet.directory().join("part.rlp"));
        let _ = fs::remove_file(&part);
        let began = Instant::now();
        let (output, _) = run(&["export", "--data-dir", &place, &part]);
        slowest = slowest.max(began.elapsed());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let exported = fs::read(&part).unwrap_or_default();
        let old = ["the head of the chain is block 0", "there is no chain in"];
        let nothing = exported.is_empty() && old.iter().any(|old| words.contains(old));
        if nothing || (output.status.success() && whole.starts_with(&exported)) {
            clean += 1;
        } else {
            eprintln!("kill {killed}: {} bytes: {words}", exported.len());
        }
        kept += usize::from(!exported.is_empty());
    }
    row.equals("opens clean, with whole blocks", clean, KILLS);
    row.below("slowest look at what is there", slowest, Duration::from_secs(2));
    assert!((1..KILLS as usize).contains(&kept), "{kept} kills left blocks: all on one side");
}
