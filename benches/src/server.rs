//! The second process: a node that counts and echoes, and how the first one starts and reads it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use chainmesh_net::Enode;

use crate::args::Args;
use crate::module::{Counter, Identity, config, module};
use crate::probe::{Reading, Received};

/// Runs the server until its parent is done with it.
pub(crate) async fn serve(args: Args) -> io::Result<()> {
    let received = Arc::new(Received::default());
    let module = module(Arc::new(Counter(Arc::clone(&received))))?;
    let node = chainmesh_net::start(config(&args, Identity::new(&args)?, module))
        .await
        .map_err(io::Error::other)?;
    let enode = node.enode().ok_or_else(|| io::Error::other("the server does not listen"))?;
    let control = TcpListener::bind("127.0.0.1:0")?;
    let mut out = io::stdout();
    let address = enode.host_and_port();
    writeln!(out, "READY {address} {} {enode}", control.local_addr()?)?;
    out.flush()?;
    std::thread::spawn(move || {
        // Whatever goes wrong here means that the parent is gone.
        let _ = answer(&control, &received);
        std::process::exit(0)
    });
    core::future::pending().await
}

trait HostAndPort {
    fn host_and_port(&self) -> String;
}

impl HostAndPort for Enode {
    fn host_and_port(&self) -> String {
        let url = self.to_string();
        url.split('@').next_back().and_then(|rest| rest.split('?').next()).unwrap_or("-").to_owned()
    }
}

/// Sends a reading for each `s`.
fn answer(control: &TcpListener, received: &Received) -> io::Result<()> {
    let (mut parent, _) = control.accept()?;
    parent.set_nodelay(true)?;
    let mut request = [0];
    loop {
        parent.read_exact(&mut request)?;
        if request != *b"s" {
            return Ok(());
        }
        parent.write_all(&Reading::take(received)?.encode())?;
    }
}

/// The server as the client sees it; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) enode: Enode,
    control: TcpStream,
    child: Child,
}

impl Server {
    /// Starts this program again, with the same arguments.
    pub(crate) fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .arg("--server")
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ["READY", _, control, enode] = fields.as_slice() else {
            return Err(io::Error::other(format!("the server did not get ready: {line:?}")));
        };
        let enode = enode.parse().map_err(io::Error::other)?;
        let control = TcpStream::connect(control)?;
        control.set_nodelay(true)?;
        Ok(Self { enode, control, child })
    }

    /// What the server measures of itself now.
    pub(crate) fn read(&mut self) -> io::Result<Reading> {
        self.control.write_all(b"s")?;
        let mut bytes = [0; Reading::SIZE];
        self.control.read_exact(&mut bytes)?;
        Ok(Reading::decode(bytes))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.control.write_all(b"q");
        let _ = self.child.wait();
    }
}
