//! NAT-PMP (RFC 6886): packets of 2 to 16 bytes to the gateway.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io;

use tokio::net::UdpSocket;

use super::gateway::{Transport, socket_for};

/// UDP port of gateways (section 1.1).
pub(super) const PORT: u16 = 5351;
/// The only version (section 3.2).
const VERSION: u8 = 0;
/// What an answer's operation has more than its question's.
const ANSWER: u8 = 128;
/// First wait for an answer, twice as long each further time (section 3.1).
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Times that a question is sent. The RFC has 9, which take two minutes; a gateway on a local network
/// answers the first or is none.
const TRIES: u32 = 4;

/// What went wrong with NAT-PMP.
#[derive(Debug, thiserror::Error)]
pub(super) enum PmpError {
    #[error("there is no default route")]
    NoRoute,
    #[error("no answer")]
    Silence,
    #[error("the answer is malformed")]
    Malformed,
    #[error("the gateway speaks another version")]
    Version,
    #[error("the gateway's administrator does not allow it")]
    NotAllowed,
    #[error("the gateway has no network itself")]
    NoNetwork,
    #[error("the gateway has no room for another mapping")]
    NoRoom,
    #[error("the gateway refuses it with code {0}")]
    Refused(u16),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A gateway.
#[derive(Debug)]
pub(super) struct PmpGateway {
    socket: UdpSocket,
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// What an answer to `operation` brings behind its head, or why there is none. `None`: it is the answer
/// to something else.
pub(super) fn read_answer(operation: u8, answer: &[u8]) -> Option<Result<&[u8], PmpError>> {
    let [version, answered, ..] = answer else { return Some(Err(PmpError::Malformed)) };
    if *version != VERSION {
        return Some(Err(PmpError::Version));
    }
    if *answered != operation + ANSWER {
        return None;
    }
    let Some(result) = number(answer, 2) else { return Some(Err(PmpError::Malformed)) };
    Some(match result {
        // After the result comes the gateway's age, 4 bytes.
        0 => answer.get(8..).ok_or(PmpError::Malformed),
        1 => Err(PmpError::Version),
        2 => Err(PmpError::NotAllowed),
        3 => Err(PmpError::NoNetwork),
        4 => Err(PmpError::NoRoom),
        code => Err(PmpError::Refused(code)),
    })
}

impl PmpGateway {
    /// A socket that hears this gateway alone.
    pub(super) async fn connect(gateway: SocketAddr) -> Result<Self, PmpError> {
        Ok(Self { socket: socket_for(gateway).await? })
    }

    pub(super) async fn external_ip(&self) -> Result<Ipv4Addr, PmpError> {
        let answer = self.ask(0, &[VERSION, 0]).await?;
        let ip: [u8; 4] =
            answer.get(..4).and_then(|ip| ip.try_into().ok()).ok_or(PmpError::Malformed)?;
        Ok(ip.into())
    }

    /// Maps a port, or renews the mapping.
    pub(super) async fn map(
        &self,
        transport: Transport,
        local_port: u16,
        wish: u16,
        lease: u32,
    ) -> Result<u16, PmpError> {
        let operation = match transport {
            Transport::Udp => 1,
            Transport::Tcp => 2,
        };
        let mut question = vec![VERSION, operation, 0, 0];
        question.extend(local_port.to_be_bytes());
        question.extend(wish.to_be_bytes());
        question.extend(lease.to_be_bytes());
        let answer = self.ask(operation, &question).await?;
        match (number(&answer, 0), number(&answer, 2)) {
            (Some(port), Some(mapped)) if port == local_port => Ok(mapped),
            _ => Err(PmpError::Malformed),
        }
    }

    /// Takes a mapping back (section 3.4: lease and port of the gateway are zero).
    pub(super) async fn unmap(
        &self,
        transport: Transport,
        local_port: u16,
    ) -> Result<(), PmpError> {
        self.map(transport, local_port, 0, 0).await.map(|_| ())
    }

    async fn ask(&self, operation: u8, question: &[u8]) -> Result<Vec<u8>, PmpError> {
        let mut buffer = [0; 64];
        for attempt in 0..TRIES {
            self.socket.send(question).await?;
            let deadline = tokio::time::Instant::now() + FIRST_WAIT * 2u32.pow(attempt);
            while let Ok(size) =
                tokio::time::timeout_at(deadline, self.socket.recv(&mut buffer)).await
            {
                // That nobody listens there comes as an error, too.
                let answer = buffer.get(..size?).unwrap_or_default();
                if let Some(answer) = read_answer(operation, answer) {
                    return answer.map(<[u8]>::to_vec);
                }
            }
        }
        Err(PmpError::Silence)
    }
}
