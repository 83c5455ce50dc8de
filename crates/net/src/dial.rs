//! Outbound TCP connections, and the listener for inbound ones.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, ErrorKind};

use chainmesh_identity::Host;
use chainmesh_proto::peers::{DialError, DialTarget};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tracing::warn;

/// Time for one address of a name; the manager limits the whole dial.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections that the kernel completes ahead of us.
const BACKLOG: u32 = 1024;

/// Connects to a target. A name is looked up now, and each of its addresses is tried.
pub(crate) async fn connect(target: &DialTarget) -> Result<(TcpStream, SocketAddr), DialError> {
    let addresses: Vec<SocketAddr> = match &target.host {
        Host::Ip(ip) => vec![SocketAddr::new(*ip, target.port)],
        Host::Name(name) => {
            let lookup = tokio::net::lookup_host((name.as_str(), target.port));
            match tokio::time::timeout(CONNECT_TIMEOUT, lookup).await {
                Ok(Ok(addresses)) => addresses.collect(),
                Ok(Err(_)) => return Err(DialError::NameNotFound),
                Err(_) => return Err(DialError::TimedOut),
            }
        }
    };
    let mut last = DialError::NameNotFound;
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Ok(Err(error)) => last = dial_error(error.kind()),
            Err(_) => last = DialError::TimedOut,
        }
    }
    Err(last)
}

const fn dial_error(kind: ErrorKind) -> DialError {
    match kind {
        ErrorKind::ConnectionRefused => DialError::Refused,
        ErrorKind::TimedOut => DialError::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => DialError::Unreachable,
        _ => DialError::System,
    }
}

/// Binds the listener. A port that was in use by a process that just ended can be used at once.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes connections until the node ends. When the process has no file descriptor left, it waits
/// instead of turning in circles; the connections that exist are kept.
pub(crate) async fn listen(listener: TcpListener, to: mpsc::Sender<(TcpStream, SocketAddr)>) {
    let mut pause = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = to.closed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                pause = Duration::ZERO;
                let _ = stream.set_nodelay(true);
                if to.send((stream, address)).await.is_err() {
                    return;
                }
            }
            Err(error) if is_of_one_connection(error.kind()) => {}
            Err(error) => {
                pause = (pause * 2).clamp(Duration::from_millis(10), Duration::from_secs(1));
                warn!("no connection can be taken at the moment: {error}");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Errors of `accept` that speak of the connection that would have been accepted.
const fn is_of_one_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
