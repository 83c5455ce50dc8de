//! A TLS server for one session, for foreign clients: accepts it as a node of the consortium does,
//! says who came, and sends a heartbeat of FISCO BCOS.
//!
//! ```sh
//! cargo run -p chainmesh-identity --example tls_server -- ca.crt node.crt node.key
//! openssl s_client -connect 127.0.0.1:PORT -tls1_2 -CAfile ca.crt -cert other.crt -key other.key
//! ```
//!
//! The first line is `listening 127.0.0.1:PORT`. Then there is either one line `refused …` and exit
//! status 1, or a line for each of version, cipher, group, id, long and short.

// The crate itself has neither sockets nor clocks; its examples are programs.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chainmesh_identity::certificate::files;
use chainmesh_identity::tls::rustls::server::Acceptor;
use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_identity::tls::rustls::{self, ServerConnection};
use chainmesh_identity::tls::{
    Credentials, HandshakeFailure, HandshakeOptions, PeerSide, TlsMaterial, Trust, Verdict,
    peer_identity, server_config, versions_for_client,
};

/// A packet of type 1, version 0, seq 0: what a FISCO BCOS 3.x node sends first (`P2PSession`).
const HEARTBEAT: [u8; 14] = [0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
/// Longest wait for the client.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("refused {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [authority, certificate, key] = arguments.as_slice() else {
        return Err("usage: tls_server ca.crt node.crt node.key".into());
    };
    let material = material(authority, certificate, key)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening {}", listener.local_addr()?);
    io::stdout().flush()?;
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut connection, verdict) = greet(&mut stream, &material)?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            return Err(failure(error, &verdict));
        }
    }
    introduce(&connection)?;
    connection.writer().write_all(&HEARTBEAT)?;
    while connection.wants_write() {
        connection.write_tls(&mut stream)?;
    }
    // Until the client has gone.
    let _ = rustls::Stream::new(&mut connection, &mut stream).read_to_end(&mut Vec::new());
    Ok(())
}

fn material(
    authority: &Path,
    certificate: &Path,
    key: &Path,
) -> Result<Arc<TlsMaterial>, Box<dyn Error>> {
    let trust = Trust::new(&files::read_certificates(authority)?)?;
    Ok(TlsMaterial::new(Credentials::from_files(certificate, key)?, trust))
}

/// Reads what the client can speak, and answers in what both can.
fn greet(
    stream: &mut TcpStream,
    material: &Arc<TlsMaterial>,
) -> Result<(ServerConnection, Verdict), Box<dyn Error>> {
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        acceptor.read_tls(stream)?;
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((error, mut alert)) => {
                alert.write_all(stream)?;
                return Err(error.into());
            }
        }
    };
    let options = HandshakeOptions {
        versions: versions_for_client(material, &accepted.client_hello()),
        expected: None,
        time: Arc::new(DefaultTimeProvider),
    };
    let (config, verdict) = server_config(material, &options)?;
    match accepted.into_connection(Arc::new(config)) {
        Ok(connection) => Ok((connection, verdict)),
        Err((error, mut alert)) => {
            alert.write_all(stream)?;
            Err(error.into())
        }
    }
}

/// What is behind an error of the handshake.
fn failure(error: io::Error, verdict: &Verdict) -> Box<dyn Error> {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match of_tls.cloned() {
        Some(error) => HandshakeFailure::new(error, verdict, PeerSide::Dialling).into(),
        None => error.into(),
    }
}

fn introduce(connection: &ServerConnection) -> Result<(), Box<dyn Error>> {
    let peer = peer_identity(connection.peer_certificates())?;
    let group = connection.negotiated_key_exchange_group().map(|group| group.name());
    println!("version {:?}", connection.protocol_version().ok_or("no version")?);
    println!("cipher {:?}", connection.negotiated_cipher_suite().ok_or("no cipher")?.suite());
    println!("group {:?}", group.ok_or("no group")?);
    println!("id {peer}");
    println!("long {}", peer.long());
    println!("short {}", peer.short());
    Ok(io::stdout().flush()?)
}
