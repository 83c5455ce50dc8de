//! One connection: the handshake, and what comes right after it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chainmesh_identity::tls::rustls::client::ClientConnection;
use chainmesh_identity::tls::rustls::pki_types::CertificateDer;
use chainmesh_identity::tls::rustls::{
    CipherSuite, ClientConfig, Error, NamedGroup, ProtocolVersion,
};
use chainmesh_identity::tls::server_name;

use super::first_words::{MAX_WORDS, Speaks};
use super::observer::{Notebook, Seen};

/// How long the peer is listened to after the handshake. In TLS 1.3 it sees our certificate only
/// then, and what FISCO's nodes say first comes without being asked.
const LISTEN: Duration = Duration::from_secs(2);
/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The peer has not answered our first message.
    Greeting,
    /// It has answered in TLS, and the handshake is not done.
    Handshake,
    /// The handshake is done at our end.
    Open,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// It did not, as long as we listened; then we closed it.
    Open,
    /// The first bytes of the peer are not TLS.
    NotTls(Vec<u8>),
    /// TLS came to an error: ours, or an alert by the peer.
    Tls(Error),
    /// The peer closed it.
    Closed,
    /// The peer, or something on the way, broke it off.
    Reset,
    /// The peer kept it open and said nothing more in time.
    Silent,
    /// The system had another reason.
    Io(io::Error),
}

/// What there is to know of one connection.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) stage: Stage,
    pub(super) ending: Ending,
    pub(super) version: Option<ProtocolVersion>,
    pub(super) cipher: Option<CipherSuite>,
    pub(super) group: Option<NamedGroup>,
    /// The ALPN protocol that the peer chose.
    pub(super) protocol: Option<Vec<u8>>,
    /// What the peer showed, as far as it was accepted or noted.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The kinds of signature for which the peer asked us for a certificate, if it did.
    pub(super) seen: Seen,
    pub(super) speaks: Speaks,
    /// From the first byte to the end of the handshake, or of the connection.
    pub(super) handshake: Duration,
    /// From the first byte to the end of the connection.
    pub(super) lasted: Duration,
}

struct Probe {
    stream: TcpStream,
    tls: ClientConnection,
    stage: Stage,
    words: Vec<u8>,
    began: Instant,
    handshake: Option<Duration>,
}

/// Shakes hands, listens for a moment, and closes.
pub(super) fn probe(
    stream: TcpStream,
    config: ClientConfig,
    notebook: &Notebook,
    timeout: Duration,
) -> Result<Observation, Error> {
    let tls = ClientConnection::new(Arc::new(config), server_name())?;
    let (began, words) = (Instant::now(), Vec::new());
    let mut probe = Probe { stream, tls, stage: Stage::Greeting, words, began, handshake: None };
    let ending = probe.run(timeout);
    probe.close();
    let Probe { tls, stage, words, handshake, .. } = probe;
    let lasted = began.elapsed();
    let seen = notebook.read();
    let chain = tls.peer_certificates().map(|chain| {
        let owned = chain.iter().map(|certificate| certificate.clone().into_owned());
        owned.collect::<Vec<_>>()
    });
    Ok(Observation {
        stage,
        ending,
        version: tls.protocol_version(),
        cipher: tls.negotiated_cipher_suite().map(|suite| suite.suite()),
        group: tls.negotiated_key_exchange_group().map(|group| group.name()),
        protocol: tls.alpn_protocol().map(<[u8]>::to_vec),
        chain: chain.unwrap_or_else(|| seen.chain.clone()),
        seen,
        speaks: Speaks::of(&words),
        handshake: handshake.unwrap_or(lasted),
        lasted,
    })
}

