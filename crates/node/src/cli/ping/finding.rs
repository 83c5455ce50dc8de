//! What is wrong, who is to blame, and what to do next.

use chainmesh_identity::PeerId;
use chainmesh_net::probe::ProbeStage;
use chainmesh_proto::peers::DialError;
use chainmesh_proto::session::SessionError;
use chainmesh_proto::session::connection::{Blame, CloseCause};
use chainmesh_wire::devp2p::DisconnectReason;
use serde_json::{Value, json};

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Who asked: the URL, the key, the files.
    Ours,
    /// The node that was asked.
    Theirs,
    /// What lies between: firewalls, routes, names.
    Network,
}

impl Whose {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Ours => "this side",
            Self::Theirs => "the other side",
            Self::Network => "the network between",
        }
    }
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// For programs.
    pub(super) label: &'static str,
    pub(super) problem: String,
    pub(super) blame: Whose,
    pub(super) next: String,
}

impl Finding {
    pub(super) fn new(
        label: &'static str,
        blame: Whose,
        problem: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { label, problem: problem.into(), blame, next: next.into() }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "label": self.label,
            "problem": self.problem,
            "blame": self.blame.words(),
            "next": self.next,
        })
    }

    /// The name has no address.
    pub(super) fn no_name() -> Self {
        let next = "Correct the name, or write the IP address.";
        Self::new("no-address", Whose::Ours, "the host name has no address", next)
    }

    /// There is no connection.
    pub(super) fn no_connection(error: DialError, port: u16) -> Self {
        let problem = error.to_string();
        match error {
            DialError::NameNotFound => Self::no_name(),
            DialError::Refused => Self::new(
                "tcp-refused",
                Whose::Theirs,
                problem,
                format!("Start the node there, or correct the TCP port {port}."),
            ),
            DialError::TimedOut => Self::new(
                "tcp-timeout",
                Whose::Network,
                problem,
                format!(
                    "Check the address, and that the firewalls and routers on the way let TCP port \
                     {port} through."
                ),
            ),
            _ => Self::new(
                "tcp-failed",
                Whose::Network,
                problem,
                "Check the address and the network of this machine.",
            ),
        }
    }

    /// It answered nothing in time.
    pub(super) fn silent(stage: ProbeStage) -> Self {
        let at = stage_words(stage);
        let next = "Check that a node of this kind is behind the port and not stuck: look at its log, \
                    or give it more time with --timeout.";
        Self::new("silent", Whose::Theirs, format!("no answer in time at the {at}"), next)
    }

    /// It closed the connection.
    pub(super) fn closed(stage: ProbeStage, cause: &CloseCause) -> Self {
        match cause {
            CloseCause::Remote(reason) => return Self::goodbye(stage, *reason),
            CloseCause::HandshakeTimeout => return Self::silent(stage),
            _ => {}
        }
        let broken = matches!(cause, CloseCause::Session(_)) || cause.blame() == Blame::Network;
        if matches!(cause, CloseCause::Session(SessionError::Tls(_))) {
            let next = "Ask `chainmesh doctor tls HOST:PORT --data-dir DIR`: it says which side \
                        refuses which certificate.";
            return Self::new("tls", Whose::Theirs, cause.to_string(), next);
        }
        if stage == ProbeStage::Handshake && broken || cause.is_handshake() {
            let problem = format!(
                "something answers on this TCP port, but it does not have the key of this node \
                 ({cause})"
            );
            let next = "Ask for the node's URL again: its key has changed, or another node or \
                        another program has the port.";
            return Self::new("wrong-key", Whose::Ours, problem, next);
        }
        let problem = format!("the session broke at the {}: {cause}", stage_words(stage));
        let next = "Look at the node's log at this moment; if it stays so, tell its authors.";
        let blame = if cause.blame() == Blame::Network { Whose::Network } else { Whose::Theirs };
        Self::new("broken", blame, problem, next)
    }

    fn goodbye(stage: ProbeStage, reason: DisconnectReason) -> Self {
        let (label, next) = match reason {
            DisconnectReason::TooManyPeers => (
                "full",
                "Nothing is wrong: the node is there and has no free slot. Let its operator trust \
                 yours, or try again later.",
            ),
            DisconnectReason::AlreadyConnected => (
                "connected-already",
                "Nothing is wrong: it has a session with this key already. Leave --key and \
                 --data-dir away.",
            ),
            DisconnectReason::UselessPeer => {
                ("useless", "The node speaks nothing that we do, or wants nothing of us.")
            }
            DisconnectReason::UnexpectedIdentity => {
                ("wrong-key", "Ask for the node's URL again: another node answers there.")
            }
            DisconnectReason::SelfConnection => {
                ("self", "Take another key: this is the node's own.")
            }
            DisconnectReason::SubprotocolError => (
                "refused",
                "It may be of another chain or version: give --genesis FILE to compare.",
            ),
            _ => ("refused", "Look at the node's log at this moment."),
        };
        let problem = format!("the node said goodbye at the {}: {reason}", stage_words(stage));
        Self::new(label, Whose::Theirs, problem, next)
    }

    /// It is there, and there can be no session with it.
    pub(super) fn nothing_in_common() -> Self {
        Self::new(
            "nothing-in-common",
            Whose::Theirs,
            "it is there and says Hello, but speaks nothing that we do, so round trips cannot be \
             measured",
            "Nothing, if that was all you wanted to know.",
        )
    }

    pub(super) fn other_chain(what: String) -> Self {
        let next = "Ask for the URL of a node of your network, or give the right --genesis.";
        Self::new("other-chain", Whose::Ours, what, next)
    }

    /// No answer to Pings over UDP.
    pub(super) fn no_pong(port: u16, others: bool, id: PeerId) -> Self {
        if others {
            return Self::new(
                "wrong-key",
                Whose::Ours,
                format!("another node than {} answers on UDP port {port}", id.short()),
                "Ask for the node's URL again: its key has changed.",
            );
        }
        Self::new(
            "udp-silent",
            Whose::Network,
            format!("no answer to any Ping on UDP port {port}"),
            format!(
                "Check that discovery is on there, that firewalls and routers let UDP port {port} \
                 through both ways, and the port itself (discport= in the URL)."
            ),
        )
    }

    /// Pings are answered and questions are not.
    pub(super) fn no_record() -> Self {
        Self::new(
            "no-record",
            Whose::Theirs,
            "it answers Pings, but did not give its record",
            "It may be too old to have one (EIP-868), or its own Ping to this machine was dropped by \
             a firewall here: allow UDP in.",
        )
    }
}

const fn stage_words(stage: ProbeStage) -> &'static str {
    match stage {
        ProbeStage::Dial => "connection",
        ProbeStage::Handshake => "handshake",
        ProbeStage::Hello => "greeting",
        ProbeStage::Status => "Status of eth",
        ProbeStage::Session => "session",
    }
}

#[cfg(test)]
mod tests;
