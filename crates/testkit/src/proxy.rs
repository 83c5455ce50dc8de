//! A TCP proxy on loopback that does what bad networks do, when the test says so.
//!
//! ```text
//! client ──► Proxy::address() ──[ToServer]──► server
//!        ◄──────────────────────[ToClient]──
//! ```
//!
//! | fault | what is seen of it |
//! |---|---|
//! | [`Proxy::delay`] | bytes, and the end of the stream, arrive later |
//! | [`Proxy::stall`] | the sender's bytes stay in kernel buffers: a reader that does not read |
//! | [`Proxy::discard`] | the sender's bytes are taken and go nowhere: a line that loses everything |
//! | [`Proxy::half_open`] | nothing gets through either way: nobody hears the other's bytes, FIN or RST |
//! | [`Proxy::throttle`] | so many bytes a second |
//! | [`Proxy::corrupt_at`], [`Proxy::corrupt_next`] | one byte is another one |
//! | [`Proxy::half_close`] | FIN in one direction, the other goes on |
//! | [`Proxy::cut`] | RST on both sides of every connection |
//! | [`Proxy::refuse`] | nobody listens |
//!
//! Everything can be changed while connections are open, and holds for new ones too. It runs on a
//! thread of its own, and all of it ends when the [`Proxy`] is dropped.

mod listener;
mod pump;
mod settings;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use settings::{Connections, Direction, Traffic};
use settings::{Flow, Shared};

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy in front of `server`, at a port of 127.0.0.1 that the system chooses.
    ///
    /// # Errors
    /// When there is no such port, or no thread.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), server)
    }

    /// The same at another address of this machine.
    ///
    /// # Errors
    /// When nobody may listen there.
    pub fn start_at(listen: IpAddr, server: SocketAddr) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            listener::bind(SocketAddr::new(listen, 0))?
        };
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(server));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("fault proxy".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = listener::listen(listener, address, shared) => {}
                        _ = stopped => {}
                    }
                });
            }
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections to another server.
    pub fn redirect(&self, server: SocketAddr) {
        self.shared.change(|settings| settings.server = server);
    }

    /// Everything in this direction arrives so much later. About 1 MiB is on its way at once, so a
    /// delay also limits throughput.
    pub fn delay(&self, direction: Direction, by: Duration) {
        self.flow(direction, |flow| flow.delay = by);
    }

    /// At most so many bytes a second in this direction; `None` for no limit.
    ///
    /// # Panics
    /// When the number is zero: that is [`Proxy::stall`].
    pub fn throttle(&self, direction: Direction, bytes_per_second: Option<u64>) {
        assert_ne!(bytes_per_second, Some(0), "a stall is another fault");
        self.flow(direction, |flow| flow.rate = bytes_per_second);
    }

    /// Passes nothing in this direction, and reads nothing either: kernel buffers fill, and then the
    /// sender cannot write. While the direction to the server is stalled, new connections are
    /// accepted and not carried on.
    pub fn stall(&self, direction: Direction) {
        self.flow(direction, |flow| flow.stalled = true);
    }

    /// Reads everything in this direction and passes nothing, not even the end of the stream. The
    /// bytes are lost: a stream that lost some of them is of no use any more.
    pub fn discard(&self, direction: Direction) {
        self.flow(direction, |flow| flow.discarding = true);
    }

    /// From now on no byte, FIN or RST gets through in either direction, and nobody is told: what
    /// sleeping laptops, pulled cables and forgetful NATs do. New connections are accepted and lead
    /// nowhere.
    pub fn half_open(&self) {
        for direction in Direction::BOTH {
            self.stall(direction);
        }
    }

    /// Ends delay, throttling, stalling and discarding in both directions, and refusing.
    pub fn heal(&self) {
        self.shared.change(|settings| {
            settings.refusing = false;
            for flow in &mut settings.flows {
                *flow = Flow { corrupt_at: None, half_closed: false, ..Flow::default() };
            }
        });
    }

    /// Changes the byte at this offset (from 0) of each connection's stream in this direction.
    pub fn corrupt_at(&self, direction: Direction, offset: u64) {
        self.flow(direction, |flow| flow.corrupt_at = Some(offset));
    }

    /// Changes one bit of the next byte in this direction, on whichever connection it comes.
    pub fn corrupt_next(&self, direction: Direction) {
        self.shared.corrupt_next[direction.index()].store(true, Relaxed);
    }

    /// Sends FIN in this direction on all connections; what comes later in it is thrown away. The
    /// other direction goes on.
    pub fn half_close(&self, direction: Direction) {
        self.flow(direction, |flow| flow.half_closed = true);
    }

    /// Ends all connections with RST on both sides. New ones are taken, unless they are refused.
    pub fn cut(&self) {
        self.shared.change(|settings| settings.cuts += 1);
    }

    /// Stops listening (a client gets "connection refused"), or listens again. Open connections stay.
    /// Returns when it is so.
    ///
    /// # Panics
    /// When the port was taken by somebody else meanwhile.
    pub fn refuse(&self, refuse: bool) {
        self.shared.change(|settings| settings.refusing = refuse);
        crate::wait::until("the proxy follows", || self.shared.listening.load(Relaxed) != refuse);
    }

    /// What has passed in this direction on all connections.
    #[must_use]
    pub fn traffic(&self, direction: Direction) -> Traffic {
        self.shared.traffic(direction)
    }

    /// How long nothing has passed in either direction; since the start if nothing ever did.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        let last = Direction::BOTH.iter().filter_map(|direction| self.traffic(*direction).last);
        last.max().unwrap_or(self.shared.began).elapsed()
    }

    /// Connections so far, and now.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.shared.connections()
    }

    fn flow(&self, direction: Direction, change: impl FnOnce(&mut Flow)) {
        self.shared.change(|settings| change(&mut settings.flows[direction.index()]));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Times of the proxy are those of the test.
pub(crate) fn now() -> Instant {
    Instant::now()
}
