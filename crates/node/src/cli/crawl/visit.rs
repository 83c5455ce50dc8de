//! One node: Ping, record, neighbours, and on request its Hello.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chainmesh_identity::{Host, NodeRecord, PeerId};
use chainmesh_net::discovery::{Answer, Contact, DiscoveryHandle, Question, fork_id};
use chainmesh_net::probe::{ProbeEnd, ProbeEvent, ProbeOptions, probe};
use chainmesh_proto::discovery::NodeFilter;
use chainmesh_proto::peers::DialTarget;

use super::super::ping::show::client;
use super::graph::Greeting;
use super::targets::Targets;

/// Least time between two questions to a node.
const SPACING: Duration = Duration::from_millis(200);
/// Questions in a row that bring nothing new before it is taken that a node has told everything.
const DRY: u32 = 2;
/// Time for each stage of a TCP connection.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Capabilities of a node that are remembered.
const MAX_CAPABILITIES: usize = 32;

/// What is the same for all visits.
pub(super) struct Visitor {
    pub(super) handle: DiscoveryHandle,
    pub(super) targets: Targets,
    pub(super) rounds: u32,
    pub(super) hello: bool,
    pub(super) chain: Option<NodeFilter>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// `None`: it does not answer.
    pub(super) rtt: Option<Duration>,
    pub(super) record: Option<Box<NodeRecord>>,
    pub(super) of_chain: Option<bool>,
    /// Whom it told of, by ID.
    pub(super) contacts: Vec<Contact>,
    pub(super) asked: u32,
    pub(super) told: u32,
    pub(super) greeting: Option<Greeting>,
}

impl Visitor {
    /// Asks a node everything.
    pub(super) async fn visit(self: Arc<Self>, contact: Contact) -> Visit {
        let rtt = self.handle.ping_contact(contact).await.ok().flatten();
        let mut visit = Visit { rtt, ..Visit::default() };
        if visit.rtt.is_none() {
            return visit;
        }
        if let Ok(Some(Answer::Record(record))) = self.handle.query(contact, Question::Record).await
        {
            visit.record = Some(record);
        }
        let record = visit.record.as_deref();
        let fork_id = record.and_then(fork_id);
        visit.of_chain = self.chain.as_ref().map(|of_chain| of_chain(record));
        // A boot node of several networks, or of none, has no fork ID; one of another has another.
        if visit.of_chain == Some(false) && fork_id.is_some() {
            return visit;
        }
        self.neighbors(contact, &mut visit).await;
        if self.hello {
            visit.greeting = self.greet(contact, visit.record.as_deref()).await;
        }
        visit
    }

    async fn neighbors(&self, contact: Contact, visit: &mut Visit) {
        let mut found: BTreeMap<PeerId, Contact> = BTreeMap::new();
        let mut dry = 0;
        for round in 0..self.rounds {
            tokio::time::sleep(SPACING).await;
            let target = self.targets.of(contact.id, round);
            visit.asked += 1;
            let before = found.len();
            let answer = self.handle.query(contact, Question::Neighbors { target }).await;
            if let Ok(Some(Answer::Neighbors(nodes))) = answer {
                visit.told += 1;
                found.extend(nodes.into_iter().map(|node| (node.id, node)));
            }
            dry = if found.len() > before { 0 } else { dry + 1 };
            if dry >= DRY {
                break;
            }
        }
        visit.contacts = found.into_values().collect();
    }

    async fn greet(&self, contact: Contact, record: Option<&NodeRecord>) -> Option<Greeting> {
        // The record is the node's own word; the port in the contact may be another's.
        let said = record.and_then(|record| match contact.endpoint.ip.is_ipv4() {
            true => record.tcp4(),
            false => record.tcp6().or_else(|| record.tcp4()),
        });
        let port = match record {
            Some(_) => said.unwrap_or(0),
            None => contact.endpoint.tcp_port,
        };
        if port == 0 {
            return None;
        }
        let mut greeting =
            Greeting { client: None, capabilities: Vec::new(), status: None, problem: None };
        let mut options = ProbeOptions::new(crate::node::client_name());
        (options.timeout, options.pings) = (HELLO_TIMEOUT, 0);
        let target = DialTarget { id: Some(contact.id), host: Host::Ip(contact.endpoint.ip), port };
        let end = probe(&target, options, |event| match event {
            ProbeEvent::Greeted { hello, .. } => {
                greeting.client = Some(client(&hello.client_name));
                let capabilities = hello.capabilities.iter().take(MAX_CAPABILITIES);
                greeting.capabilities = capabilities.map(ToString::to_string).collect();
            }
            ProbeEvent::Status { status, .. } => greeting.status = Some(status),
            _ => {}
        });
        greeting.problem = match end.await {
            ProbeEnd::Done | ProbeEnd::NothingInCommon => None,
            ProbeEnd::NoConnection(error) => Some(error.to_string()),
            ProbeEnd::Closed(_, cause) => Some(cause.to_string()),
            ProbeEnd::TimedOut(_) => Some("no answer in time".to_owned()),
        };
        Some(greeting)
    }
}
