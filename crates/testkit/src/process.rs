//! One node as a process of its own: started, stopped, killed, asked, measured.
//!
//! Its log (and what it prints) is in a file beside its data directory, and shown when the test
//! fails. Signals go to the process by its own id and to nothing else; it is killed when the
//! [`Process`] is dropped.

mod log;
mod mesh;
mod rpc;
mod usage;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use mesh::{CertificateView, Listener, MemberView, MeshView, ReceivedView, SentView, hex};
pub use rpc::{CallError, ConnectedPeer, Head, WantedPeer};
pub use usage::Usage;

use crate::wait;

/// The environment variable that names another program to judge, a release build for one.
pub const PROGRAM_VARIABLE: &str = "CHAINMESH_PROGRAM";

/// The program that is judged: `chainmesh`, as it was built together with the tests.
///
/// # Panics
/// When it is not where cargo puts it.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os(PROGRAM_VARIABLE) {
        return path.into();
    }
    let tests = std::env::current_exe().expect("the test has a path");
    // target/debug/deps/it-… is the test, target/debug/chainmesh-under-test the program.
    let mut directories = tests.ancestors().skip(1).take(2);
    let program = directories.find_map(|directory| {
        let program = directory.join("chainmesh-under-test");
        program.is_file().then_some(program)
    });
    program.expect("cargo has built chainmesh-under-test beside the test")
}

/// How a node is started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What the log is called when it is shown.
    pub name: String,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Arguments of `chainmesh run`, without the data directory.
    pub arguments: Vec<String>,
}

/// A node, running or not.
#[derive(Debug)]
pub struct Process {
    setup: Setup,
    child: Option<Child>,
}

/// A running process that does not run at the moment; it goes on when this is dropped.
#[derive(Debug)]
pub struct Stopped<'a>(&'a Process);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.signal(libc::SIGCONT);
    }
}

impl Process {
    /// A node that does not run yet.
    #[must_use]
    pub const fn new(setup: Setup) -> Self {
        Self { setup, child: None }
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.setup.data_dir
    }

    /// How it is started the next time.
    pub const fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// Starts it, and does not wait for anything.
    ///
    /// # Panics
    /// When it runs already, or cannot be started.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.setup.name);
        let log = OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.unwrap_or_else(|error| panic!("the log of {}: {error}", self.setup.name));
        let mut command = Command::new(program());
        command.arg("run").arg("--data-dir").arg(&self.setup.data_dir);
        command.args(&self.setup.arguments).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{:?}: {error}", program())));
    }

    /// Waits until it answers on its socket, and says how long that took.
    ///
    /// # Panics
    /// When it ends instead, or does not answer within [`wait::PATIENCE`].
    pub fn ready(&mut self) -> Duration {
        let name = self.setup.name.clone();
        wait::until(&format!("{name} answers"), || {
            if let Some(status) = self.child().try_wait().expect("it is our child") {
                self.child = None;
                panic!("{name} has ended instead of starting: {status}\n{}", self.log());
            }
            self.call("admin_nodeInfo", json!([])).is_ok()
        })
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// As [`Process::spawn`] and [`Process::ready`].
    pub fn start(&mut self) -> Duration {
        self.spawn();
        self.ready()
    }

    /// Whether it has been started and not ended by us.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn id(&self) -> u32 {
        let running = self.child.as_ref();
        running.unwrap_or_else(|| panic!("{} does not run", self.setup.name)).id()
    }

    /// SIGKILL: it gets no chance to do anything. Returns when it is gone.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap_or_else(|| panic!("{} runs", self.setup.name));
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// SIGTERM: asks it to end. Gives how it ended, and when that was seen.
    ///
    /// # Panics
    /// When it does not run, or does not end within [`wait::PATIENCE`].
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        self.signal(libc::SIGTERM);
        self.wait_for_end()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not run, or does not end within [`wait::PATIENCE`].
    pub fn wait_for_end(&mut self) -> (ExitStatus, Duration) {
        let what = format!("{} ends", self.setup.name);
        let ended = wait::within(wait::PATIENCE, &what, || {
            self.child().try_wait().expect("it is our child")
        });
        self.child = None;
        ended
    }

    /// SIGSTOP: it does not run until what is returned is dropped (SIGCONT). The kernel goes on to
    /// acknowledge what is sent to it. Returns when it really stands still.
    pub fn stop(&self) -> Stopped<'_> {
        self.signal(libc::SIGSTOP);
        let stopped = Stopped(self);
        wait::until("it stands still", || usage::state(self.id()) == Some('T'));
        stopped
    }

    fn signal(&self, signal: i32) {
        let id = i32::try_from(self.id()).expect("process ids are positive");
        // SAFETY: kill takes no pointers; the process is our child, and has not been waited for.
        let sent = unsafe { libc::kill(id, signal) };
        assert_eq!(sent, 0, "signal {signal} to {}", self.setup.name);
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap_or_else(|| panic!("{} does not run", self.setup.name))
    }

    /// Memory, files and threads of the process at this moment.
    ///
    /// # Panics
    /// When it does not run, or has just ended.
    #[must_use]
    pub fn usage(&self) -> Usage {
        usage::of(self.id()).unwrap_or_else(|error| panic!("{}: {error}", self.setup.name))
    }

    /// Calls a JSON-RPC method on its socket.
    ///
    /// # Errors
    /// When it does not answer, or refuses: see [`CallError`].
    pub fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        rpc::call(&self.setup.data_dir, method, &params)
    }

    /// The peers that are connected.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn peers(&self) -> Vec<ConnectedPeer> {
        self.ask("admin_peers", json!([]))
    }

    /// The peers that it wants and does not have.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn wanted(&self) -> Vec<WantedPeer> {
        self.ask("chainmesh_wantedPeers", json!([]))
    }

    /// The head of its chain.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn head(&self) -> Head {
        self.ask("eth_getBlockByNumber", json!(["latest", false]))
    }

    /// Hash of the block with this number on its chain, if it has one.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn block_hash(&self, number: u64) -> Option<String> {
        let params = json!([format!("{number:#x}"), false]);
        let block: Option<Head> = self.ask("eth_getBlockByNumber", params);
        block.map(|block| block.hash)
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, method: &str, params: Value) -> T {
        let name = &self.setup.name;
        let answer = self.call(method, params);
        let answer = answer.unwrap_or_else(|error| panic!("{name}, {method}: {error}"));
        serde_json::from_value(answer).unwrap_or_else(|error| panic!("{name}, {method}: {error}"))
    }

    /// Everything it has logged and printed, in all of its lives.
    #[must_use]
    pub fn log(&self) -> String {
        log::read(&self.log_path())
    }

    /// The lines of its log that have each of these words in them.
    #[must_use]
    pub fn logged(&self, words: &[&str]) -> Vec<String> {
        log::lines_with(&self.log(), words)
    }

    fn log_path(&self) -> PathBuf {
        self.setup.data_dir.with_extension("log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A process that stands still is killed as well.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.setup.name, log::tail(&self.log_path()));
        }
    }
}

/// Runs `chainmesh` with these arguments to its end: exit code, stdout and stderr, and the time.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(arguments: &[&str]) -> (std::process::Output, Duration) {
    let began = Instant::now();
    let output = Command::new(program()).args(arguments).stdin(Stdio::null()).output();
    (output.unwrap_or_else(|error| panic!("{:?}: {error}", program())), began.elapsed())
}
