//! The listeners for SDKs, and how many clients there may be.

use core::net::SocketAddr;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chainmesh_identity::tls::TlsMaterial;
use chainmesh_net::amop::{AmopHandle, NoticeBudget, SdkFault};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite;
use tracing::{debug, info, warn};

use super::clients::{Clients, PortCertificates, Refused};
use super::greeting::{Greetings, MAX_GREETING};
use super::metered::{Meter, NoRoom};
use super::secure::{Client, Refusal};
use super::{Generation, Ledger, SdkOptions, channel, websocket};

/// How long a client has for TLS and the upgrade to a WebSocket. The Java SDK gives up after the
/// same time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time after which another connection is tried to be taken when there was no file descriptor.
const PAUSE: Duration = Duration::from_secs(1);
/// Lines of the log about clients that come, and about those that are refused or cut off, at once.
const LINES: u32 = 256;
/// Time after which there may be one more.
const LINE_PERIOD: Duration = Duration::from_millis(100);

/// Why a port was not opened.
#[derive(Debug, thiserror::Error)]
pub enum SdkError {
    /// It cannot be listened on.
    #[error("cannot listen for SDKs on {address}: {source}; choose another port (0: any)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// TLS without a certificate.
    #[error(
        "the ports for SDKs speak TLS, and the node has no certificate: name a directory with one, \
         or turn TLS off for them"
    )]
    NoCertificate,
    /// There is no broker.
    #[error("the ports for SDKs need the mesh: they are for nodes of a consortium")]
    NoMesh,
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("it has closed the connection")]
    Client,
    #[error("this node ends")]
    Node,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("{0}")]
    Fault(SdkFault),
    #[error("it speaks HTTP, as SDKs of 3.x do: they need the WebSocket port")]
    NeedsWebSocketPort,
    #[error("it asks for no WebSocket; SDKs of 2.x need the channel port ({0})")]
    NoUpgrade(Box<tungstenite::Error>),
    #[error(transparent)]
    NoRoom(NoRoom),
    #[error("its WebSocket: {0}")]
    WebSocket(Box<tungstenite::Error>),
    #[error("it would be refused now: {0}")]
    NotTrusted(Refused),
    #[error(transparent)]
    Refused(Refusal),
}

