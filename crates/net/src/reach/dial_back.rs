//! One dial for a peer: TCP, the handshake, and a goodbye.
//!
//! It is made with a key that nobody knows, so that it is no second session of two nodes that have one
//! already. No Hello is said: the other side says its own after a second, and by that frame proves that
//! it has the key, whether it has a free slot or not.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, ErrorKind};

use bytes::BytesMut;
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_proto::session::connection::LocalNode;
use chainmesh_proto::session::{Handshake, Progress, Session, SessionError, SessionKind};
use chainmesh_wire::devp2p::{DisconnectReason, MAX_BASE_MESSAGE, code};
use chainmesh_wire::reach::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::entropy;

/// Time for the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the handshake and the first frame, which comes after a second.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that are read at most before the key must be proved: a handshake packet and a frame.
const MAX_INPUT: usize = 8 * 1024;
/// Largest first frame: a message of the base protocol and its code.
const MAX_FRAME: usize = MAX_BASE_MESSAGE + 9;

/// Why there was no proof.
enum Failed {
    /// The other side closed, or spoke something else.
    NotTheNode,
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Self::NotTheNode
            }
            _ => Self::Io(error),
        }
    }
}

impl From<SessionError> for Failed {
    fn from(_: SessionError) -> Self {
        Self::NotTheNode
    }
}

/// Dials, and says what came of it.
pub(super) async fn dial_back(address: SocketAddr, id: PeerId) -> Outcome {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return of_error(&error),
        Err(_) => return Outcome::TimedOut,
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, prove(&mut stream, id)).await {
        Ok(Ok(())) => Outcome::Reached,
        Ok(Err(Failed::Io(error))) => of_error(&error),
        // What is connected and says nothing that it should is no node of this key, or one that is stuck.
        Ok(Err(Failed::NotTheNode)) | Err(_) => Outcome::AnotherNode,
    }
}

fn of_error(error: &io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionRefused => Outcome::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Outcome::Unreachable,
        ErrorKind::TimedOut => Outcome::TimedOut,
        // Nothing that the asker could do anything about.
        _ => Outcome::NotTried,
    }
}

/// Until the other side has proved that it has the key.
async fn prove(stream: &mut TcpStream, id: PeerId) -> Result<(), Failed> {
    let local = LocalNode {
        key: NodeKey::from_entropy(entropy()),
        client_name: String::new(),
        listen_port: 0,
        modules: Vec::new(),
        kind: SessionKind::Rlpx,
        tls: None,
    };
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut handshake = Handshake::dial(&local, Some(id), entropy(), &mut out)?;
    let mut session = loop {
        stream.write_all_buf(&mut out).await?;
        read(stream, &mut input).await?;
        match handshake.advance(&local.key, &mut input, &mut out)? {
            Progress::Wait(again) => handshake = again,
            Progress::Done(session, _) => break session,
        }
    };
    while !session.prove(&mut input, MAX_FRAME)? {
        read(stream, &mut input).await?;
    }
    goodbye(stream, session).await;
    Ok(())
}

async fn read(stream: &mut TcpStream, input: &mut BytesMut) -> Result<(), Failed> {
    if input.len() >= MAX_INPUT || stream.read_buf(input).await? == 0 {
        return Err(Failed::NotTheNode);
    }
    Ok(())
}

/// What is not said costs the other side a line in its log, and nothing else.
async fn goodbye(stream: &mut TcpStream, mut session: Session) {
    let mut out = BytesMut::new();
    let reason = DisconnectReason::Requested.encode_payload();
    session.write(code::DISCONNECT, &reason, &mut out);
    let _ = stream.write_all_buf(&mut out).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests;
