//! `echo/1`: a module whose peers send each other lines of text, and get each one back.
//!
//! A module is three things:
//!
//! 1. a [`PeerHandler`], one for the node: it is told of each peer that has the module too;
//! 2. a [`TopicHandler`], one for each such peer: it is handed that peer's messages;
//! 3. a [`Module`], under whose name, version and number of messages the two are registered
//!    (`P2pConfig::modules`).
//!
//! Handlers run inside the connection's task. They answer at once, or hand work on, as this one
//! hands what it sees to a bounded channel. Nothing here knows what kind of session the messages
//! travel over.

use std::sync::Arc;

use chainmesh_net::{
    Bytes, Capability, DisconnectReason, Module, ModuleError, PeerContext, PeerHandler, SendError,
    TopicHandler,
};
use tokio::sync::mpsc;

/// Message: a line of text that is to be sent back.
const SAY: u32 = 0;
/// Message: a line that was sent back.
const ECHO: u32 = 1;
/// How many message codes there are. Both sides must agree on it.
const MESSAGES: u32 = 2;

/// Longest line, bytes. Every module limits what a peer may make it do.
pub const MAX_LINE: usize = 1024;

/// Things that wait to be looked at, at most.
const WAITING: usize = 64;

/// What the application sees of the module.
#[derive(Debug)]
pub enum Seen {
    /// A peer has the module. It can be spoken to with [`say`] until it is gone.
    Peer(PeerContext),
    /// The peer said something, and it was sent back.
    Said(String),
    /// The peer sent back what was said to it.
    Echo(String),
    /// The session is over.
    Gone(DisconnectReason),
}

/// The peer broke the module's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// A line of so many bytes.
    TooLong(usize),
    /// Something that is no text.
    NotText,
    /// A message code that the module does not have.
    UnknownCode(u32),
}

impl core::error::Error for Breach {}

impl core::fmt::Display for Breach {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLong(size) => write!(f, "a line of {size} bytes, {MAX_LINE} are allowed"),
            Self::NotText => f.write_str("a line that is no UTF-8"),
            Self::UnknownCode(code) => write!(f, "echo/1 has no message {code}"),
        }
    }
}

/// The module, ready to be registered, and what the application will see of it.
#[must_use]
pub fn module() -> (Module, mpsc::Receiver<Seen>) {
    let (to, seen) = mpsc::channel(WAITING);
    let module = Module {
        // A name of up to eight characters, and a version.
        capability: Capability::new("echo", 1).unwrap_or_else(|error| unreachable!("{error}")),
        message_count: MESSAGES,
        // A peer without it is of no use to this application.
        required: true,
        handler: Arc::new(Echo { to }),
    };
    (module, seen)
}

/// Says a line to a peer.
///
/// # Errors
/// [`SendError::Full`] when the peer does not keep up (then wait with [`PeerContext::ready`]), and
/// [`SendError::Closed`] when it is gone.
pub fn say(peer: &PeerContext, line: &str) -> Result<(), SendError> {
    peer.send(SAY, Bytes::copy_from_slice(line.as_bytes()))
}

/// One for the node.
struct Echo {
    to: mpsc::Sender<Seen>,
}

impl PeerHandler for Echo {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        show(&self.to, Seen::Peer(peer.clone()));
        Box::new(EchoPeer { peer, to: self.to.clone() })
    }
}

/// One for each peer.
struct EchoPeer {
    peer: PeerContext,
    to: mpsc::Sender<Seen>,
}

impl TopicHandler for EchoPeer {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        // An error ends the session: the peer is told why, and our log says it in words.
        let line = read(&payload).map_err(ModuleError::breach)?;
        match code {
            SAY => {
                // The payload goes back as it came; it is not copied.
                self.peer.send(ECHO, payload).map_err(ModuleError::breach)?;
                show(&self.to, Seen::Said(line));
            }
            ECHO => show(&self.to, Seen::Echo(line)),
            other => return Err(ModuleError::breach(Breach::UnknownCode(other))),
        }
        Ok(())
    }

    fn closed(&mut self, reason: &DisconnectReason) {
        show(&self.to, Seen::Gone(*reason));
    }
}

fn read(payload: &[u8]) -> Result<String, Breach> {
    if payload.len() > MAX_LINE {
        return Err(Breach::TooLong(payload.len()));
    }
    String::from_utf8(payload.to_vec()).map_err(|_| Breach::NotText)
}

/// Never waits: a handler that waited would stop the whole connection. An application that does
/// not look for so long misses lines; one that may not miss any holds its peer back with
/// [`PeerContext::hold_reading`].
fn show(to: &mpsc::Sender<Seen>, seen: Seen) {
    let _ = to.try_send(seen);
}