/// The ports of a running node. They are closed, with all connections, when this is dropped.
#[derive(Debug)]
pub struct SdkPorts {
    /// Where SDKs of 2.x connect.
    pub channel: Option<SocketAddr>,
    /// Where SDKs of 3.x connect.
    pub websocket: Option<SocketAddr>,
    /// What clients are judged by; `None` without TLS.
    pub certificates: Option<PortCertificates>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all connections of a port share.
struct Port {
    generation: Generation,
    amop: AmopHandle,
    ledger: Arc<Ledger>,
    material: Option<Arc<TlsMaterial>>,
    check_issuer: bool,
    max_clients: usize,
    clients: Arc<Clients>,
    slots: Arc<Semaphore>,
    meter: Arc<Meter>,
    lines: Lines,
}

impl SdkPorts {
    /// Opens the ports inside the current tokio runtime. `material` is the node's own.
    ///
    /// # Errors
    /// See [`SdkError`].
    pub async fn open(
        options: &SdkOptions,
        amop: &AmopHandle,
        ledger: Ledger,
        material: Option<&Arc<TlsMaterial>>,
    ) -> Result<Self, SdkError> {
        let own = options.certificates.as_ref();
        let material = match (options.tls, own.map(|own| &own.material).or(material)) {
            (true, None) => return Err(SdkError::NoCertificate),
            (true, material) => material.cloned(),
            (false, _) => None,
        };
        let ledger = Arc::new(ledger);
        let clients = Arc::<Clients>::default();
        let certificates = material.clone().map(|material| PortCertificates {
            own: own.cloned(),
            material,
            clients: Arc::clone(&clients),
        });
        let tasks = Vec::new();
        let mut ports = Self { channel: None, websocket: None, certificates, tasks };
        let both = [(Generation::Two, options.channel), (Generation::Three, options.websocket)];
        for (generation, address) in both {
            let Some(address) = address else { continue };
            let failed = |source| SdkError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            let of = match generation {
                Generation::Two => "2.x (channel)",
                Generation::Three => "3.x (WebSocket)",
            };
            info!(address = %bound, tls = options.tls, "listening for SDKs of {of}");
            let place = match generation {
                Generation::Two => &mut ports.channel,
                Generation::Three => &mut ports.websocket,
            };
            *place = Some(bound);
            let port = Port {
                generation,
                amop: amop.clone(),
                ledger: Arc::clone(&ledger),
                material: material.clone(),
                check_issuer: options.check_issuer,
                max_clients: options.max_clients,
                clients: Arc::clone(&clients),
                slots: Arc::new(Semaphore::new(options.max_clients)),
                meter: Arc::default(),
                lines: Lines::new(),
            };
            ports.tasks.push(tokio::spawn(accept(listener, Arc::new(port))));
        }
        Ok(ports)
    }
}

impl Drop for SdkPorts {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Takes clients for ever. The connections end with this.
async fn accept(listener: TcpListener, port: Arc<Port>) {
    let mut greetings = Greetings::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((_, address)) if port.slots.available_permits() == 0 => {
                    port.tell(address, &End::Refused(Refusal::Full(port.max_clients)));
                }
                Ok((stream, address)) => {
                    let crowded = greetings.enter();
                    let port = Arc::clone(&port);
                    connections.spawn(async move {
                        // Small frames are not to wait for each other.
                        let _ = stream.set_nodelay(true);
                        let end = port.serve(stream, address, crowded).await;
                        port.tell(address, &end);
                    });
                }
                Err(error) if is_of_one_connection(error.kind()) => {}
                Err(error) => {
                    warn!("no SDK can be let in at the moment: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn is_of_one_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(kind, ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Port {
    async fn serve(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        crowded: oneshot::Receiver<()>,
    ) -> End {
        let judged = self.clients.judged();
        let mut greeted = tokio::select! {
            greeted = tokio::time::timeout(HANDSHAKE, self.greet(stream)) => match greeted {
                Ok(Ok(greeted)) => greeted,
                Ok(Err(end)) => return end,
                Err(_) => return End::Refused(Refusal::Slow(HANDSHAKE.as_secs())),
            },
            Ok(()) = crowded => return End::Refused(Refusal::Crowded(MAX_GREETING)),
        };
        // Others may have finished since it was let in.
        let Ok(_slot) = self.slots.try_acquire() else {
            return End::Refused(Refusal::Full(self.max_clients));
        };
        let link = self.amop.open();
        let subject = match &greeted {
            Greeted::Channel(client) => client.subject.as_deref(),
            Greeted::WebSocket(client) => client.subject.as_deref(),
        };
        let subject = subject.unwrap_or("without a certificate");
        if self.lines.arrivals() {
            info!(sdk = link.session().0, %address, subject, "an SDK has connected");
        }
        let ledger = Arc::clone(&self.ledger);
        let certificates = match &mut greeted {
            Greeted::Channel(client) => core::mem::take(&mut client.certificates),
            Greeted::WebSocket(client) => core::mem::take(&mut client.certificates),
        };
        let (_place, refused) = self.clients.enter(certificates, judged, self.material.as_deref());
        match greeted {
            Greeted::Channel(client) => channel::serve(client, link, refused, ledger).await,
            Greeted::WebSocket(client) => websocket::serve(*client, link, refused, ledger).await,
        }
    }

    /// TLS, and what comes before the first message.
    async fn greet(&self, stream: TcpStream) -> Result<Greeted, End> {
        let client = match &self.material {
            None => Client::plain(stream, &self.meter),
            Some(material) => {
                let secured =
                    Client::secure(stream, material, self.check_issuer, &self.meter).await;
                secured.map_err(End::Refused)?
            }
        };
        match self.generation {
            Generation::Two => Ok(Greeted::Channel(client)),
            Generation::Three => {
                let upgraded = websocket::upgrade(client).await;
                let client = upgraded.map_err(|error| End::NoUpgrade(Box::new(error)))?;
                Ok(Greeted::WebSocket(Box::new(client)))
            }
        }
    }
}

/// A client whose first message is awaited.
enum Greeted {
    Channel(Client),
    WebSocket(Box<Client<websocket::Socket>>),
}

impl Port {
    fn tell(&self, address: SocketAddr, end: &End) {
        match end {
            End::Client | End::Node => debug!(%address, "a connection of an SDK ended: {end}"),
            _ if !self.lines.ends() => debug!(%address, "a connection of an SDK ended: {end}"),
            End::Broken(_) => info!(%address, "a connection of an SDK ended: {end}"),
            End::Refused(_) => warn!(%address, "an SDK was not let in: {end}"),
            End::NeedsWebSocketPort
            | End::NoUpgrade(_)
            | End::Fault(_)
            | End::NoRoom(_)
            | End::NotTrusted(_)
            | End::WebSocket(_) => {
                warn!(%address, "an SDK was cut off: {end}");
            }
        }
    }
}

/// How many lines of the log the connections of a port can cause.
#[derive(Debug)]
struct Lines {
    began: Instant,
    arrivals: Mutex<NoticeBudget>,
    ends: Mutex<NoticeBudget>,
}

impl Lines {
    fn new() -> Self {
        let budget = || Mutex::new(NoticeBudget::new(LINES, LINE_PERIOD, Default::default()));
        Self { began: Instant::now(), arrivals: budget(), ends: budget() }
    }

    /// Whether another client that comes is told of.
    fn arrivals(&self) -> bool {
        self.take(&self.arrivals)
    }

    /// Whether another one that is refused or cut off is.
    fn ends(&self) -> bool {
        self.take(&self.ends)
    }

    fn take(&self, budget: &Mutex<NoticeBudget>) -> bool {
        let now = chainmesh_proto::time::Instant::ZERO + self.began.elapsed();
        let taken = budget.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        if let Some(left_out @ 1..) = taken {
            warn!(left_out, "more SDKs come and go than are told of");
        }
        taken.is_some()
    }
}
