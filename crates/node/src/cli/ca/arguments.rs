//! What `chainmesh ca` understands.

use std::path::PathBuf;

use chainmesh_identity::certificate::KeyType;
use clap::{Args, Subcommand};

/// Make a chain CA, agencies and node certificates for a consortium
///
/// In a consortium nodes talk to each other only if both have a certificate that leads to a CA both
/// trust. The CA is a directory with a key and a record of what it has issued; a node gets three
/// files: ca.crt (whom to trust), node.crt (its certificate) and node.key (its key, which is also
/// its identity).
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A chain with two nodes, in a minute:
  chainmesh ca init
  chainmesh ca issue --name n0 --out ./n0
  chainmesh ca issue --name n1 --out ./n1
  chainmesh ca list

When a node is no longer to take part:
  chainmesh ca revoke n1
  chainmesh ca export n0 --out ./n0      then let the node reload its files")]
pub(crate) enum CaCommand {
    Init(InitArgs),
    Agency(AgencyArgs),
    Issue(IssueArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
    Export(ExportArgs),
}

/// Where the CA is.
#[derive(Debug, Args)]
pub(crate) struct CaDirectory {
    /// The directory of the CA
    #[arg(long, value_name = "DIR", default_value = "ca")]
    pub(super) ca: PathBuf,
}

/// Make a new chain CA: a key, and the certificate that all nodes of the chain trust
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chainmesh ca init --name mychain --ca ./ca
  chainmesh ca init --ca ./sdk-ca --key-type p256     for applications in Java

It writes ca.key (readable by you only; whoever has it can let anybody into the chain) and ca.crt
(for everybody). An existing CA is never overwritten. Two CAs of one chain, as for a rollover, need
different names.")]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(super) ca: CaDirectory,
    /// The CA's name: letters, digits, dots, dashes, underscores [default: chain- and 8 digits]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// What kind of key it has: secp256k1 (nodes of ours and of FISCO BCOS 2.x), p256 or rsa (clients
    /// that cannot read that curve, such as Java since 16, and nodes of FISCO BCOS 3.x)
    #[arg(long, value_name = "KIND", default_value_t)]
    pub(super) key_type: KeyType,
    /// How long its certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 7300, value_parser = days())]
    pub(super) days: u32,
}

/// Make an agency: a CA below the chain CA, for one organisation, that can certify nodes only
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chainmesh ca agency bank
  chainmesh ca issue --agency bank --name bank-n0 --out ./bank-n0

Its key and record are in agencies/<NAME> of the CA's directory.")]
pub(crate) struct AgencyArgs {
    #[command(flatten)]
    pub(super) ca: CaDirectory,
    /// The agency's name: letters, digits, dots, dashes, underscores
    pub(super) name: String,
    /// How long its certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = days())]
    pub(super) days: u32,
}

/// Issue a certificate for a node or an application: ca.crt, node.crt and node.key in a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh ca issue --name n0 --out ./n0                        with a new key
  chainmesh ca issue --name n0 --out ./n0 --key ./node/p2p_key   with the key the node has
  chainmesh ca issue --name n0 --out ./n0 --key ./n0/node.key    a new certificate, the same key
  chainmesh ca issue --name n0 --out ./n0 --id <NODE ID>         the key stays where it is
  chainmesh ca issue --name app --out ./app --sdk                for an SDK: sdk.crt and sdk.key

A new key is of the kind that the CA has, unless --key-type says otherwise. With --key the key is read 
in PEM (PKCS#8, EC PRIVATE KEY, RSA PRIVATE KEY) or as the 64 hex digits of p2p_key. A key that is in the directory already is never overwritten.")]
#[group(id = "whose", multiple = false)]
pub(crate) struct IssueArgs {
    #[command(flatten)]
    pub(super) ca: CaDirectory,
    /// The node's name: letters, digits, dots, dashes, underscores
    #[arg(long)]
    pub(super) name: String,
    /// Where to write the node's files
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Use the key in this file, not a new one
    #[arg(long, value_name = "FILE", group = "whose")]
    pub(super) key: Option<PathBuf>,
    /// Use the key of this node ID (128 hex digits), without having its secret half
    #[arg(long, value_name = "NODE ID", group = "whose")]
    pub(super) id: Option<String>,
    /// What kind of key to make: secp256k1, p256 or rsa [default: as the CA's]
    #[arg(long, value_name = "KIND", group = "whose")]
    pub(super) key_type: Option<KeyType>,
    /// Name the files as the SDKs of FISCO BCOS want them: sdk.crt and sdk.key
    #[arg(long)]
    pub(super) sdk: bool,
    /// Let this agency issue it, not the chain CA
    #[arg(long, value_name = "NAME")]
    pub(super) agency: Option<String>,
    /// How long the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 1095, value_parser = days())]
    pub(super) days: u32,
}

/// List everything that the CA and its agencies have issued
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(super) ca: CaDirectory,
    /// Print JSON, with the whole IDs, instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// Revoke certificates: nodes refuse them as soon as they have the new ca.crl
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh ca revoke n1                    all certificates of that name
  chainmesh ca revoke 5a0c3f…               the one with that serial number
  chainmesh ca revoke <NODE ID>             all certificates of that key

The list of revoked certificates is ca.crl in the CA's directory. Hand it to every node (chainmesh
ca export writes it too) and let them reload it; until then they know nothing of it.")]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    pub(super) ca: CaDirectory,
    /// A name, a serial number, or an ID of a node
    #[arg(value_name = "NAME|SERIAL|ID")]
    pub(super) which: String,
}

/// Write the current files of one node, without its key: ca.crt, ca.crl and node.crt
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chainmesh ca export n0 --out ./n0

The CA does not keep the keys of nodes, so node.key is not among the files.")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(super) ca: CaDirectory,
    /// A name, a serial number, or an ID of a node
    #[arg(value_name = "NAME|SERIAL|ID")]
    pub(super) which: String,
    /// Where to write the files
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
}

/// A hundred years, as FISCO's tools give, are enough.
fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_500)
}
