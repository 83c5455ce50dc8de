//! [`Change`]: one thing that is not as it was, and how certificates are compared.

use core::fmt;
use std::collections::BTreeSet;

use chainmesh_identity::certificate::Date;
use chainmesh_identity::tls::ListPolicy;

use super::certificates::Loaded;
use crate::config::NodeAddress;

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A CA is trusted from now on.
    AuthorityAdded(String),
    /// A CA is not trusted any more.
    AuthorityRemoved(String),
    /// So many certificates are on the revocation lists now.
    Revoked {
        /// Before.
        before: usize,
        /// Now.
        now: usize,
    },
    /// The list of those who may take part; `None` where all with a certificate may.
    Allowed {
        /// IDs before.
        before: Option<usize>,
        /// IDs now.
        now: Option<usize>,
    },
    /// The list of those who may not.
    Denied {
        /// IDs before.
        before: usize,
        /// IDs now.
        now: usize,
    },
    /// This node has a new certificate for its key, which ends then (seconds since 1970).
    Certificate {
        /// Its serial number.
        serial: String,
        /// When it ends.
        not_after: u64,
    },
    /// This node is to be connected to.
    NodeAdded(NodeAddress),
    /// This node need not be connected to any more. A session with it goes on.
    NodeRemoved(NodeAddress),
    /// How much may be sent and received is another now.
    Limits,
    /// The same of the certificates that the ports for SDKs have for themselves.
    OfPorts(Box<Self>),
    /// Something else is different in the configuration file; it takes a restart.
    NeedsRestart,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = |ids: usize| if ids == 1 { "1 ID".to_owned() } else { format!("{ids} IDs") };
        let count = |count: &Option<usize>| {
            count.map_or_else(|| "everybody with a certificate".to_owned(), ids)
        };
        match self {
            Self::AuthorityAdded(name) => write!(f, "the CA {name} is trusted"),
            Self::AuthorityRemoved(name) => write!(f, "the CA {name} is not trusted any more"),
            Self::Revoked { before, now } => {
                write!(f, "certificates that are revoked: {now}, before: {before}")
            }
            Self::Allowed { before, now } => {
                write!(f, "allowed: {}, before: {}", count(now), count(before))
            }
            Self::Denied { before, now } => {
                write!(f, "denied: {}, before: {}", ids(*now), ids(*before))
            }
            Self::Certificate { serial, not_after } => {
                write!(f, "new certificate {serial}, valid to {}", Date(*not_after))
            }
            Self::NodeAdded(node) => write!(f, "{node} is to be connected to"),
            Self::NodeRemoved(node) => write!(f, "{node} need not be connected to any more"),
            Self::Limits => f.write_str("other limits hold for messages"),
            Self::OfPorts(change) => write!(f, "for SDKs: {change}"),
            Self::NeedsRestart => {
                f.write_str("other parts of the configuration changed: they take a restart")
            }
        }
    }
}

/// What is in files of certificates, to be compared.
#[derive(Debug)]
pub(crate) struct Shown {
    authorities: BTreeSet<String>,
    policy: ListPolicy,
    revoked: usize,
    serial: String,
    not_after: u64,
}

impl Shown {
    pub(crate) fn new(loaded: &Loaded) -> Self {
        let authorities = loaded.trust.authorities().iter();
        let certificate = loaded.credentials.certificate();
        Self {
            authorities: authorities.map(|ca| format!("{} ({})", ca.subject, ca.serial)).collect(),
            policy: loaded.policy.clone(),
            revoked: loaded.revoked,
            serial: certificate.serial.clone(),
            not_after: certificate.not_after,
        }
    }

    /// What is different in `new`.
    pub(super) fn changes(&self, new: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let added = new.authorities.difference(&self.authorities).cloned();
        changes.extend(added.map(Change::AuthorityAdded));
        let removed = self.authorities.difference(&new.authorities).cloned();
        changes.extend(removed.map(Change::AuthorityRemoved));
        if self.revoked != new.revoked {
            changes.push(Change::Revoked { before: self.revoked, now: new.revoked });
        }
        if self.policy.allowed != new.policy.allowed {
            let count = |policy: &ListPolicy| policy.allowed.as_ref().map(BTreeSet::len);
            changes.push(Change::Allowed { before: count(&self.policy), now: count(&new.policy) });
        }
        if self.policy.denied != new.policy.denied {
            let (before, now) = (self.policy.denied.len(), new.policy.denied.len());
            changes.push(Change::Denied { before, now });
        }
        if self.serial != new.serial {
            let (serial, not_after) = (new.serial.clone(), new.not_after);
            changes.push(Change::Certificate { serial, not_after });
        }
        changes
    }
}
