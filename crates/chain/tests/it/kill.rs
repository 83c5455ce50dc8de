//! A process that is killed while it imports leaves a whole chain behind.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};

use crate::common::{devnet, export, file_of};

const CHILD: &str = "CHAINMESH_TEST_KILL_CHILD";
const BATCH: usize = 7;
const BLOCKS: usize = 20_000;

/// Not a test of its own: what the killed process does. It says how far it is after each batch.
#[test]
fn kill_child() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let net = devnet(1);
    let chain = net.open(&dir);
    let mut tip = net.start();
    for _ in 0..BLOCKS / BATCH {
        let (blocks, next) = net.grow(&tip, BATCH);
        tip = next;
        println!("\nat {}", chain.import(&blocks).expect("import").number);
    }
    panic!("nobody killed this process");
}

#[test]
fn a_killed_import_leaves_whole_blocks() {
    for least in [1, 100, 300] {
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
        let net = devnet(1);
        let chain = net.open(dir.path());
        let head = chain.head().number;
        assert!(head >= told && told >= least, "told {told}, kept {head}");
        assert_eq!(head % BATCH as u64, 0, "half of a batch");
        // The same blocks, and it goes on where it stopped.
        let (blocks, tip) = net.grow(&net.start(), head as usize);
        assert_eq!(chain.head().hash, tip.hash);
        assert!(export(&chain, 1, head) == file_of(&blocks));
        let (more, tip) = net.grow(&tip, 1);
        assert_eq!(chain.import(&more).expect("import").hash, tip.hash);
    }
}
