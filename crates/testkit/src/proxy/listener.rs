//! The proxy's listener, and the two sockets of each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pump;
use super::settings::{Direction, Settings, Shared};

/// Bytes of the kernel's buffers on our side of each connection: small, so that a stall is felt
/// after few bytes. (The kernel doubles it; the sender's own buffers are beside it.)
const KERNEL_BUFFER: u32 = 64 * 1024;

/// Listens, also at a port that has just been given back.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets have it from their listener.
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Takes connections, and carries each of them on a task; returns never.
pub(super) async fn listen(first: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut listener = Some(first);
    let mut settings = shared.watch();
    let mut connections = JoinSet::new();
    loop {
        let refusing = settings.borrow_and_update().refusing;
        if refusing {
            listener = None;
        } else if listener.is_none() {
            match bind(address) {
                Ok(bound) => listener = Some(bound),
                Err(error) => panic!("the proxy cannot listen at {address} again: {error}"),
            }
        }
        shared.listening.store(listener.is_some(), Relaxed);
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            Ok((client, _)) = accept => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move { carry(client, &shared).await });
            }
            _ = settings.changed() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection from its beginning to its end.
async fn carry(client: TcpStream, shared: &Shared) {
    let _counted = shared.opened();
    let mut settings = shared.watch();
    let cuts = settings.borrow().cuts;
    let mut cut = settings.clone();
    let cut = async move { cut.wait_for(|settings| settings.cuts != cuts).await.map(drop) };
    tokio::pin!(cut);
    let connected = tokio::select! {
        connected = connect(&mut settings) => connected,
        _ = &mut cut => return reset(client),
    };
    let Ok(server) = connected else { return reset(client) };
    let _ = client.set_nodelay(true);
    let graceful = tokio::select! {
        ended = pump::both_ways(&client, &server, shared) => ended.is_ok(),
        _ = &mut cut => false,
    };
    if !graceful {
        reset(client);
        reset(server);
    }
}

/// Connects to the server; not while nothing may pass to it.
async fn connect(settings: &mut watch::Receiver<Settings>) -> io::Result<TcpStream> {
    let open = |settings: &Settings| {
        let flow = settings.flows[Direction::ToServer.index()];
        !flow.stalled && !flow.discarding
    };
    let server = match settings.wait_for(open).await {
        Ok(settings) => settings.server,
        Err(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Closes with RST.
fn reset(stream: TcpStream) {
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}
