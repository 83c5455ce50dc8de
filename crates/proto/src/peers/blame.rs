//! Which offence it is when a session ends, when synchronisation or gossip of transactions blames a
//! peer.

use chainmesh_wire::devp2p::DisconnectReason;

use super::Offence;
use crate::eth::sync::SyncFault;
use crate::eth::transactions::GossipFault;
use crate::session::SessionError;
use crate::session::connection::{CloseCause, ProtocolFault};
use crate::session::rlpx::FrameError;

impl Offence {
    /// What a peer that had proved who it is did wrong when its connection ended like this, as a
    /// session or before it was one. `None` for what is no fault of its own, or cannot be told from
    /// trouble of the network: silence, a slow reader, a goodbye, other software.
    #[must_use]
    pub fn of_close(cause: &CloseCause, was_session: bool) -> Option<Self> {
        let rules_broken = match cause {
            CloseCause::Local(_) | CloseCause::Remote(_) | CloseCause::Network(_) => return None,
            CloseCause::IdleTimeout(_) | CloseCause::SlowReader => return None,
            CloseCause::HandshakeTimeout => return Some(Self::FailedHandshake),
            // The proof itself failed: nobody is known to be to blame.
            cause if cause.is_handshake() => return None,
            CloseCause::Session(SessionError::NobodyExpected) => return None,
            CloseCause::Session(SessionError::Frame(FrameError::TooLarge { .. })) => true,
            // A frame that does not have its MAC may have been changed on the way.
            CloseCause::Session(SessionError::Frame(_) | SessionError::Tls(_)) => {
                return Some(Self::BrokenSession);
            }
            CloseCause::Session(_) => true,
            CloseCause::Protocol(fault) => !matches!(
                fault,
                ProtocolFault::Version(_)
                    | ProtocolFault::Useless
                    | ProtocolFault::MissingModule(_)
            ),
            CloseCause::Module { error, .. } => matches!(
                error.reason,
                DisconnectReason::SubprotocolError | DisconnectReason::BreachOfProtocol
            ),
        };
        match (rules_broken, was_session) {
            (true, true) => Some(Self::Breach),
            (true, false) => Some(Self::FailedHandshake),
            (false, _) => None,
        }
    }

    /// What a peer did wrong in synchronisation. An invalid block is one whose header breaks a rule:
    /// who calls this knows whether it was only executed in vain.
    #[must_use]
    pub const fn of_sync(fault: &SyncFault) -> Self {
        match fault {
            SyncFault::InvalidBlock { .. } => Self::InvalidBlock,
            SyncFault::TooMany { .. }
            | SyncFault::WrongStart { .. }
            | SyncFault::NotContinuous { .. }
            | SyncFault::WrongBody => Self::FalseAnswer,
            // Its branch may have changed between two answers.
            SyncFault::NotLinked { .. }
            | SyncFault::MissingBody { .. }
            | SyncFault::EmptyAnswers { .. }
            | SyncFault::Stalled { .. }
            | SyncFault::TooDeep { .. } => Self::UselessAnswer,
        }
    }

    /// What a peer did wrong in the gossip of transactions.
    #[must_use]
    pub const fn of_gossip(fault: &GossipFault) -> Self {
        match fault {
            GossipFault::Unrequested { .. } => Self::Unsolicited,
            GossipFault::WrongKind { .. } | GossipFault::WrongSize { .. } => Self::FalseAnswer,
            GossipFault::Malformed { .. } => Self::InvalidTransaction,
            GossipFault::Silent { .. } => Self::UselessAnswer,
        }
    }
}

#[cfg(test)]
mod tests;
