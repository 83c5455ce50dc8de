//! A node in a process of its own, ours or geth's, which ends with this one.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::Failure;
use crate::accounts::{Account, CHAIN_ID};

/// How long a node has to be ready.
const PATIENCE: Duration = Duration::from_secs(180);

/// Whose node it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum System {
    Chainmesh(PathBuf),
    Geth(PathBuf),
}

impl System {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Chainmesh(_) => "chainmesh",
            Self::Geth(_) => "geth",
        }
    }

    /// Makes a data directory, and imports a chain into it.
    pub(crate) fn prepare(
        &self,
        data: &Path,
        genesis: &Path,
        chain: Option<&Path>,
    ) -> Result<(), Failure> {
        match (self, chain) {
            (Self::Chainmesh(_), None) => Ok(()),
            (Self::Chainmesh(program), Some(chain)) => {
                let mut command = Command::new(program);
                command.args(["import", "--data-dir"]).arg(data).arg("--genesis").arg(genesis);
                finish(command.arg(chain))
            }
            (Self::Geth(program), _) => {
                finish(Command::new(program).args(["init", "--datadir"]).arg(data).arg(genesis))?;
                let Some(chain) = chain else { return Ok(()) };
                finish(Command::new(program).args(["import", "--datadir"]).arg(data).arg(chain))
            }
        }
    }
}

/// What a node is started with.
#[derive(Default)]
pub(crate) struct Options<'a> {
    pub(crate) genesis: PathBuf,
    /// It seals.
    pub(crate) signer: Option<&'a Account>,
    /// It answers JSON-RPC over HTTP.
    pub(crate) http: bool,
    pub(crate) max_peers: Option<u32>,
    pub(crate) gas_limit: Option<u64>,
}

/// A node at work.
pub(crate) struct Node {
    child: Child,
    ipc: PathBuf,
    pub(crate) http: Option<SocketAddr>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    /// Starts a node on a directory that is prepared; returns when it answers.
    pub(crate) fn start(
        system: &System,
        data: &Path,
        options: &Options<'_>,
    ) -> Result<Self, Failure> {
        let http = options.http.then(free_port).transpose()?;
        let mut command = match system {
            System::Chainmesh(program) => ours(program, data, options, http)?,
            System::Geth(program) => geths(program, data, options, http)?,
        };
        let log = data.with_extension("log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn()?;
        let ipc = data.join(match system {
            System::Chainmesh(_) => "chainmesh.ipc",
            System::Geth(_) => "geth.ipc",
        });
        let http = http.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut node = Self { child, ipc, http };
        wait("a node answers", || {
            if let Some(status) = node.child.try_wait()? {
                return Err(format!(
                    "a node ended ({status}): see {}",
                    data.with_extension("log").display()
                )
                .into());
            }
            Ok(node
                .console()
                .and_then(|mut console| console.call("eth_blockNumber", json!([])))
                .ok())
        })?;
        Ok(node)
    }

    /// A connection to its socket.
    pub(crate) fn console(&self) -> Result<Console, Failure> {
        let stream = UnixStream::connect(&self.ipc)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Console(BufReader::with_capacity(1 << 16, stream)))
    }

    /// Makes it connect to another one; returns when it is.
    pub(crate) fn connect(&self, other: &Self) -> Result<(), Failure> {
        let info = other.console()?.call("admin_nodeInfo", json!([]))?;
        let enode = info["enode"].as_str().ok_or("a node has no enode URL")?;
        let enode = enode.split('?').next().unwrap_or_default();
        let (key, address) = enode.split_once('@').ok_or("an enode URL without an address")?;
        let port = address.rsplit_once(':').ok_or("an enode URL without a port")?.1;
        let mut console = self.console()?;
        let before = peers(&mut console)?;
        console.call("admin_addPeer", json!([format!("{key}@127.0.0.1:{port}")]))?;
        wait("nodes are connected", || Ok((peers(&mut console)? > before).then_some(())))
    }

