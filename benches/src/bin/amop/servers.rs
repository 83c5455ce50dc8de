//! The servers, two of each kind, in processes of their own that end with this one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::link::Place;
use crate::protocol::Protocol;

/// How long a server has to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two servers that are connected.
pub(crate) struct Servers {
    processes: [Process; 2],
    /// By protocol, for the first and the second server.
    places: Vec<[Place; 2]>,
    _directory: TempDir,
}

impl Servers {
    /// Where both are, in this protocol.
    pub(crate) fn places(&self, protocol: Protocol) -> io::Result<[Place; 2]> {
        let found = self.places.iter().find(|[first, _]| first.protocol == protocol);
        found.cloned().ok_or_else(|| io::Error::other("not served"))
    }

    /// Resident memory of the second server, KiB.
    pub(crate) fn resident(&self) -> io::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.processes[1].0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// CPU time of both servers since their start, seconds.
    pub(crate) fn cpu(&self) -> io::Result<f64> {
        let mut ticks = 0.0;
        for process in &self.processes {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id()))?;
            // Behind the name: state is the first word, utime and stime the 12th and 13th.
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let words = rest.split(' ').skip(11).take(2);
            ticks += words.filter_map(|word| word.parse::<f64>().ok()).sum::<f64>();
        }
        // SAFETY: sysconf takes no pointers.
        Ok(ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64)
    }

    /// Two nodes of a consortium, linked over TLS; their ports for SDKs with or without TLS.
    pub(crate) fn nodes(program: &Path, tls: bool) -> io::Result<Self> {
        let directory = TempDir::new()?;
        let path = |name: &str| directory.path().join(name);
        let run = |arguments: &[&str]| command(program, arguments);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        run(&["ca", "init", "--ca", &text(path("ca"))])?;
        for name in ["n0", "n1", "app"] {
            let (ca, out) = (text(path("ca")), text(path(name)));
            run(&["ca", "issue", "--ca", &ca, "--name", name, "--out", &out])?;
        }
        let p2p = [free_port()?, free_port()?];
        let start = |number: usize| {
            let (data, certificates) =
                (text(path(&format!("d{number}"))), text(path(&format!("n{number}"))));
            let mut child = Command::new(program);
            child.args(["run", "--consortium", "--listen", "127.0.0.1", "--log", "warn"]);
            child.args(["--data-dir", &data, "--cert-dir", &certificates]);
            child.args(["--port", &p2p[number].to_string()]);
            child.args(["--sdk-channel", "127.0.0.1:0", "--sdk-websocket", "127.0.0.1:0"]);
            child.args(["--node", &format!("127.0.0.1:{}", p2p[1 - number])]);
            if !tls {
                child.arg("--sdk-plain");
            }
            spawn(&mut child, &path(&format!("node{number}.log")))
        };
        let processes = [start(0)?, start(1)?];
        let certificates: Option<Arc<Path>> = tls.then(|| path("app").into());
        let ports = [0, 1].map(|number| {
            wait("a node is ready", || {
                let data = text(path(&format!("d{number}")));
                let answer = run(&["topics", "--json", "--data-dir", &data]).ok()?;
                serde_json::from_str::<Value>(&answer).ok()
            })
        });
        let [first, second] = ports;
        let (first, second) = (first?, second?);
        wait("the nodes are connected", || {
            let answer = run(&["mesh", "--json", "--data-dir", &text(path("d0"))]).ok()?;
            let status: Value = serde_json::from_str(&answer).ok()?;
            let members = status.get("members")?.as_array()?;
            members.iter().any(|member| member["statusSeq"].is_number()).then_some(())
        })?;
        let mut places = Vec::new();
        for (protocol, name) in [(Protocol::Channel, "channel"), (Protocol::WebSocket, "websocket")]
        {
            let place = |of: &Value| {
                let address = of[name].as_str().and_then(|text| text.parse().ok());
                let address = address.ok_or_else(|| io::Error::other("a node has no port"))?;
                let certificates = certificates.clone();
                Ok::<_, io::Error>(Place { protocol, address, certificates })
            };
            places.push([place(&first)?, place(&second)?]);
        }
        Ok(Self { processes, places, _directory: directory })
    }

    /// Two NATS servers with a route between them.
    pub(crate) fn nats(program: &Path) -> io::Result<Self> {
        let directory = TempDir::new()?;
        let ports = [free_port()?, free_port()?];
        let routes = [free_port()?, free_port()?];
        let start = |number: usize| {
            let mut child = Command::new(program);
            child.args(["-a", "127.0.0.1", "-p", &ports[number].to_string()]);
            child.args(["--cluster_name", "bench"]);
            child.args(["--cluster", &format!("nats://127.0.0.1:{}", routes[number])]);
            child.args(["--routes", &format!("nats://127.0.0.1:{}", routes[1 - number])]);
            spawn(&mut child, &directory.path().join(format!("nats{number}.log")))
        };
        let processes = [start(0)?, start(1)?];
        let place = |port: u16| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            Place { protocol: Protocol::Nats, address, certificates: None }
        };
        for port in ports {
            wait("a NATS server is ready", || {
                std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
            })?;
        }
        let places = vec![ports.map(place)];
        Ok(Self { processes, places, _directory: directory })
    }
}

fn command(program: &Path, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn spawn(command: &mut Command, log: &Path) -> io::Result<Process> {
    let log = std::fs::File::create(log)?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    Ok(Process(child))
}

fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> io::Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(io::Error::other(format!("took too long: {what}")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
