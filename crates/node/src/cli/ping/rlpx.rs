//! The session side: TCP, handshake, Hello, Status, round trips.

use std::time::Duration;

use chainmesh_identity::Host;
use chainmesh_net::PeerKind;
use chainmesh_net::probe::{ProbeEnd, ProbeEvent, ProbeOptions, probe};
use chainmesh_proto::peers::DialTarget;
use chainmesh_wire::eth::{Status, StatusHead};
use serde_json::{Value, json};

use super::super::output;
use super::Plan;
use super::finding::Finding;
use super::show::{client, fork_text, millis, millis_json, status_json, words};
use super::target::Target;

/// Asks, and says what came.
pub(super) async fn ask(plan: &Plan) -> anyhow::Result<(Value, Option<Finding>)> {
    let (id, host, port) = match &plan.target {
        Target::Node(enode) => (Some(enode.id), enode.host.clone(), enode.tcp_port),
        Target::Address { host, port } => (None, host.clone(), *port),
    };
    // A certificate's key need not be that of an enode URL.
    let id = id.filter(|_| plan.tls.is_none());
    let kind = if plan.tls.is_some() { "TLS" } else { "RLPx" };
    plan.title(&format!("TCP ({kind}) {host}, port {port}"))?;
    if port == 0 {
        let finding = Finding::new(
            "no-tcp-port",
            super::finding::Whose::Ours,
            "the node has no TCP port: it speaks discovery only, as boot nodes do",
            "Nothing; --udp asks for what it has.",
        );
        plan.say_finding(Some(&finding))?;
        return Ok((json!({"finding": finding.to_json()}), Some(finding)));
    }
    let mut options = ProbeOptions::new(crate::node::client_name());
    options.key = plan.key.duplicate();
    options.tls.clone_from(&plan.tls);
    (options.timeout, options.pings) = (plan.timeout, plan.count);
    options.interval = super::PAUSE;
    let mut report = Report { plan, said: json!({}), trips: Vec::new(), chain: None, failed: None };
    let target = DialTarget { id, host: host.clone(), port };
    let end = probe(&target, options, |event| report.heard(event)).await;
    report.end(end, &host, port)
}

struct Report<'a> {
    plan: &'a Plan,
    said: Value,
    trips: Vec<Duration>,
    /// What is wrong with the node's chain.
    chain: Option<Finding>,
    /// Nobody reads what is printed.
    failed: Option<anyhow::Error>,
}

impl Report<'_> {
    fn say(&mut self, label: &str, text: &str) {
        if let Err(error) = self.plan.say(label, text) {
            self.failed.get_or_insert(error);
        }
    }

    fn heard(&mut self, event: ProbeEvent) {
        match event {
            ProbeEvent::Connected { address, took } => {
                self.say("tcp", &format!("connected to {address} ({})", millis(took)));
                self.said["address"] = json!(address.to_string());
                self.said["connectMillis"] = millis_json(took);
            }
            ProbeEvent::Authenticated { id, identity, kind, took } => {
                let who = identity.map_or_else(|| id.short(), |identity| identity.to_string());
                let sort = match kind {
                    PeerKind::Own => "",
                    PeerKind::Fisco2 => ", FISCO BCOS 2.x",
                    PeerKind::Fisco3 => ", FISCO BCOS 3.x",
                };
                self.say("handshake", &format!("{who}{sort} ({})", millis(took)));
                self.said["id"] = json!(id.to_string());
                self.said["handshakeMillis"] = millis_json(took);
            }
            ProbeEvent::Greeted { hello, shared, took } => {
                let capabilities: Vec<String> =
                    hello.capabilities.iter().take(64).map(ToString::to_string).collect();
                let shared: Vec<String> = shared.iter().map(ToString::to_string).collect();
                let (name, took) = (client(&hello.client_name), took);
                self.say("hello", &format!("{name} ({})", millis(took)));
                self.say("speaks", &words(&capabilities));
                self.said["client"] = json!(name);
                self.said["capabilities"] = json!(capabilities);
                self.said["shared"] = json!(shared);
                self.said["listenPort"] = json!(hello.listen_port);
                self.said["helloMillis"] = millis_json(took);
            }
            ProbeEvent::Status { status, took } => self.status(&status, took),
            ProbeEvent::HeadNumber(number) => {
                self.say("head", &format!("block {}", output::grouped(number)));
                self.said["status"]["headNumber"] = json!(number);
            }
            ProbeEvent::Pong(rtt) => {
                self.trips.push(rtt);
                self.say(&format!("ping {}", self.trips.len()), &millis(rtt));
            }
        }
    }

    fn status(&mut self, status: &Status, took: Duration) {
        let fork = (status.fork_id.hash.0, status.fork_id.next);
        let head = match &status.head {
            StatusHead::TotalDifficulty { total_difficulty, best_hash } => {
                format!("total difficulty {total_difficulty}, head {best_hash}")
            }
            StatusHead::Range(range) => format!("blocks {} to {}", range.earliest, range.latest),
        };
        let network = status.network_id;
        let version = status.version;
        self.say("status", &format!("eth/{version}, network {network} ({})", millis(took)));
        self.say("genesis", &status.genesis.to_string());
        self.say("fork ID", &fork_text(fork.0, fork.1));
        self.say("chain", &head);
        self.said["status"] = status_json(status);
        self.said["statusMillis"] = millis_json(took);
        if let Some(wanted) = self.plan.network_id.filter(|wanted| *wanted != network) {
            let what = format!("it is of network {network}, not of {wanted}");
            self.chain = Some(Finding::other_chain(what));
        }
        if let Some(spec) = &self.plan.chain
            && spec.genesis_hash() != status.genesis
        {
            let what = format!(
                "it is of another chain: its genesis block is {}, that of --genesis {}",
                output::short_hash(&status.genesis),
                output::short_hash(&spec.genesis_hash())
            );
            self.chain = Some(Finding::other_chain(what));
        }
    }

    fn end(
        mut self,
        end: ProbeEnd,
        host: &Host,
        port: u16,
    ) -> anyhow::Result<(Value, Option<Finding>)> {
        let finding = match end {
            ProbeEnd::Done => None,
            ProbeEnd::NoConnection(error) => Some(Finding::no_connection(error, port)),
            ProbeEnd::Closed(stage, cause) => Some(Finding::closed(stage, &cause)),
            ProbeEnd::TimedOut(stage) => Some(Finding::silent(stage)),
            ProbeEnd::NothingInCommon => Some(Finding::nothing_in_common()),
        };
        let finding = self.chain.take().or(finding);
        let trips: Vec<Value> = self.trips.iter().map(|rtt| millis_json(*rtt)).collect();
        self.said["host"] = json!(host.to_string());
        self.said["port"] = json!(port);
        self.said["roundTripsMillis"] = json!(trips);
        self.said["finding"] = finding.as_ref().map_or(Value::Null, Finding::to_json);
        self.failed.map_or(Ok(()), Err)?;
        self.plan.say_finding(finding.as_ref())?;
        Ok((self.said, finding))
    }
}
