//! Nodes that must be refused: one directory for each thing that can be wrong.

use chainmesh_identity::NodeKey;
use chainmesh_identity::certificate::files::{self, NODE_CERTIFICATE};
use chainmesh_identity::certificate::{Authority, CertificateDer, ValidityPeriod};

use super::{Consortium, DAY, NodeFiles, good_for};

/// What is wrong with a certificate. A revoked one is a good one first: see
/// [`Consortium::revoke`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Another chain CA has issued it, with the same name and another key. The node itself trusts
    /// the right one.
    WrongCa,
    /// It ended yesterday.
    Expired,
    /// It begins tomorrow.
    NotYetValid,
    /// `node.key` is the key of another certificate.
    OtherKey,
    /// The node has signed it itself.
    SelfSigned,
    /// An agency's own certificate and key.
    AuthorityAsNode,
    /// The certificate of its agency is left out.
    AgencyMissing,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::WrongCa,
        Self::Expired,
        Self::NotYetValid,
        Self::OtherKey,
        Self::SelfSigned,
        Self::AuthorityAsNode,
        Self::AgencyMissing,
    ];
}

impl Consortium {
    /// A node with something wrong, in a directory with its name.
    ///
    /// # Panics
    /// When the files cannot be made or are there already; for [`Fault::AgencyMissing`] when there
    /// is no agency.
    pub fn bad(&mut self, name: &str, fault: Fault) -> NodeFiles {
        let now = self.now;
        let year = good_for(now, 365);
        match fault {
            Fault::WrongCa => {
                let (ca_key, key) = (self.key(), self.key());
                let other = Authority::create("chain", ca_key, good_for(now, 3650), self.entropy());
                let other = other.expect("a chain CA");
                let issued = other.issue_node(name, key.public_key(), year, self.entropy());
                self.alone(name, key, issued.expect("a node's certificate"))
            }
            Fault::Expired => self.dated(name, now - 30 * DAY, now - DAY),
            Fault::NotYetValid => self.dated(name, now + DAY, now + 30 * DAY),
            Fault::OtherKey => {
                let (right, wrong) = (self.key(), self.key());
                let certificate = self.certify(name, &right, year);
                self.write(name, wrong, certificate)
            }
            Fault::SelfSigned => {
                let key = self.key();
                let signed = Authority::create(name, key.duplicate(), year, self.entropy());
                let certificate = signed.expect("a certificate").certificate().clone();
                self.alone(name, key, certificate)
            }
            Fault::AuthorityAsNode => {
                let key = self.key();
                let entropy = self.entropy();
                let issued = self.chain.issue_agency(name, key.public_key(), year, entropy);
                self.alone(name, key, issued.expect("an agency's certificate"))
            }
            Fault::AgencyMissing => {
                assert!(!self.agencies.is_empty(), "there is no agency that could be missing");
                let mut node = self.node(name);
                node.between.clear();
                let text = super::chain_text(&node);
                files::replace(&node.directory.join(NODE_CERTIFICATE), &text).expect("node.crt");
                node
            }
        }
    }

    /// The certificate and the key of `node` once more, in another directory: two nodes, one ID.
    ///
    /// # Panics
    /// When the files cannot be made, or are there already.
    pub fn duplicate(&mut self, name: &str, node: &NodeFiles) -> NodeFiles {
        let twin = NodeFiles {
            directory: self.directory.join(name),
            key: node.key.duplicate(),
            certificate: node.certificate.clone(),
            between: node.between.clone(),
            agency: node.agency,
        };
        self.save(&twin);
        twin
    }

    fn dated(&mut self, name: &str, not_before: u64, not_after: u64) -> NodeFiles {
        let key = self.key();
        self.issue(name, key, ValidityPeriod { not_before, not_after })
    }

    /// A certificate with none between it and whoever signed it.
    fn alone(&self, name: &str, key: NodeKey, certificate: CertificateDer<'static>) -> NodeFiles {
        let directory = self.directory.join(name);
        let node = NodeFiles { directory, key, certificate, between: Vec::new(), agency: None };
        self.save(&node);
        node
    }
}
