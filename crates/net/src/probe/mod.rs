//! Looks whether a node is there, and what it says of itself: one connection, told stage by stage.
//!
//! It connects as a node does, hears Hello and the Status of `eth`, measures round trips, and says
//! goodbye. It says of itself what the other side said (the same chain, the same head), so nobody has to
//! refuse it, and it serves nothing.

mod modules;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_proto::module::PeerKind;
use chainmesh_proto::peers::{ConnectionId, DialError, DialTarget};
use chainmesh_proto::session::connection::{
    CloseCause, Connection, ConnectionEvent, LocalNode, ProtocolFault,
};
use chainmesh_proto::session::tls::TlsLocal;
use chainmesh_proto::session::{Link, SessionKind};
use chainmesh_wire::devp2p::{Capability, DisconnectReason, Hello};
use chainmesh_wire::eth::{Status, StatusHead};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::TlsConfig;
use crate::service::Report;
use crate::{connection, dial, entropy};
use modules::{ETH, FromModule, modules};

/// How a node is looked at.
#[derive(Debug)]
pub struct ProbeOptions {
    /// The key that is shown. One of one's own makes the other side take this for that node.
    pub key: NodeKey,
    /// Certificates; with them the session is TLS, else RLPx.
    pub tls: Option<TlsConfig>,
    /// Name and version that the other side sees.
    pub client_name: String,
    /// Time for the TCP connection, then for everything up to Status, then for each round trip.
    pub timeout: Duration,
    /// Round trips to measure; 0: it ends when the node has said what it is.
    pub pings: u32,
    /// Time between two of them.
    pub interval: Duration,
    /// Whether the Status of `eth` is waited for.
    pub status: bool,
}

impl ProbeOptions {
    /// RLPx with a key that nobody knows, 5 s for each stage, one round trip.
    #[must_use]
    pub fn new(client_name: String) -> Self {
        Self {
            key: NodeKey::from_entropy(entropy()),
            tls: None,
            client_name,
            timeout: Duration::from_secs(5),
            pings: 1,
            interval: Duration::from_secs(1),
            status: true,
        }
    }
}

/// What became known, in this order.
#[derive(Debug)]
pub enum ProbeEvent {
    /// The TCP connection stands.
    Connected {
        /// To where.
        address: SocketAddr,
        /// How long it took, the look-up of a name included.
        took: Duration,
    },
    /// The keys of the session are agreed on.
    Authenticated {
        /// With whom.
        id: PeerId,
        /// Who it is by its certificate, if it showed one.
        identity: Option<Box<CertificateIdentity>>,
        /// What sort of node.
        kind: PeerKind,
        /// How long it took since the connection stood.
        took: Duration,
    },
    /// The node said who it is.
    Greeted {
        /// What it said.
        hello: Box<Hello>,
        /// What both sides speak.
        shared: Vec<Capability>,
        /// How long it took since the keys were there.
        took: Duration,
    },
    /// The node said on which chain it is.
    Status {
        /// What it said.
        status: Box<Status>,
        /// How long it took since Hello.
        took: Duration,
    },
    /// The number of its best block, where its Status does not say it.
    HeadNumber(u64),
    /// It answered a Ping of the session.
    Pong(Duration),
}

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeStage {
    /// Name and TCP.
    Dial,
    /// Keys, or certificates.
    Handshake,
    /// Hello.
    Hello,
    /// The Status of `eth`.
    Status,
    /// Round trips.
    Session,
}

/// How it ended.
#[derive(Debug)]
pub enum ProbeEnd {
    /// Everything that was asked for was answered.
    Done,
    /// There was no connection.
    NoConnection(DialError),
    /// The connection ended.
    Closed(ProbeStage, CloseCause),
    /// Nothing came in time.
    TimedOut(ProbeStage),
    /// The node said Hello and speaks nothing that we do: there can be no session, but it is there.
    NothingInCommon,
}

/// Looks at a node. `said` is called with each thing as soon as it is known.
pub async fn probe(
    target: &DialTarget,
    options: ProbeOptions,
    mut said: impl FnMut(ProbeEvent),
) -> ProbeEnd {
    let began = Instant::now();
    let stream = match tokio::time::timeout(options.timeout, dial::connect(target)).await {
        Ok(Ok((stream, address))) => {
            said(ProbeEvent::Connected { address, took: began.elapsed() });
            (stream, address)
        }
        Ok(Err(error)) => return ProbeEnd::NoConnection(error),
        Err(_) => return ProbeEnd::NoConnection(DialError::TimedOut),
    };
    // Room for everything that a module says: one Status and one number.
    let (to, from_modules) = mpsc::channel(4);
    let (reports_to, reports) = mpsc::channel(16);
    let local = Arc::new(LocalNode {
        key: options.key,
        client_name: options.client_name,
        listen_port: 0,
        modules: modules(&to, options.tls.is_some()),
        kind: if options.tls.is_some() { SessionKind::Tls } else { SessionKind::Rlpx },
        tls: options.tls.map(|tls| TlsLocal {
            material: tls.material,
            versions: tls.versions,
            time: Arc::new(DefaultTimeProvider),
        }),
    });
    let clock = Clock::start();
    let connection = Connection::dial(local, stream.1, target.id, entropy(), clock.now());
    let link = Arc::clone(connection.link());
    let pump = connection::run(ConnectionId(0), connection, stream.0, clock, reports_to);
    let mut conversation = Conversation {
        said: &mut said,
        reports,
        from_modules,
        since: Instant::now(),
        stage: ProbeStage::Handshake,
        established: false,
        head_due: false,
        want_status: options.status,
    };
    let talk = async {
        let opening = Step::until(options.timeout);
        let mut end = conversation.open(&link, opening).await;
        if end.is_none() {
            end = conversation.head(&link, opening).await;
        }
        for number in 0..options.pings {
            if end.is_some() {
                break;
            }
            let pause = if number == 0 { Duration::ZERO } else { options.interval };
            end = conversation.ping(&link, pause, options.timeout).await;
        }
        link.close(DisconnectReason::Requested);
        // The goodbye leaves before the socket does; what is reported of it matters to nobody.
        while conversation.reports.recv().await.is_some() {}
        end.unwrap_or(ProbeEnd::Done)
    };
    let (end, ()) = tokio::join!(talk, pump);
    end
}

