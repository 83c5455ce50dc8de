//! A consortium: its chain CA, agencies and nodes, in a directory, good ones and bad ones.
//!
//! ```text
//! <directory>/<node>/ca.crt     the chain CA (and, for a while, a second one)
//!                   /ca.crl     what is revoked
//!                   /node.crt   the node's certificate, and its agency's
//!                   /node.key   its key
//! ```
//!
//! These are the files that `chainmesh ca issue` makes, made without a process for each.
//! Keys and serial numbers follow from the seed, dates from the clock at the start.

mod bad;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use chainmesh_identity::certificate::files::{
    self, CA_CERTIFICATE, NODE_CERTIFICATE, NODE_KEY, REVOCATION_LIST,
};
use chainmesh_identity::certificate::{
    Authority, CertificateDer, InspectedCertificate, RevokedCertificate, ValidityPeriod,
};
use chainmesh_identity::{NodeKey, PeerId};

pub use bad::Fault;

/// Seconds in a day.
pub const DAY: u64 = 24 * 60 * 60;

/// An agency: an intermediate CA, which issues the certificates of its nodes.
#[derive(Debug)]
struct Agency {
    name: String,
    authority: Authority,
    revoked: Vec<RevokedCertificate>,
}

/// All of a consortium that is not a node.
#[derive(Debug)]
pub struct Consortium {
    directory: PathBuf,
    chain: Authority,
    agencies: Vec<Agency>,
    /// CAs that are trusted beside the chain CA, while one takes over from the other.
    also_trusted: Vec<CertificateDer<'static>>,
    /// The chain CA's own list: agencies.
    revoked: Vec<RevokedCertificate>,
    /// Number of the last revocation list.
    lists: u64,
    /// Keys and serial numbers so far.
    made: u64,
    seed: u8,
    now: u64,
}

/// A node's directory, and what is in it.
#[derive(Debug)]
pub struct NodeFiles {
    /// Where the files are.
    pub directory: PathBuf,
    /// The node's key. (With [`Fault::OtherKey`], not the one of its certificate.)
    pub key: NodeKey,
    /// The node's certificate.
    pub certificate: CertificateDer<'static>,
    /// The certificates between it and the chain CA.
    pub between: Vec<CertificateDer<'static>>,
    /// Which of the agencies issued it, if one did.
    agency: Option<usize>,
}

impl NodeFiles {
    /// The node's ID: its public key.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.key.peer_id()
    }
}

impl Consortium {
    /// A chain CA named `chain`, valid from yesterday on and for ten years, with a directory for
    /// the nodes. Consortia with another seed have other keys.
    ///
    /// # Panics
    /// When the directory cannot be made.
    #[must_use]
    pub fn create(directory: &Path, seed: u8) -> Self {
        fs::create_dir_all(directory).expect("a directory for certificates");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
        let mut made = 0;
        let (key, entropy) = (next_key(seed, &mut made), next_entropy(seed, &mut made));
        let chain = Authority::create("chain", key, good_for(now, 3650), entropy);
        Self {
            directory: directory.into(),
            chain: chain.expect("a chain CA"),
            agencies: Vec::new(),
            also_trusted: Vec::new(),
            revoked: Vec::new(),
            lists: 0,
            made,
            seed,
            now,
        }
    }

