//! What the test wants of the proxy, and what the proxy has counted.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// One half of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From whoever connected to the proxy.
    ToServer,
    /// From the server behind the proxy.
    ToClient,
}

impl Direction {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    pub(super) const fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
}

/// What has passed in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that were read from the sender.
    pub read: u64,
    /// Bytes that were written to the receiver.
    pub passed: u64,
    /// When the last of them was.
    pub last: Option<Instant>,
}

/// Connections of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Accepted so far.
    pub accepted: u64,
    /// Open at this moment.
    pub open: u64,
}

/// The faults of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flow {
    pub(super) delay: Duration,
    pub(super) rate: Option<u64>,
    pub(super) stalled: bool,
    pub(super) discarding: bool,
    pub(super) corrupt_at: Option<u64>,
    pub(super) half_closed: bool,
}

/// All faults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) server: SocketAddr,
    pub(super) flows: [Flow; 2],
    pub(super) refusing: bool,
    /// How often all connections were cut.
    pub(super) cuts: u64,
}

/// Shared by the test, the listener and all connections.
#[derive(Debug)]
pub(super) struct Shared {
    settings: watch::Sender<Settings>,
    pub(super) corrupt_next: [AtomicBool; 2],
    pub(super) listening: AtomicBool,
    pub(super) began: Instant,
    accepted: AtomicU64,
    open: AtomicU64,
    traffic: [Mutex<Traffic>; 2],
}

impl Shared {
    pub(super) fn new(server: SocketAddr) -> Self {
        let flows = [Flow::default(); 2];
        let quiet = || Mutex::new(Traffic { read: 0, passed: 0, last: None });
        Self {
            settings: watch::Sender::new(Settings { server, flows, refusing: false, cuts: 0 }),
            corrupt_next: [AtomicBool::new(false), AtomicBool::new(false)],
            listening: AtomicBool::new(true),
            began: super::now(),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            traffic: [quiet(), quiet()],
        }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.settings.send_modify(change);
    }

    pub(super) fn watch(&self) -> watch::Receiver<Settings> {
        self.settings.subscribe()
    }

    pub(super) fn traffic(&self, direction: Direction) -> Traffic {
        *self.traffic[direction.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, direction: Direction, read: usize, passed: usize) {
        let traffic = &self.traffic[direction.index()];
        let mut traffic = traffic.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.read += read as u64;
        traffic.passed += passed as u64;
        if passed > 0 {
            traffic.last = Some(super::now());
        }
    }

    pub(super) fn connections(&self) -> Connections {
        Connections { accepted: self.accepted.load(Relaxed), open: self.open.load(Relaxed) }
    }

    /// Counts a connection for as long as what is returned lives.
    pub(super) fn opened(&self) -> Opened<'_> {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Opened(self)
    }
}

/// A connection that is counted.
pub(super) struct Opened<'a>(&'a Shared);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
