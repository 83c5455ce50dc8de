//! The task that runs the machine: one socket, one timer, the owner's questions.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::Bytes as Raw;
use chainmesh_identity::PeerId;
use chainmesh_proto::discovery::{
    Answer, Discovery, DiscoveryEvent, Input, LookupId, Output, PingId, Protocol, Question,
    QuestionId, Report,
};
use chainmesh_proto::time::Instant;
use chainmesh_wire::discv4::{Contact, MAX_DATAGRAM};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use super::v5::{Discv5Report, Outcome, Step, V5};
use super::{Addresses, Found, Lookup, unix_time};
use crate::clock::Clock;

/// How often the machine is told what time it is: wall clocks are set right now and then.
const CLOCK_PERIOD: Duration = Duration::from_secs(10);
/// Wait after the socket failed, so that an error that stays does not keep a processor busy.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// What the owner asks.
pub(crate) enum Command {
    Snapshot(oneshot::Sender<Report>),
    Discv5(oneshot::Sender<Option<Discv5Report>>),
    Lookup(PeerId, oneshot::Sender<Lookup>),
    Ping(Contact, oneshot::Sender<Option<Duration>>),
    Query(Contact, Question, oneshot::Sender<Option<Answer>>),
    AddNode(Contact),
    /// Address, UDP port and TCP port under which others reach this node.
    SetAddress(IpAddr, u16, u16),
    SetRecordEntries(Vec<(String, Raw)>),
    NotOurs(PeerId),
}

pub(crate) struct Service {
    machine: Discovery,
    socket: Arc<UdpSocket>,
    v5: Option<V5>,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    told_time: Instant,
    lookups: HashMap<LookupId, oneshot::Sender<Lookup>>,
    pings: HashMap<PingId, oneshot::Sender<Option<Duration>>>,
    questions: HashMap<QuestionId, oneshot::Sender<Option<Answer>>>,
    addresses: watch::Sender<Addresses>,
}

impl Service {
    pub(super) fn new(
        machine: Discovery,
        socket: Arc<UdpSocket>,
        v5: Option<V5>,
        clock: Clock,
        commands: mpsc::Receiver<Command>,
        addresses: watch::Sender<Addresses>,
    ) -> Self {
        let (lookups, pings, questions) = (HashMap::new(), HashMap::new(), HashMap::new());
        let told_time = clock.now();
        Self {
            machine,
            socket,
            v5,
            clock,
            commands,
            told_time,
            lookups,
            pings,
            questions,
            addresses,
        }
    }

    /// Runs until the node ends or nobody holds a handle any more.
    pub(crate) async fn run(
        mut self,
        mut ended: watch::Receiver<()>,
        mut found: impl FnMut(Found) + Send,
    ) {
        // One byte more than is allowed: what is longer shall be seen to be so.
        let mut buffer = [0; MAX_DATAGRAM + 1];
        loop {
            self.carry_out(&mut found).await;
            let deadline = self.machine.poll_timeout();
            let timer = self.clock.sleep_until(deadline);
            tokio::select! {
                // With discv5 the socket is read there.
                received = self.socket.recv_from(&mut buffer), if self.v5.is_none() => match received {
                    Ok((size, from)) => {
                        let bytes = buffer.get(..size).unwrap_or_default();
                        let bytes = bytes::Bytes::copy_from_slice(bytes);
                        self.machine.handle(self.clock.now(), Input::Datagram { from, bytes });
                    }
                    Err(error) => {
                        debug!("the discovery socket failed: {error}");
                        tokio::time::sleep(AFTER_ERROR).await;
                    }
                },
                step = v5_next(&mut self.v5, self.clock) => self.v5_step(step),
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                () = timer => {
                    let now = self.clock.now();
                    if now.saturating_since(self.told_time) >= CLOCK_PERIOD {
                        self.told_time = now;
                        self.machine.handle(now, Input::WallClock { unix: unix_time() });
                        self.look_at_addresses();
                    }
                    self.machine.handle_timeout(now);
                }
                // Nothing is ever sent: it ends when the sender is dropped.
                _ = ended.changed() => return,
            }
        }
    }