    /// CPU time since its start, seconds.
    pub(crate) fn cpu(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name: state is the first word, utime and stime the 12th and 13th.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let words = rest.split(' ').skip(11).take(2);
        let ticks: f64 = words.filter_map(|word| word.parse::<f64>().ok()).sum();
        // SAFETY: sysconf takes no pointers.
        Ok(ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64)
    }

    /// Resident memory, MiB: now (`VmRSS`) or at most (`VmHWM`).
    pub(crate) fn memory(&self, which: &str) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(number.ok_or("no such line in the status of a process")? / 1024.0)
    }
}

fn peers(console: &mut Console) -> Result<u64, Failure> {
    quantity(&console.call("net_peerCount", json!([]))?)
}

/// A number of JSON-RPC.
pub(crate) fn quantity(value: &Value) -> Result<u64, Failure> {
    let text = value.as_str().ok_or("not a quantity")?;
    Ok(u64::from_str_radix(text.trim_start_matches("0x"), 16)?)
}

/// JSON-RPC over the socket of a node.
pub(crate) struct Console(BufReader<UnixStream>);

impl Console {
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.0.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut answer =
            Value::deserialize(&mut serde_json::Deserializer::from_reader(&mut self.0))?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(format!("{method}: {answer}").into()),
        }
    }
}

fn ours(
    program: &Path,
    data: &Path,
    options: &Options<'_>,
    http: Option<u16>,
) -> Result<Command, Failure> {
    let mut command = Command::new(program);
    command.args(["run", "--listen", "127.0.0.1", "--port", "0", "--log", "warn", "--data-dir"]);
    command.arg(data).arg("--genesis").arg(&options.genesis);
    if let Some(port) = http {
        command.arg("--http").arg(format!("127.0.0.1:{port}"));
    }
    if let Some(signer) = options.signer {
        command.arg("--validator-key").arg(key_file(data, signer)?);
    }
    if let Some(limit) = options.max_peers {
        command.args(["--max-peers", &limit.to_string()]);
    }
    if let Some(limit) = options.gas_limit.filter(|_| options.signer.is_some()) {
        command.args(["--gas-limit", &limit.to_string()]);
    }
    Ok(command)
}

fn geths(
    program: &Path,
    data: &Path,
    options: &Options<'_>,
    http: Option<u16>,
) -> Result<Command, Failure> {
    let mut command = Command::new(program);
    command.arg("--datadir").arg(data).args(["--networkid", &CHAIN_ID.to_string()]);
    command.args(["--syncmode", "full", "--port", "0", "--authrpc.port", "0", "--nat", "none"]);
    command.args(["--nodiscover", "--netrestrict", "127.0.0.0/8", "--verbosity", "2"]);
    if let Some(port) = http {
        command.args(["--http", "--http.port", &port.to_string()]);
    }
    if let Some(limit) = options.max_peers {
        command.args(["--maxpeers", &limit.to_string()]);
    }
    if let Some(limit) = options.gas_limit {
        command.args(["--miner.gaslimit", &limit.to_string()]);
    }
    if let Some(signer) = options.signer {
        let password = data.with_extension("password");
        std::fs::write(&password, "a password\n")?;
        let mut import = Command::new(program);
        import.args(["account", "import", "--lightkdf", "--datadir"]).arg(data);
        finish(import.arg("--password").arg(&password).arg(key_file(data, signer)?))?;
        let address = signer.address.to_string();
        command.args(["--mine", "--miner.etherbase", &address, "--miner.gasprice", "1"]);
        command
            .args(["--unlock", &address, "--allow-insecure-unlock", "--password"])
            .arg(&password);
    }
    Ok(command)
}

fn key_file(data: &Path, account: &Account) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = data.with_extension("key");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(alloy_primitives::hex::encode(account.key.to_secret_bytes()).as_bytes())?;
    Ok(path)
}

/// Runs a program to its end.
fn finish(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Asks again and again until there is an answer.
pub(crate) fn wait<T>(
    what: &str,
    mut found: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found()? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(format!("took too long: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn free_port() -> Result<u16, std::io::Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