impl Probe {
    fn run(&mut self, timeout: Duration) -> Ending {
        let mut deadline = self.began + timeout;
        loop {
            if let Err(ending) = self.send() {
                // What the peer said before it hung up explains more than that it did.
                return self.last_words(ending);
            }
            if self.stage != Stage::Open && !self.tls.is_handshaking() {
                self.stage = Stage::Open;
                self.handshake = Some(self.began.elapsed());
                deadline = Instant::now() + LISTEN;
            }
            if self.stage == Stage::Open && self.has_spoken() {
                return Ending::Open;
            }
            if let Err(ending) = self.receive(deadline) {
                return ending;
            }
        }
    }

    fn send(&mut self) -> Result<(), Ending> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream).map_err(of_io)?;
        }
        Ok(())
    }

    /// Reads once, and hands it to TLS.
    fn receive(&mut self, deadline: Instant) -> Result<(), Ending> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.late());
        }
        self.stream.set_read_timeout(Some(left)).map_err(Ending::Io)?;
        let mut chunk = [0; CHUNK];
        let length = match self.stream.read(&mut chunk) {
            Ok(0) => return Err(Ending::Closed),
            Ok(length) => length,
            Err(error) if is_late(&error) => return Err(self.late()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(of_io(error)),
        };
        let mut bytes = chunk.get(..length).unwrap_or_default();
        if self.stage == Stage::Greeting {
            if !begins_as_tls(bytes) {
                return Err(Ending::NotTls(bytes.to_vec()));
            }
            self.stage = Stage::Handshake;
        }
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).map_err(Ending::Io)?;
            let state = self.tls.process_new_packets().map_err(Ending::Tls)?;
            let (plain, closed) = (state.plaintext_bytes_to_read(), state.peer_has_closed());
            // That many have been decrypted: no more than came in this chunk.
            let mut words = vec![0; plain];
            let read = self.tls.reader().read(&mut words).unwrap_or(0);
            self.words.extend(words.iter().take(read));
            if closed {
                return Err(Ending::Closed);
            }
        }
        if self.words.len() > MAX_WORDS {
            return Err(Ending::Open);
        }
        Ok(())
    }

    /// Whether the peer has said enough. It says nothing before it has accepted our certificate.
    fn has_spoken(&self) -> bool {
        let ours = self.tls.alpn_protocol().is_some() && !self.words.is_empty();
        ours || Speaks::of(&self.words).is_settled()
    }

    /// What the time running out means.
    fn late(&self) -> Ending {
        match self.stage {
            Stage::Open => Ending::Open,
            Stage::Greeting | Stage::Handshake => Ending::Silent,
        }
    }

    /// After a write failed: an alert may be waiting to be read.
    fn last_words(&mut self, of_write: Ending) -> Ending {
        let deadline = Instant::now() + LISTEN;
        loop {
            match self.receive(deadline) {
                Ok(()) => {}
                Err(ending @ (Ending::Tls(_) | Ending::NotTls(_))) => return ending,
                Err(_) => return of_write,
            }
        }
    }

    /// Tells the peer why, or that it is over.
    fn close(&mut self) {
        self.tls.send_close_notify();
        // It may be gone already.
        let _ = self.send();
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

/// Asks in plain HTTP on a new connection, for a peer that does not answer TLS: is it a server of
/// that kind?
pub(super) fn answers_http(mut stream: TcpStream, timeout: Duration) -> bool {
    let ready = stream
        .set_read_timeout(Some(timeout.min(LISTEN)))
        .and_then(|()| stream.write_all(b"GET / HTTP/1.0\r\n\r\n"));
    let mut answer = Vec::new();
    let read = ready.and_then(|()| stream.take(5).read_to_end(&mut answer));
    read.is_ok() && is_http(&answer)
}

/// Whether this is the beginning of an answer in HTTP/1.
pub(super) fn is_http(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/")
}

/// Whether a TLS record can begin so (RFC 8446 section 5.1): a type of 20 to 24, then version 3.x.
fn begins_as_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=24] | [20..=24, 3, ..])
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn of_io(error: io::Error) -> Ending {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ending::Closed,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Ending::Reset,
        _ => Ending::Io(error),
    }
}
