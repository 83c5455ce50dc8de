//! What `chainmesh doctor` understands.

use std::path::PathBuf;

use chainmesh_identity::certificate::ShortId;
use clap::{Args, Subcommand};

use super::connect::Endpoint;

/// Find out why something does not work
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  chainmesh doctor tls 10.0.0.2:30300 --data-dir ./n0")]
pub(crate) enum DoctorCommand {
    Tls(TlsArgs),
}

/// Find out why there is no TLS session with a peer of the consortium, or that there is one
///
/// It connects as a node does, with the same certificates, and says what it sees: which side
/// refuses, which certificate, CA, date, version or curve it is about, who the peer is, what it
/// speaks, and what to do next. When it is us who refuse, it connects a second time and accepts
/// whatever the peer shows, to see what the peer says of our certificate. Nothing is sent over the
/// session.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh doctor tls 10.0.0.2:30300 --data-dir ./n0     of chainmesh ca issue
  chainmesh doctor tls 10.0.0.2:30300 --data-dir ./conf   of a FISCO BCOS node
  chainmesh doctor tls n0:30300 --ca ca.crt --cert node.crt --key node.key
  chainmesh doctor tls n0:30300 --ca old.crt --ca new.crt --json | jq .verdict

It ends with 0 if both sides accept each other and the session stays open, else
with 1. Without a certificate it tells who the peer is, and that it wants one.

A FISCO BCOS node hangs up on a second session of a node that is connected
already: use a certificate of a node that is not, or stop that node first.")]
pub(crate) struct TlsArgs {
    /// The peer: host or address, and port (of IPv6 as in [::1]:30300)
    #[arg(value_name = "HOST:PORT")]
    pub(super) endpoint: Endpoint,
    /// Directory with ca.crt, ca.crl, node.crt and node.key (or FISCO's ssl.crt and ssl.key)
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Trust the CAs in this PEM file; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Vec<PathBuf>,
    /// Show the certificate in this PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// The private key that belongs to --cert
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Heed the revocation lists in this PEM file
    #[arg(long, value_name = "FILE")]
    pub(super) crl: Option<PathBuf>,
    /// Whom you mean to reach; another peer is refused. The ID in any of its forms
    #[arg(long, value_name = "ID")]
    pub(super) expect: Option<ShortId>,
    /// How long to wait for the connection, and then for the handshake
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) timeout: u64,
    /// Print JSON instead of text
    #[arg(long)]
    pub(super) json: bool,
}
