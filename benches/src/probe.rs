//! What is read at the beginning and at the end of a measuring window: CPU time and memory of a
//! process, what its module received, and how idle the machine was.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::io;
use std::sync::OnceLock;
use std::time::Instant;

use crate::output::Line;
use crate::server::Server;

/// A test runs this long before its window opens.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);

/// What the module of this process received.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// A reading of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Monotonic time since the process's first reading, nanoseconds.
    pub(crate) at: u64,
    /// User and system time so far, microseconds.
    pub(crate) cpu: u64,
    /// Resident memory, KiB.
    pub(crate) resident: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
}

impl Reading {
    pub(crate) const SIZE: usize = 40;

    pub(crate) fn take(received: &Received) -> io::Result<Self> {
        static START: OnceLock<Instant> = OnceLock::new();
        Ok(Self {
            cpu: cpu_time(),
            resident: resident()?,
            bytes: received.bytes.load(Relaxed),
            messages: received.messages.load(Relaxed),
            at: START.get_or_init(Instant::now).elapsed().as_nanos() as u64,
        })
    }

    pub(crate) fn encode(self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        let fields = [self.at, self.cpu, self.resident, self.bytes, self.messages];
        for (place, field) in out.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: [u8; Self::SIZE]) -> Self {
        let (fields, _) = bytes.as_chunks::<8>();
        let field = |at: usize| fields.get(at).map_or(0, |field| u64::from_le_bytes(*field));
        Self {
            at: field(0),
            cpu: field(1),
            resident: field(2),
            bytes: field(3),
            messages: field(4),
        }
    }
}

/// User and system time of this process, microseconds.
pub(crate) fn cpu_time() -> u64 {
    // SAFETY: a rusage is plain numbers, and the call fills in the one it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = core::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    micros(usage.ru_utime) + micros(usage.ru_stime)
}

/// Resident memory of this process, KiB.
pub(crate) fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}

/// Idle time of all CPUs together, microseconds, in steps of a hundredth of a second.
fn machine_idle() -> io::Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let mut fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(4);
    let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok((next() + next()) * 10_000)
}

/// One end of a measuring window.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) client_cpu: u64,
    pub(crate) server: Reading,
    idle: u64,
}

impl Probe {
    pub(crate) fn take(server: &mut Server) -> io::Result<Self> {
        Ok(Self { idle: machine_idle()?, client_cpu: cpu_time(), server: server.read()? })
    }

    /// What happened until `end`.
    pub(crate) fn until(&self, end: &Self) -> Window {
        let seconds = (end.server.at - self.server.at) as f64 / 1e9;
        let client = (end.client_cpu - self.client_cpu) as f64 / 1e6;
        let server = (end.server.cpu - self.server.cpu) as f64 / 1e6;
        let cores = std::thread::available_parallelism().map_or(1, usize::from).max(2) as f64;
        let idle = end.idle.saturating_sub(self.idle) as f64 / 1e6;
        Window {
            seconds,
            client,
            server,
            bytes: (end.server.bytes - self.server.bytes) as f64,
            messages: (end.server.messages - self.server.messages) as f64,
            foreign: cores - (idle + client + server) / seconds,
        }
    }
}

/// A measuring window.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) seconds: f64,
    /// CPU seconds of the client's process.
    pub(crate) client: f64,
    /// CPU seconds of the server's process.
    pub(crate) server: f64,
    pub(crate) bytes: f64,
    pub(crate) messages: f64,
    /// Cores that somebody else used.
    pub(crate) foreign: f64,
}

impl Window {
    /// CPU of both ends for each of `count` things, microseconds.
    pub(crate) fn cpu_each(&self, line: Line, count: f64) -> Line {
        line.number("cpu_us_cli", self.client * 1e6 / count)
            .number("cpu_us_srv", self.server * 1e6 / count)
    }
}
