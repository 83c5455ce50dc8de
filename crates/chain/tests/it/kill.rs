//! A process that is killed while it imports leaves a whole chain behind, and the state of each of
//! its blocks.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use alloy_primitives::U256;
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, SyncBlock};

use crate::common::{export, file_of};
use crate::living::{living, somebody};

const CHILD: &str = "CHAINMESH_TEST_KILL_CHILD";
const BATCH: usize = 7;
const BLOCKS: usize = 20_000;

/// Not a test of its own: what the killed process does. It says how far it is after each batch.
#[test]
fn kill_child() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let net = living(1);
    let chain = net.open(&dir);
    // The blocks are made on a chain beside it.
    let beside = tempfile::tempdir().expect("directory");
    let maker = net.open(beside.path());
    for _ in 0..BLOCKS / BATCH {
        let blocks = net.live(&maker, BATCH as u64);
        println!("\nat {}", chain.import(&blocks).expect("import").number);
    }
    panic!("nobody killed this process");
}

#[test]
fn a_killed_import_leaves_whole_blocks() {
    let net = living(1);
    let beside = tempfile::tempdir().expect("directory");
    let maker = net.open(beside.path());
    let mut blocks: Vec<SyncBlock> = Vec::new();
    for least in [1, 50, 100] {
        let dir = tempfile::tempdir().expect("directory");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["kill::kill_child", "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("child");
        let mut told = 0;
        for line in BufReader::new(child.stdout.take().expect("output")).lines() {
            let line = line.expect("line");
            if let Some(number) = line.strip_prefix("at ") {
                told = number.parse().expect("number");
                if told >= least {
                    break;
                }
            }
        }
        child.kill().expect("kill -9");
        assert!(!child.wait().expect("wait").success());
        let chain = net.open(dir.path());
        let head = chain.head().number;
        assert!(head >= told && told >= least, "told {told}, kept {head}");
        assert_eq!(head % BATCH as u64, 0, "half of a batch");
        // The same blocks, and it goes on where it stopped.
        let missing = (head + 1).saturating_sub(blocks.len() as u64);
        blocks.extend(net.live(&maker, missing));
        let (stored, more) = blocks.split_at(head as usize);
        assert_eq!(Some(chain.head().hash), stored.last().map(|block| block.hash));
        assert!(export(&chain, 1, head) == file_of(stored));
        for block in stored {
            let state = chain.state(&block.hash).expect("read").expect("state");
            assert_eq!(state.root(), block.header.state_root);
            let paid = state.account(somebody(block.header.number)).expect("read").expect("paid");
            assert_eq!(paid.balance, U256::from(5));
            let next = state.account(somebody(block.header.number + 1)).expect("read");
            assert_eq!(next, None, "a state of later");
            let receipts = chain.receipts(&block.hash).expect("read").expect("receipts");
            assert_eq!(receipts.len(), 1);
            let body = chain.body(&block.hash).expect("read").expect("body");
            let place = chain.transaction(body.transactions[0].tx_hash()).expect("read");
            assert_eq!(place.expect("a place").block_hash, block.hash);
        }
        let more = &more[..1];
        assert_eq!(chain.import(more).expect("import").hash, more[0].hash);
    }
}
