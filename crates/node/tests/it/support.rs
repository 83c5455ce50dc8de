//! What the tests share: processes that end with their test, and chain files made for the purpose.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use chainmesh_chain::genesis::{DevNetwork, dev_clique};
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Producer, block, clique};
use chainmesh_identity::NodeKey;
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for a busy machine; a test that needs it all has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_chainmesh");

pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("cm").tempdir().unwrap()
}

/// Runs the program to its end.
pub(crate) fn chainmesh(arguments: &[&str]) -> Output {
    let mut command = assert_cmd::Command::new(PROGRAM);
    command.args(arguments).timeout(PATIENCE).output().unwrap()
}

/// Runs the program, which must succeed, and gives its stdout.
pub(crate) fn succeeds(arguments: &[&str]) -> String {
    let output = chainmesh(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program, which must fail with this exit code in one sentence, and gives the sentence.
pub(crate) fn fails(code: i32, arguments: &[&str]) -> String {
    let output = chainmesh(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{stderr}");
    if code == 1 {
        let errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "not one sentence: {stderr}");
    }
    stderr
}

pub(crate) fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "took too long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A network with one signer, and the first blocks of its chain.
pub(crate) struct Blocks {
    pub(crate) directory: TempDir,
    /// RLP of the blocks 1, 2, ….
    pub(crate) rlp: Vec<Vec<u8>>,
    pub(crate) hashes: Vec<String>,
}

impl Blocks {
    /// Makes a chain; networks with another seed have another genesis block.
    pub(crate) fn make(seed: u8, count: u64) -> Self {
        Self::with_wei(seed, count, 0)
    }

    /// The same, whose signer owns so much.
    pub(crate) fn with_wei(seed: u8, count: u64, wei: u128) -> Self {
        let directory = directory();
        let node_key = NodeKey::from_entropy([seed; 32]);
        let key = node_key.to_hex().parse().unwrap();
        let timestamp = 1_700_000_000;
        let signers: Vec<Address> = vec![clique::address(node_key.public_key())];
        let balances = signers.iter().map(|signer| (*signer, U256::from(wei)));
        let balances = balances.filter(|(_, wei)| !wei.is_zero()).collect();
        let genesis =
            dev_clique(&DevNetwork { chain_id: 7, period: 1, timestamp, signers, balances });
        let json = serde_json::to_vec(&genesis).unwrap();
        std::fs::write(directory.path().join("genesis.json"), json).unwrap();
        let spec = ChainSpec::new(genesis).unwrap();
        let store = directory.path().join("store");
        std::fs::create_dir(&store).unwrap();
        let chain = Chain::open_with(&store, spec, ChainOptions::default()).unwrap();
        let producer = Producer::new(key);
        let (mut rlp, mut hashes) = (Vec::new(), Vec::new());
        for number in 1..=count {
            let block = producer.next_on(&chain, timestamp + number).unwrap();
            chain.import(std::slice::from_ref(&block)).unwrap();
            rlp.push(block::encode(&block.header_rlp, &block.body_rlp).unwrap());
            hashes.push(block.hash.to_string());
        }
        assert_eq!(chain.head().number, count);
        Self { directory, rlp, hashes }
    }

    pub(crate) fn genesis(&self) -> String {
        text(&self.directory.path().join("genesis.json"))
    }

    /// Writes a file beside the genesis file.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        text(&path)
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A process that is killed, by its own handle, when the test is done with it.
pub(crate) struct Process {
    child: Child,
    data_dir: PathBuf,
    pub(crate) enode: String,
    log: Log,
}

/// What a process says on stderr, read while it runs: a full pipe would hold it up.
struct Log {
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let said = Arc::<Mutex<String>>::default();
        let to = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                // Lines of ours are ASCII.
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { said, reader: Some(reader) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// `chainmesh run` on loopback, at a port of the system's choice; started when it has printed
    /// its URL.
    pub(crate) fn run(data_dir: &Path, more: &[&str]) -> Self {
        Self::run_and_read(data_dir, more, 0).0
    }

    /// The same, with so many lines that it prints behind its URL.
    pub(crate) fn run_and_read(
        data_dir: &Path,
        more: &[&str],
        lines: usize,
    ) -> (Self, Vec<String>) {
        let mut child = Command::new(PROGRAM)
            .args(["run", "--listen", "127.0.0.1", "--port", "0", "--data-dir", &text(data_dir)])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            line.trim().to_owned()
        };
        let enode = line();
        let log = Log::read(child.stderr.take().unwrap());
        let mut process = Self { child, data_dir: data_dir.into(), enode, log };
        if process.enode.is_empty() {
            panic!("the node did not start: {}", process.stderr());
        }
        let lines = (0..lines).map(|_| line()).collect();
        (process, lines)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything on stderr, after the end of the process.
    pub(crate) fn stderr(&mut self) -> String {
        self.log.reader.take().unwrap().join().unwrap();
        self.log()
    }

    /// What it has said on stderr so far.
    pub(crate) fn log(&self) -> String {
        self.log.said.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    pub(crate) fn says(&self, what: &str) {
        wait_until(what, || self.log().contains(what).then_some(()));
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, and waits for the end.
    pub(crate) fn end(&mut self, signal: i32) -> ExitStatus {
        end(&mut self.child, signal)
    }

    pub(crate) fn ipc(&self) -> Ipc {
        Ipc::connect(&self.data_dir)
    }

    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.ipc().ask(&json!({
            "jsonrpc": "2.0", "id": 1, "method": method, "params": params,
        }));
        answer.get("result").unwrap_or_else(|| panic!("{method}: {answer}")).clone()
    }

    pub(crate) fn head(&self) -> (u64, String) {
        let block = self.call("eth_getBlockByNumber", json!(["latest", false]));
        let number = block["number"].as_str().unwrap().trim_start_matches("0x");
        let number = u64::from_str_radix(number, 16).unwrap();
        (number, block["hash"].as_str().unwrap().to_owned())
    }
}

/// Sends a signal to a child, and waits for its end.
pub(crate) fn end(child: &mut Child, signal: i32) -> ExitStatus {
    let id = i32::try_from(child.id()).unwrap();
    // SAFETY: kill takes no pointers; the process is our child, and has not been waited for.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    wait_until("the process ends", || child.try_wait().unwrap())
}

/// A connection to the socket of a node.
pub(crate) struct Ipc(BufReader<UnixStream>);

impl Ipc {
    pub(crate) fn connect(data_dir: &Path) -> Self {
        let stream = UnixStream::connect(data_dir.join("chainmesh.ipc")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next line; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.try_ask(request).expect("an answer")
    }

    /// The answer; `None` when the connection is closed, or was never taken.
    pub(crate) fn try_ask(&mut self, request: &Value) -> Option<Value> {
        self.0.get_mut().write_all(request.to_string().as_bytes()).ok()?;
        self.receive()
    }
}
