//! Connections from outside: two machines in virtual time, and one machine with a raw peer.

use core::time::Duration;

use bytes::Bytes;
use chainmesh_wire::devp2p::{DisconnectReason, EMPTY_LIST, code};

use super::*;
use crate::module::ModuleError;
use crate::session::testing::*;
use crate::session::{MAX_PAYLOAD, SessionKind};

mod flow;
mod goodbye;
mod greeting;
mod hostile;
mod queues;
mod timers;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn payload(size: usize) -> Bytes {
    (0..size).map(|at| ((at * 31) >> 3) as u8).collect()
}