    /// The moment at which it was created, seconds since 1970; dates of certificates refer to it.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// The chain CA's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        self.chain.certificate()
    }

    /// A new agency. Nodes that are made from now on are its.
    ///
    /// # Panics
    /// When the name is none.
    pub fn agency(&mut self, name: &str) {
        let key = self.key();
        let entropy = self.entropy();
        let validity = good_for(self.now, 3649);
        let issued = self.chain.issue_agency(name, key.public_key(), validity, entropy);
        let authority = Authority::new(issued.expect("an agency's certificate"), key);
        self.agencies.push(Agency {
            name: name.to_owned(),
            authority: authority.expect("an agency's CA"),
            revoked: Vec::new(),
        });
    }

    /// A new node with a good certificate for a year, in a directory with its name.
    ///
    /// # Panics
    /// When the files cannot be made, or are there already.
    pub fn node(&mut self, name: &str) -> NodeFiles {
        let key = self.key();
        self.issue(name, key, good_for(self.now, 365))
    }

    /// A node with this key and these dates.
    ///
    /// # Panics
    /// As [`Consortium::node`].
    pub fn issue(&mut self, name: &str, key: NodeKey, validity: ValidityPeriod) -> NodeFiles {
        let certificate = self.certify(name, &key, validity);
        self.write(name, key, certificate)
    }

    /// Another certificate for the key of a node, of this consortium or of another one, valid for so
    /// many days from now on. The node's file is replaced by it in one step.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn renew(&mut self, node: &mut NodeFiles, days: u64) {
        let name = node.directory.file_name().expect("a name").to_string_lossy().into_owned();
        node.certificate = self.certify(&name, &node.key, good_for(self.now, days));
        (node.between, node.agency) = self.above();
        let text = chain_text(node);
        files::replace(&node.directory.join(NODE_CERTIFICATE), &text).expect("node.crt");
    }

    /// Puts a node's certificate on the revocation list of whoever issued it. Nobody sees it before
    /// [`Consortium::publish_lists`].
    ///
    /// # Panics
    /// When the certificate cannot be read.
    pub fn revoke(&mut self, node: &NodeFiles) {
        let entry = self.entry(&node.certificate);
        match node.agency.and_then(|at| self.agencies.get_mut(at)) {
            Some(agency) => agency.revoked.push(entry),
            None => self.revoked.push(entry),
        }
    }

    /// Puts an agency on the chain CA's revocation list, and so all of its nodes.
    ///
    /// # Panics
    /// When there is no such agency.
    pub fn revoke_agency(&mut self, name: &str) {
        let agency = self.agencies.iter().find(|agency| agency.name == name).expect("the agency");
        let certificate = agency.authority.certificate().clone();
        let entry = self.entry(&certificate);
        self.revoked.push(entry);
    }

    fn entry(&self, certificate: &CertificateDer<'_>) -> RevokedCertificate {
        let seen = InspectedCertificate::read(certificate).expect("our own certificate");
        RevokedCertificate { serial: serial_bytes(&seen), date: self.now - 1 }
    }

    /// Writes the revocation lists of the chain CA and of all agencies, valid until the day `days`
    /// from now (a day in the past makes a stale list), as `ca.crl` of these nodes.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn publish_lists<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeFiles>, days: i64) {
        self.lists += 1;
        let end = self.now.saturating_add_signed(days * DAY.cast_signed());
        let validity = ValidityPeriod { not_before: self.now - 30 * DAY, not_after: end };
        let own = self.chain.revocation_list(self.lists, validity, &self.revoked);
        let of_agencies = self
            .agencies
            .iter()
            .map(|agency| agency.authority.revocation_list(self.lists, validity, &agency.revoked));
        let lists = core::iter::once(own).chain(of_agencies);
        let lists = lists.map(|list| list.expect("a revocation list"));
        let text: String =
            lists.map(|list| files::revocation_list_to_pem(&list).expect("PEM")).collect();
        for node in nodes {
            files::replace(&node.directory.join(REVOCATION_LIST), &text).expect("ca.crl");
        }
    }

    /// Begins to trust another consortium's CA too, or ends it with `None`, and writes `ca.crt` of
    /// these nodes anew: how one CA takes over from another.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn trust_also<'a>(
        &mut self,
        other: Option<&Self>,
        nodes: impl IntoIterator<Item = &'a NodeFiles>,
    ) {
        self.also_trusted = other.map(|other| other.certificate().clone()).into_iter().collect();
        let text = self.authorities_text();
        for node in nodes {
            files::replace(&node.directory.join(CA_CERTIFICATE), &text).expect("ca.crt");
        }
    }

    fn certify(
        &mut self,
        name: &str,
        key: &NodeKey,
        validity: ValidityPeriod,
    ) -> CertificateDer<'static> {
        let entropy = self.entropy();
        let issuer = self.agencies.last().map_or(&self.chain, |agency| &agency.authority);
        issuer.issue_node(name, key.public_key(), validity, entropy).expect("a node's certificate")
    }

    /// Writes the files of a node whose certificate the newest agency has issued.
    fn write(
        &mut self,
        name: &str,
        key: NodeKey,
        certificate: CertificateDer<'static>,
    ) -> NodeFiles {
        let (between, agency) = self.above();
        let directory = self.directory.join(name);
        let node = NodeFiles { directory, key, certificate, between, agency };
        self.save(&node);
        node
    }

    /// Who signs the next node's certificate: the newest agency, if there is one.
    fn above(&self) -> (Vec<CertificateDer<'static>>, Option<usize>) {
        let newest = self.agencies.last().map(|agency| agency.authority.certificate().clone());
        (newest.into_iter().collect(), self.agencies.len().checked_sub(1))
    }

    fn save(&self, node: &NodeFiles) {
        fs::create_dir(&node.directory).expect("a new directory for a node");
        let file = |name| node.directory.join(name);
        files::create(&file(CA_CERTIFICATE), &self.authorities_text()).expect("ca.crt");
        files::create(&file(NODE_CERTIFICATE), &chain_text(node)).expect("node.crt");
        files::create_key(&file(NODE_KEY), &node.key).expect("node.key");
    }

    fn authorities_text(&self) -> String {
        let all = core::iter::once(self.certificate()).chain(&self.also_trusted);
        files::certificates_to_pem(all).expect("PEM")
    }

    fn key(&mut self) -> NodeKey {
        next_key(self.seed, &mut self.made)
    }

    fn entropy(&mut self) -> [u8; 16] {
        next_entropy(self.seed, &mut self.made)
    }
}

/// The serial number as a revocation list has it.
fn serial_bytes(seen: &InspectedCertificate) -> Vec<u8> {
    let digits = seen.serial.as_bytes();
    assert!(digits.len().is_multiple_of(2), "our serial numbers have no zeros in front");
    let byte = |pair: &[u8]| {
        let pair = core::str::from_utf8(pair).expect("hex");
        u8::from_str_radix(pair, 16).expect("hex")
    };
    digits.chunks(2).map(byte).collect()
}

fn chain_text(node: &NodeFiles) -> String {
    let all = core::iter::once(&node.certificate).chain(&node.between);
    files::certificates_to_pem(all).expect("PEM")
}

/// Valid from yesterday on.
fn good_for(now: u64, days: u64) -> ValidityPeriod {
    ValidityPeriod { not_before: now - DAY, not_after: now + days * DAY }
}

fn next_key(seed: u8, made: &mut u64) -> NodeKey {
    *made += 1;
    let mut bytes = [seed; 32];
    bytes[..8].copy_from_slice(&made.to_be_bytes());
    NodeKey::from_entropy(bytes)
}

fn next_entropy(seed: u8, made: &mut u64) -> [u8; 16] {
    *made += 1;
    let mut bytes = [seed; 16];
    bytes[..8].copy_from_slice(&made.to_be_bytes());
    bytes
}