/// What came next.
enum Step {
    /// Something that brings us further.
    Moved,
    /// The answer to a Ping.
    Alive,
    /// Nothing in time.
    Time,
    Over(ProbeEnd),
}

impl Step {
    fn until(timeout: Duration) -> tokio::time::Instant {
        tokio::time::Instant::now() + timeout
    }
}

struct Conversation<'a, F> {
    said: &'a mut F,
    reports: mpsc::Receiver<(ConnectionId, Report)>,
    from_modules: mpsc::Receiver<FromModule>,
    /// When the present stage began.
    since: Instant,
    stage: ProbeStage,
    established: bool,
    /// It was asked for the header of its head, and has not answered.
    head_due: bool,
    want_status: bool,
}

impl<F: FnMut(ProbeEvent)> Conversation<'_, F> {
    /// Until the node has said what it is.
    async fn open(&mut self, link: &Link, deadline: tokio::time::Instant) -> Option<ProbeEnd> {
        while !self.established || self.stage != ProbeStage::Session {
            match self.step(link, deadline).await {
                Step::Over(end) => return Some(end),
                Step::Time => return Some(ProbeEnd::TimedOut(self.stage)),
                Step::Moved | Step::Alive => {}
            }
        }
        None
    }

    /// Until the node has said which number its head has. One that never does is none the worse for it.
    async fn head(&mut self, link: &Link, deadline: tokio::time::Instant) -> Option<ProbeEnd> {
        while self.head_due {
            match self.step(link, deadline).await {
                Step::Over(end) => return Some(end),
                Step::Time => return None,
                Step::Moved | Step::Alive => {}
            }
        }
        None
    }

    /// One round trip, after a pause.
    async fn ping(&mut self, link: &Link, pause: Duration, patience: Duration) -> Option<ProbeEnd> {
        let begin = Step::until(pause);
        loop {
            match self.step(link, begin).await {
                Step::Over(end) => return Some(end),
                Step::Time => break,
                Step::Moved | Step::Alive => {}
            }
        }
        let sent = Instant::now();
        link.probe();
        let deadline = Step::until(patience);
        loop {
            match self.step(link, deadline).await {
                Step::Over(end) => return Some(end),
                Step::Time => return Some(ProbeEnd::TimedOut(self.stage)),
                Step::Alive => {
                    (self.said)(ProbeEvent::Pong(sent.elapsed()));
                    return None;
                }
                Step::Moved => {}
            }
        }
    }

    async fn step(&mut self, link: &Link, deadline: tokio::time::Instant) -> Step {
        tokio::select! {
            // What a module has heard came before what follows from it, and after Hello.
            biased;
            Some(message) = self.from_modules.recv(), if self.stage >= ProbeStage::Status => {
                match message {
                    FromModule::Status(status) => {
                        let took = self.stage_done(ProbeStage::Session);
                        self.head_due = matches!(status.head, StatusHead::TotalDifficulty { .. });
                        (self.said)(ProbeEvent::Status { status, took });
                    }
                    FromModule::Head(number) => {
                        self.head_due = false;
                        if let Some(number) = number {
                            (self.said)(ProbeEvent::HeadNumber(number));
                        }
                    }
                }
                Step::Moved
            }
            report = self.reports.recv() => match report {
                Some((_, Report::Event(event))) => self.event(link, event),
                Some(_) => Step::Moved,
                None => Step::Over(ProbeEnd::TimedOut(self.stage)),
            },
            () = tokio::time::sleep_until(deadline) => Step::Time,
        }
    }

    fn stage_done(&mut self, next: ProbeStage) -> Duration {
        self.stage = next;
        let now = Instant::now();
        now.saturating_duration_since(core::mem::replace(&mut self.since, now))
    }

    fn event(&mut self, link: &Link, event: ConnectionEvent) -> Step {
        match event {
            ConnectionEvent::Authenticated { id, certificate, kind } => {
                let took = self.stage_done(ProbeStage::Hello);
                let identity = certificate.map(|certificate| Box::new(certificate.identity));
                (self.said)(ProbeEvent::Authenticated { id, identity, kind, took });
                link.admit();
                if kind != PeerKind::Own {
                    // They say no Hello, and have no Ping.
                    return Step::Over(ProbeEnd::Done);
                }
            }
            ConnectionEvent::Greeted { hello, shared } => {
                let eth = shared.iter().any(|shared| shared.name.to_string() == ETH);
                let waits = eth && self.want_status;
                let next = if waits { ProbeStage::Status } else { ProbeStage::Session };
                let took = self.stage_done(next);
                (self.said)(ProbeEvent::Greeted { hello: Box::new(hello), shared, took });
                if !self.want_status {
                    return Step::Over(ProbeEnd::Done);
                }
            }
            ConnectionEvent::Established => self.established = true,
            ConnectionEvent::Alive => return Step::Alive,
            ConnectionEvent::Closed(CloseCause::Protocol(ProtocolFault::Useless)) => {
                return Step::Over(ProbeEnd::NothingInCommon);
            }
            ConnectionEvent::Closed(cause) => {
                return Step::Over(ProbeEnd::Closed(self.stage, cause));
            }
        }
        Step::Moved
    }
}