    /// Something happened on the side of discv5.
    fn v5_step(&mut self, step: Step) {
        let now = self.clock.now();
        let Some(v5) = &mut self.v5 else { return };
        match v5.step(now, step) {
            Outcome::Nothing => {}
            Outcome::Tell(input) => self.machine.handle(now, input),
            Outcome::Over => {
                error!("discv5 has ended; discv4 goes on alone");
                self.v5 = None;
            }
        }
    }

    fn look_at_addresses(&self) {
        let (advertised, observed) = (self.machine.advertised(), self.machine.observed());
        let found = Addresses { advertised, observed };
        self.addresses.send_if_modified(|known| core::mem::replace(known, found) != found);
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Snapshot(answer) => {
                let _ = answer.send(self.machine.snapshot());
            }
            Command::Discv5(answer) => {
                let _ = answer.send(self.v5.as_ref().map(V5::report));
            }
            Command::Lookup(target, answer) => {
                let lookup = self.machine.next_lookup();
                self.lookups.insert(lookup, answer);
                self.machine.handle(now, Input::Lookup { lookup, target });
            }
            Command::Ping(contact, answer) => {
                let ping = self.machine.next_ping();
                self.pings.insert(ping, answer);
                self.machine.handle(now, Input::Ping { ping, contact });
            }
            Command::SetAddress(ip, udp_port, tcp_port) => {
                self.machine.handle(now, Input::SetAddress { ip, udp_port, tcp_port });
            }
            Command::Query(contact, question, answer) => {
                let query = self.machine.next_question();
                self.questions.insert(query, answer);
                self.machine.handle(now, Input::Query { query, contact, question });
            }
            Command::AddNode(contact) => self.machine.handle(now, Input::AddNode { contact }),
            Command::NotOurs(id) => self.machine.handle(now, Input::NotOurs { id }),
            Command::SetRecordEntries(entries) => {
                self.machine.handle(now, Input::SetRecordEntries { entries });
            }
        }
    }

    /// Does what the machine says.
    async fn carry_out(&mut self, found: &mut (impl FnMut(Found) + Send)) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Send { to, bytes } => {
                    if let Err(error) = self.socket.send_to(&bytes, to).await {
                        debug!(%to, "a datagram was not sent: {error}");
                    }
                }
                Output::Event(event) => self.event(event, found),
            }
        }
        // There is one record, and the machine has it.
        if let (Some(v5), Some(record)) = (&mut self.v5, self.machine.record()) {
            v5.set_record(record);
        }
    }

    fn event(&mut self, event: DiscoveryEvent, found: &mut (impl FnMut(Found) + Send)) {
        match event {
            DiscoveryEvent::Found { contact, record, protocol } => {
                let at = contact.endpoint.udp_address();
                debug!(id = %contact.id.short(), %at, ?protocol, "node found");
                if let (Some(v5), Some(record), Protocol::Discv4) = (&self.v5, &record, protocol) {
                    v5.hint(record);
                }
                found(Found { enode: contact.enode(), record, protocol });
            }
            DiscoveryEvent::BootRecord { record } => {
                if let Some(v5) = &mut self.v5 {
                    v5.add_boot(self.clock.now(), &record);
                }
            }
            DiscoveryEvent::LookupDone { lookup, nodes, hops, asked } => {
                if let Some(answer) = self.lookups.remove(&lookup) {
                    let nodes = nodes.iter().map(Contact::enode).collect();
                    let _ = answer.send(Lookup { nodes, hops, asked });
                }
            }
            DiscoveryEvent::PingDone { ping, rtt } => {
                if let Some(answer) = self.pings.remove(&ping) {
                    let _ = answer.send(rtt);
                }
            }
            DiscoveryEvent::SeenElsewhere { advertised, observed } => {
                warn!(
                    %advertised, %observed,
                    "other nodes see this one at another address than it advertises: is that of \
                     --external-ip, --nat, or --listen the right one?"
                );
            }
            DiscoveryEvent::QueryDone { query, answer } => {
                if let Some(asker) = self.questions.remove(&query) {
                    let _ = asker.send(answer);
                }
            }
            DiscoveryEvent::EndpointChanged { endpoint, sequence } => {
                info!(%endpoint, sequence, "other nodes see this one there: its record says so now");
            }
        }
    }
}

/// Waits for the side of discv5, for ever if there is none.
async fn v5_next(v5: &mut Option<V5>, clock: Clock) -> Step {
    match v5 {
        Some(v5) => v5.next(clock).await,
        None => core::future::pending().await,
    }
}
