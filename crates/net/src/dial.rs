//! Outbound TCP connections, and the listener for inbound ones.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use chainmesh_identity::Host;
use chainmesh_proto::peers::{DialError, DialTarget};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

/// Time for looking up a name; the manager limits the whole dial.
const NAME_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Wait before the next address of a name is tried beside those that did not answer yet (RFC 8305,
/// section 5: "Connection Attempt Delay").
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Addresses of a name that are tried. With the wait between them, the last one has a second and a half
/// of the time that the manager gives a dial.
const MAX_ADDRESSES: usize = 6;

/// Connections that the kernel completes ahead of us.
const BACKLOG: u32 = 1024;

/// Connects to a target. A name is looked up now, and each of its addresses is tried.
pub(crate) async fn connect(target: &DialTarget) -> Result<(TcpStream, SocketAddr), DialError> {
    match &target.host {
        Host::Ip(ip) => connect_to(SocketAddr::new(*ip, target.port)).await,
        Host::Name(name) => {
            let lookup = tokio::net::lookup_host((name.as_str(), target.port));
            match tokio::time::timeout(NAME_TIMEOUT, lookup).await {
                Ok(Ok(addresses)) => connect_to_any(by_turns(addresses)).await,
                Ok(Err(_)) => Err(DialError::NameNotFound),
                Err(_) => Err(DialError::TimedOut),
            }
        }
    }
}

/// The addresses of a name in the order in which they are tried: that of the resolver, with the two
/// families in turn (RFC 8305, section 4), each address once.
fn by_turns(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) = (VecDeque::new(), VecDeque::new());
    for address in addresses {
        let is_of_first =
            first.front().is_none_or(|one: &SocketAddr| one.is_ipv4() == address.is_ipv4());
        let family = if is_of_first { &mut first } else { &mut second };
        if !family.contains(&address) {
            family.push_back(address);
        }
    }
    let mut order = Vec::new();
    while order.len() < MAX_ADDRESSES && !(first.is_empty() && second.is_empty()) {
        order.extend(first.pop_front());
        order.extend(second.pop_front());
    }
    order.truncate(MAX_ADDRESSES);
    order
}

/// Connects to the first address that answers: the next one is tried when the one before failed, and
/// beside it when that takes long.
async fn connect_to_any(addresses: Vec<SocketAddr>) -> Result<(TcpStream, SocketAddr), DialError> {
    let mut waiting = VecDeque::from(addresses);
    let mut attempts = JoinSet::new();
    let mut last = DialError::NameNotFound;
    loop {
        if let Some(address) = waiting.pop_front() {
            attempts.spawn(connect_to(address));
        }
        let ended = async {
            // Without anybody left to try, only an end is waited for.
            if waiting.is_empty() {
                return attempts.join_next().await;
            }
            match tokio::time::timeout(NEXT_ADDRESS, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => Some(Ok(Err(last))),
            }
        };
        match ended.await {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(error))) => last = error,
            Some(Err(_)) => last = DialError::System,
            None => return Err(last),
        }
    }
}

async fn connect_to(address: SocketAddr) -> Result<(TcpStream, SocketAddr), DialError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok((stream, address))
        }
        Ok(Err(error)) => Err(dial_error(error.kind())),
        Err(_) => Err(DialError::TimedOut),
    }
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

#[cfg(test)]
mod tests;
