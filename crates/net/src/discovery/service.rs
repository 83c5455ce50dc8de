//! The task that runs the machine: one socket, one timer, the owner's questions.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;

use alloy_primitives::Bytes as Raw;
use chainmesh_identity::PeerId;
use chainmesh_proto::discovery::{
    Discovery, DiscoveryEvent, Input, LookupId, Output, PingId, Report,
};
use chainmesh_proto::time::Instant;
use chainmesh_wire::discv4::{Contact, MAX_DATAGRAM};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info};

use super::{Found, Lookup, unix_time};
use crate::clock::Clock;

/// How often the machine is told what time it is: wall clocks are set right now and then.
const CLOCK_PERIOD: Duration = Duration::from_secs(10);
/// Wait after the socket failed, so that an error that stays does not keep a processor busy.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// What the owner asks.
pub(crate) enum Command {
    Snapshot(oneshot::Sender<Report>),
    Lookup(PeerId, oneshot::Sender<Lookup>),
    Ping(Contact, oneshot::Sender<Option<Duration>>),
    AddNode(Contact),
    SetRecordEntries(Vec<(String, Raw)>),
    NotOurs(PeerId),
}

pub(crate) struct Service {
    machine: Discovery,
    socket: UdpSocket,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    told_time: Instant,
    lookups: HashMap<LookupId, oneshot::Sender<Lookup>>,
    pings: HashMap<PingId, oneshot::Sender<Option<Duration>>>,
}

impl Service {
    pub(super) fn new(
        machine: Discovery,
        socket: UdpSocket,
        clock: Clock,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let (lookups, pings) = (HashMap::new(), HashMap::new());
        Self { machine, socket, clock, commands, told_time: clock.now(), lookups, pings }
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
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((size, from)) => self.datagram(from, buffer.get(..size).unwrap_or_default()),
                    Err(error) => {
                        debug!("the discovery socket failed: {error}");
                        tokio::time::sleep(AFTER_ERROR).await;
                    }
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                () = timer => {
                    let now = self.clock.now();
                    if now.saturating_since(self.told_time) >= CLOCK_PERIOD {
                        self.told_time = now;
                        self.machine.handle(now, Input::WallClock { unix: unix_time() });
                    }
                    self.machine.handle_timeout(now);
                }
                // Nothing is ever sent: it ends when the sender is dropped.
                _ = ended.changed() => return,
            }
        }
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        self.machine.handle(self.clock.now(), Input::Datagram { from, bytes });
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Snapshot(answer) => {
                let _ = answer.send(self.machine.snapshot());
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
    }

    fn event(&mut self, event: DiscoveryEvent, found: &mut (impl FnMut(Found) + Send)) {
        match event {
            DiscoveryEvent::Found { contact, record } => {
                debug!(id = %contact.id.short(), at = %contact.endpoint.udp_address(), "node found");
                found(Found { enode: contact.enode(), record });
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
            DiscoveryEvent::EndpointChanged { endpoint, sequence } => {
                info!(%endpoint, sequence, "other nodes see this one there: its record says so now");
            }
        }
    }
}
