//! `chainmesh ca issue`.

use std::path::Path;

use anyhow::{Context as _, bail};
use chainmesh_identity::certificate::{Date, InspectedCertificate, files};
use chainmesh_identity::secp256k1::PublicKey;
use chainmesh_identity::{NodeKey, PeerId, key_file};

use super::arguments::IssueArgs;
use super::store::{Issued, Store};
use super::{hand_out, output, serial, validity, within};

pub(super) fn run(args: &IssueArgs) -> anyhow::Result<()> {
    let (issued, public) = issue(args)?;
    output::line(&format!("node       {}", args.name))?;
    output::line(&format!("id         {}", PeerId::from_public_key(&public)))?;
    output::line(&format!("serial     {}", issued.seen.serial))?;
    output::line(&format!("valid to   {}", Date(issued.seen.not_after)))?;
    output::line(&format!("directory  {}", args.out.display()))
}

/// Issues the certificate and writes the files of the node.
pub(super) fn issue(args: &IssueArgs) -> anyhow::Result<(Issued, PublicKey)> {
    let chain = Store::open(&args.ca.ca)?;
    let store = match &args.agency {
        Some(name) => chain.agency(name)?,
        None => chain.clone(),
    };
    let authority = store.authority()?;
    let validity = within(validity(args.days), &authority);
    let (public, key) = key(args)?;
    // Issued before the key is saved: a name that will not do leaves nothing behind.
    let der = authority.issue_node(&args.name, &public, validity, serial())?;
    if let Some(key) = &key {
        save_key(&args.out.join(files::NODE_KEY), key)?;
    }
    store.record(&der)?;
    let seen = InspectedCertificate::read(&der)?;
    let issued = Issued { der, seen, revoked: false, agency_revoked: false, store };
    let text = files::certificates_to_pem(&issued.chain(&chain)?)?;
    files::replace(&args.out.join(files::NODE_CERTIFICATE), &text)?;
    hand_out(&chain, &args.out)?;
    Ok((issued, public))
}

/// The key that the certificate is for, with its secret half unless only the ID was given.
fn key(args: &IssueArgs) -> anyhow::Result<(PublicKey, Option<NodeKey>)> {
    if let Some(id) = &args.id {
        let id: PeerId = id.parse().context("--id is no node ID")?;
        return Ok((id.public_key()?, None));
    }
    let key = match &args.key {
        Some(path) => read_key(path)?,
        None => NodeKey::from_entropy(chainmesh_net::entropy()),
    };
    Ok((*key.public_key(), Some(key)))
}

/// A key in PEM, or as p2p_key has it.
fn read_key(path: &Path) -> anyhow::Result<NodeKey> {
    let text = files::read(path)?;
    if text.starts_with(b"-----") || text.windows(11).any(|part| part == b"-----BEGIN ") {
        return Ok(files::read_key(path)?);
    }
    key_file::load(path)?.with_context(|| format!("there is no key {}", path.display()))
}

/// Saves the key, or finds that it is there already. Another key is left as it is.
fn save_key(path: &Path, key: &NodeKey) -> anyhow::Result<()> {
    match files::create_key(path, key) {
        Err(files::CertificateFileError::Exists { .. }) => {
            if files::read_key(path)?.peer_id() == key.peer_id() {
                return Ok(());
            }
            bail!(
                "there is another key in {}; it was left as it is. To issue a new certificate for \
                 it: --key {}",
                path.display(),
                path.display()
            );
        }
        other => Ok(other?),
    }
}
