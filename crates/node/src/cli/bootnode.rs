//! `chainmesh bootnode`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chainmesh_identity::{BootNode, Enode, key_file};
use chainmesh_net::discovery::{self, DiscoveryOptions};
use chainmesh_net::nat::{self, NatChoice, NatPorts};
use chainmesh_proto::discovery::BUCKET_SIZE;
use clap::Args;

use super::signals::StopSignals;
use super::{logging, output};

/// Run a boot node: other nodes find each other through it
///
/// It speaks discovery (discv4 and discv5 on one UDP port) and nothing else: no chain, no sessions. Its
/// key is kept in the data directory. It prints the enode URL that other nodes are started with, and, when
/// its own address is known, its node record, which says the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh bootnode --data-dir ./boot
  chainmesh bootnode --data-dir ./boot --port 30301 --external-ip 203.0.113.7
  chainmesh run --data-dir ./node --genesis genesis.json \\
      --bootnode 'enode://…@203.0.113.7:0?discport=30301'")]
pub(super) struct BootnodeArgs {
    /// Directory for the key; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// UDP port to listen on; 0 lets the system choose one
    #[arg(long, default_value_t = chainmesh_identity::enode::DEFAULT_PORT)]
    port: u16,
    /// IP address to listen on
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    listen: IpAddr,
    /// Address under which others reach it [default: what other nodes see]
    #[arg(long, value_name = "ADDR")]
    external_ip: Option<IpAddr>,
    /// How to be reached from outside, when behind a gateway: none; extip:ADDR, when somebody has seen to
    /// it; or ask the gateway to map the port, by any, upnp, or pmp[:ADDR of the gateway] (only in builds
    /// with the cargo feature upnp) [default: none]
    #[arg(long, value_name = "HOW", conflicts_with = "external_ip")]
    nat: Option<NatChoice>,
    /// Another boot node to begin at; may be given several times
    #[arg(long, value_name = "ENODE or ENR")]
    bootnode: Vec<BootNode>,
    /// Speak Node Discovery v4 alone
    #[arg(long)]
    no_discovery_v5: bool,
    /// What is logged: a level, or target=level pairs [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

pub(super) fn run(args: BootnodeArgs) -> anyhow::Result<()> {
    logging::to_stderr(args.log.as_deref().unwrap_or(logging::DEFAULT_FILTER))?;
    if args.external_ip.is_some_and(|ip| ip.is_unspecified()) {
        bail!("--external-ip must be an address that others can reach");
    }
    let nat = args.nat.unwrap_or_default();
    nat.check().context("--nat")?;
    let external_ip = args.external_ip.or(nat.external());
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("cannot make the directory {}", args.data_dir.display()))?;
    let path = args.data_dir.join(key_file::KEY_FILE_NAME);
    let key = key_file::load_or_create(&path, chainmesh_net::entropy())?;
    let id = key.peer_id();
    let options = DiscoveryOptions {
        boot_records: super::run::boot_records(&args.bootnode),
        boot_nodes: args.bootnode.into_iter().map(|boot| boot.enode).collect(),
        discv5: !args.no_discovery_v5,
        external_ip,
        max_inbound_per_bucket: BUCKET_SIZE,
        ..DiscoveryOptions::default()
    };
    super::runtime()?.block_on(async {
        let mut signals = StopSignals::listen()?;
        let address = SocketAddr::new(args.listen, args.port);
        let started = discovery::start(key, address, 0, options, |_| {}).await;
        let handle = started.with_context(|| format!("cannot listen on UDP {address}"))?;
        let listening = handle.listening();
        let ip = match external_ip.unwrap_or(listening.ip()) {
            ip if ip.is_unspecified() && ip.is_ipv6() => std::net::Ipv6Addr::LOCALHOST.into(),
            ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            ip => ip,
        };
        let enode = Enode { udp_port: listening.port(), ..Enode::new(id, ip, 0) };
        output::line(&enode.to_string())?;
        let record = handle.snapshot().await?.record;
        match record.filter(|record| record.ip4().is_some() || record.ip6().is_some()) {
            Some(record) => output::line(&record.to_base64())?,
            None => tracing::info!("its record has no address yet; --external-ip says one"),
        }
        let (running, ended) = tokio::sync::watch::channel(());
        let ports = NatPorts { address: args.listen, tcp: None, udp: Some(listening.port()) };
        let mapping = tokio::spawn(nat::keep(nat, ports, Some(handle.clone()), ended));
        signals.next().await;
        signals.end_on_next();
        drop(running);
        mapping.await?;
        Ok(())
    })
}
