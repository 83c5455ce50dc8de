//! From node to node until nothing new is found.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chainmesh_identity::{Enode, NodeKey};
use chainmesh_net::discovery::{self, DiscoveryOptions};
use chainmesh_proto::discovery::NodeFilter;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::{Id, JoinSet};

use super::super::output;
use super::super::signals::StopSignals;
use super::graph::{Network, State};
use super::targets::Targets;
use super::visit::{Visit, Visitor};

/// Nodes at one address that are asked at the same time.
const PER_ADDRESS: usize = 2;

/// How far it may go.
pub(super) struct Limits {
    pub(super) rounds: u32,
    pub(super) time: Duration,
    pub(super) max_nodes: usize,
    pub(super) at_once: usize,
    pub(super) hello: bool,
    pub(super) chain: Option<NodeFilter>,
}

/// Walks the network.
pub(super) async fn crawl(
    boot_nodes: Vec<Enode>,
    limits: Limits,
    signals: &mut StopSignals,
) -> anyhow::Result<Network> {
    let options = DiscoveryOptions { look_around: false, ..DiscoveryOptions::default() };
    let key = NodeKey::from_entropy(chainmesh_net::entropy());
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let handle = discovery::start(key, any, 0, options, |_| {}).await;
    let handle = handle.context("no UDP port can be listened on")?;
    let mut network = Network::new(limits.max_nodes);
    for enode in &boot_nodes {
        match discovery::resolve(enode).await {
            Some(contact) => network.begin_at(contact),
            None => output::note(&format!("the name of {} has no address", enode.host)),
        }
    }
    let visitor = Arc::new(Visitor {
        handle,
        targets: Targets::new(chainmesh_net::entropy()),
        rounds: limits.rounds,
        hello: limits.hello,
        chain: limits.chain,
    });
    let began = Instant::now();
    let end = tokio::time::sleep(limits.time);
    tokio::pin!(end);
    let bar = progress();
    let mut visits: JoinSet<Visit> = JoinSet::new();
    let mut asking: HashMap<Id, (usize, IpAddr)> = HashMap::new();
    loop {
        while visits.len() < limits.at_once
            && let Some((number, contact)) = network.next(|ip| is_free(&asking, ip))
        {
            let task = visits.spawn(Arc::clone(&visitor).visit(contact));
            asking.insert(task.id(), (number, contact.endpoint.ip));
        }
        bar.set_message(words(&network, visits.len()));
        tokio::select! {
            done = visits.join_next_with_id() => match done {
                None => break,
                Some(Ok((id, visit))) => {
                    if let Some((number, _)) = asking.remove(&id) {
                        note(&mut network, number, visit);
                    }
                }
                Some(Err(error)) => {
                    asking.remove(&error.id());
                }
            },
            () = &mut end => {
                network.cut = Some("the time was over (--timeout)");
                break;
            }
            () = signals.next() => {
                network.cut = Some("interrupted");
                break;
            }
        }
    }
    bar.finish_and_clear();
    network.took = began.elapsed();
    Ok(network)
}

/// Whether another node at an address may be asked now. Loopback is exempt.
fn is_free(asking: &HashMap<Id, (usize, IpAddr)>, ip: IpAddr) -> bool {
    ip.is_loopback() || asking.values().filter(|(_, busy)| *busy == ip).count() < PER_ADDRESS
}

/// Writes down what came of a visit.
fn note(network: &mut Network, number: usize, visit: Visit) {
    let Some(rtt) = visit.rtt else { return network.silent(number) };
    if let Some(node) = network.nodes.get_mut(number) {
        (node.state, node.rtt) = (State::Answered, Some(rtt));
        (node.record, node.of_chain) = (visit.record, visit.of_chain);
        (node.asked, node.told) = (visit.asked, visit.told);
        node.greeting = visit.greeting;
    }
    for contact in visit.contacts {
        network.told(number, contact);
    }
}

fn words(network: &Network, asking: usize) -> String {
    format!(
        "{} nodes, {} answered, {asking} are being asked, {} wait",
        output::grouped(network.nodes.len() as u64),
        output::grouped(network.answered() as u64),
        output::grouped(network.waiting() as u64)
    )
}

/// A line on stderr; none when that is no terminal.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
