//! `chainmesh ping`: is a node there, and what does it say of itself.
//!
//! | file | holds |
//! |---|---|
//! | `target.rs` | who is meant: an enode URL, a node record, or host:port |
//! | `udp.rs` | the discovery side: Ping and the node's record |
//! | `rlpx.rs` | the session side: TCP, handshake, Hello, Status, round trips |
//! | `finding.rs` | what is wrong, who is to blame, and what to do |
//! | `show.rs` | records, fork IDs and times for people and as JSON |

mod finding;
mod rlpx;
pub(super) mod show;
pub(super) mod target;
mod udp;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chainmesh_chain::ChainSpec;
use chainmesh_identity::{NodeKey, key_file};
use chainmesh_net::TlsConfig;
use chainmesh_net::tls::{TlsMaterial, Versions};
use clap::Args;
use serde_json::{Value, json};

use super::output;
use crate::consortium::CertificateFiles;
use finding::Finding;
use target::Target;

/// Ask a node whether it is there, over UDP (discovery) and over TCP (RLPx or TLS), stage by stage
///
/// Over UDP it sends a discv4 Ping and asks for the node's record; over TCP it connects, shakes hands,
/// says Hello, hears on which chain the node is, and measures round trips with the Ping of the
/// session. When something does not answer it says at which stage, who is to blame, and what to do. It
/// shows a key that nobody knows, and says of its own chain whatever the node says, so that the node has no
/// reason to refuse.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh ping 'enode://3c60d5fa…@203.0.113.7:30303'
  chainmesh ping 'enr:-Iq4QM…' --udp -c 10
  chainmesh ping 'enode://3c60…@203.0.113.7:30303' --genesis genesis.json   of our chain?
  chainmesh ping n0:30300 --tls ./conf                                 a consortium's node
  chainmesh ping 'enode://3c60…@203.0.113.7:30303' --json | jq .rlpx.client

It ends with 0 if everything that was asked has answered, else with 1.")]
pub(super) struct PingArgs {
    /// Whom: an enode URL, a node record (enr:…), or with --tls HOST:PORT
    #[arg(value_name = "NODE")]
    node: Target,
    /// Only over UDP
    #[arg(long, conflicts_with_all = ["rlpx", "tls"])]
    udp: bool,
    /// Only over TCP
    #[arg(long)]
    rlpx: bool,
    /// Over TCP with TLS, as a consortium's nodes talk: the directory with ca.crt, node.crt and node.key
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
    /// How many round trips are measured, one a second
    #[arg(short, long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Time for each stage, and for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// The genesis file of the network that the node should be of
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The network ID that the node should have
    #[arg(long, value_name = "N")]
    network_id: Option<u64>,
    /// Be the node with the key in this file, instead of one that nobody knows
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    key: Option<PathBuf>,
    /// Be the node of this data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Time between two round trips.
const PAUSE: Duration = Duration::from_secs(1);

/// What all parts need to know.
struct Plan {
    target: Target,
    key: NodeKey,
    tls: Option<TlsConfig>,
    count: u32,
    timeout: Duration,
    chain: Option<ChainSpec>,
    network_id: Option<u64>,
    /// Whether text is printed as things happen.
    talk: bool,
}

impl Plan {
    /// A line for people.
    fn say(&self, label: &str, text: &str) -> anyhow::Result<()> {
        match self.talk {
            true => output::line(&format!("  {label:<10} {text}")),
            false => Ok(()),
        }
    }

    fn title(&self, text: &str) -> anyhow::Result<()> {
        if self.talk { output::line(text) } else { Ok(()) }
    }

    fn say_finding(&self, finding: Option<&Finding>) -> anyhow::Result<()> {
        let Some(finding) = finding else { return Ok(()) };
        self.say("problem", &finding.problem)?;
        self.say("whose", finding.blame.words())?;
        self.say("next", &finding.next)
    }
}

pub(super) fn run(args: PingArgs) -> anyhow::Result<()> {
    let name = args.node.to_string();
    let (udp, tcp) = match (&args.node, args.udp, args.rlpx || args.tls.is_some()) {
        (Target::Address { .. }, ..) if args.tls.is_none() => {
            bail!("HOST:PORT names no node: give an enode URL or a record, or --tls DIR")
        }
        (_, true, true) => (true, true),
        (_, udp, tcp) => (udp || !tcp, tcp || !udp),
    };
    let plan = Plan {
        key: key(&args)?,
        tls: args.tls.as_deref().map(certificates).transpose()?,
        target: args.node,
        count: args.count,
        timeout: Duration::from_secs(args.timeout),
        chain: args.genesis.as_deref().map(ChainSpec::read).transpose()?,
        network_id: args.network_id,
        talk: !args.json,
    };
    let (said, findings) = super::runtime()?.block_on(both(&plan, udp, tcp))?;
    let well = findings.is_empty();
    if args.json {
        let mut all = json!({"node": name, "answered": well});
        if let (Some(all), Value::Object(said)) = (all.as_object_mut(), said) {
            all.extend(said);
        }
        output::line(&all.to_string())?;
    }
    if well {
        return Ok(());
    }
    let labels: Vec<String> = findings.iter().map(|finding| finding.label.to_owned()).collect();
    bail!("not everything answered ({})", labels.join(", "))
}

/// One after the other, so that what is printed is in order and times are not of both at once.
async fn both(plan: &Plan, udp: bool, tcp: bool) -> anyhow::Result<(Value, Vec<Finding>)> {
    let mut said = json!({});
    let mut findings = Vec::new();
    if udp {
        let (value, finding) = udp::ask(plan).await?;
        said["udp"] = value;
        findings.extend(finding);
    }
    if tcp {
        let (value, finding) = rlpx::ask(plan).await?;
        said["rlpx"] = value;
        findings.extend(finding);
    }
    Ok((said, findings))
}

fn key(args: &PingArgs) -> anyhow::Result<NodeKey> {
    let of_directory = args.data_dir.as_ref().map(|dir| dir.join(key_file::KEY_FILE_NAME));
    let Some(path) = args.key.clone().or(of_directory) else {
        return Ok(NodeKey::from_entropy(chainmesh_net::entropy()));
    };
    let key = key_file::load(&path)?;
    key.with_context(|| format!("there is no key file {}", path.display()))
}

fn certificates(directory: &std::path::Path) -> anyhow::Result<TlsConfig> {
    let loaded = CertificateFiles::of_directory(directory).load()?;
    let material = TlsMaterial::new(loaded.credentials, loaded.trust);
    Ok(TlsConfig { material, versions: Versions::Both })
}
