//! The command line, and what follows from it for the process: CPUs and runtime.

use std::io;

use chainmesh_net::SessionKind;
use clap::{Parser, ValueEnum};

/// Measures chainmesh's sessions on this machine.
///
/// Without a subcommand, starts a second process as the server and runs one test against it.
#[derive(Debug, Clone, Parser)]
#[command(name = "chainmesh-bench", version)]
pub(crate) struct Args {
    /// `ceiling` measures the cryptography alone, in this process.
    pub(crate) what: Option<What>,
    /// Kind of session.
    #[arg(long, value_enum, default_value = "rlpx")]
    pub(crate) variant: Variant,
    /// What to measure.
    #[arg(long, value_enum, default_value = "tput")]
    pub(crate) test: Test,
    /// Payload of a message, bytes.
    #[arg(long, default_value_t = 1024)]
    pub(crate) size: usize,
    /// Length of the measuring window, seconds.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) secs: f64,
    /// Handshakes at once.
    #[arg(long, default_value_t = 1)]
    pub(crate) par: usize,
    /// Idle sessions.
    #[arg(long, default_value_t = 1000)]
    pub(crate) conns: usize,
    /// Worker threads of each process.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// How messages reach the application; here there is one way, the module's handler.
    #[arg(long, value_enum, default_value = "direct")]
    pub(crate) api: Api,
    /// Messages that the sender lets wait in the queue; 0: as many as the queue takes.
    #[arg(long, default_value_t = 0)]
    pub(crate) window: usize,
    /// 0: the kernel places the processes; 1: server on CPU 0, client on CPU 1; 2: both on CPU 0.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) pin: u8,
    /// The second process; it starts itself.
    #[arg(long, hide = true)]
    pub(crate) server: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The ceiling of frames and handshakes: their cryptography and nothing else.
    Ceiling,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Variant {
    /// RLPx, with snappy as negotiated.
    Rlpx,
    /// TLS with certificates of one CA and secp256k1 keys, P2P packets inside.
    Tls,
    /// The clear session of tests.
    Clear,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Test {
    /// One-way throughput, as the receiver counts it.
    Tput,
    /// Round trips, one at a time.
    Rtt,
    /// Whole handshakes, each with a new identity.
    Hs,
    /// Memory of idle sessions.
    Mem,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Api {
    /// The module's handler is called in the connection's task.
    Direct,
}

impl Variant {
    pub(crate) const fn kind(self) -> SessionKind {
        match self {
            Self::Rlpx => SessionKind::Rlpx,
            Self::Tls => SessionKind::Tls,
            Self::Clear => SessionKind::Clear,
        }
    }
}

impl Args {
    /// Keeps the process on one CPU, where it is to be; threads started later stay there too.
    pub(crate) fn pin(&self) -> io::Result<()> {
        if self.pin == 0 {
            return Ok(());
        }
        let cpu = usize::from(!self.server && self.pin == 1);
        // SAFETY: a cpu_set_t is plain bits, all zeroes is the empty set, and the call reads as
        // many bytes as it is told.
        let result = unsafe {
            let mut set: libc::cpu_set_t = core::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(crate) fn runtime(&self) -> io::Result<tokio::runtime::Runtime> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .enable_all()
            .build()
    }
}
