//! `chainmesh ca issue`.

use std::path::Path;

use anyhow::{Context as _, bail};
use chainmesh_identity::certificate::{
    Date, InspectedCertificate, KeyType, SigningKey, SubjectKey, files,
};
use chainmesh_identity::{PeerId, key_file};

use super::arguments::IssueArgs;
use super::store::{Issued, Store};
use super::{hand_out, output, serial, validity, within};

/// Names of the files that an SDK of FISCO BCOS wants.
const SDK_CERTIFICATE: &str = "sdk.crt";
const SDK_KEY: &str = "sdk.key";

pub(super) fn run(args: &IssueArgs) -> anyhow::Result<()> {
    let issued = issue(args)?;
    let whose = if args.sdk { "sdk " } else { "node" };
    output::line(&format!("{whose}       {}", args.name))?;
    if let Some(identity) = &issued.seen.identity {
        output::line(&format!("id         {}", identity.name()))?;
    }
    output::line(&format!("serial     {}", issued.seen.serial))?;
    output::line(&format!("valid to   {}", Date(issued.seen.not_after)))?;
    output::line(&format!("directory  {}", args.out.display()))
}

/// Issues the certificate and writes the files of the node.
pub(super) fn issue(args: &IssueArgs) -> anyhow::Result<Issued> {
    let chain = Store::open(&args.ca.ca)?;
    let store = match &args.agency {
        Some(name) => chain.agency(name)?,
        None => chain.clone(),
    };
    let authority = store.authority()?;
    let validity = within(validity(args.days), &authority);
    let (public, key) = key(args, authority.key().kind())?;
    let (certificate_file, key_file) = match args.sdk {
        true => (SDK_CERTIFICATE, SDK_KEY),
        false => (files::NODE_CERTIFICATE, files::NODE_KEY),
    };
    // Issued before the key is saved: a name that will not do leaves nothing behind.
    let der = authority.issue_node(&args.name, public, validity, serial())?;
    if let Some(key) = &key {
        save_key(&args.out.join(key_file), key)?;
    }
    store.record(&der)?;
    let seen = InspectedCertificate::read(&der)?;
    let issued = Issued { der, seen, revoked: false, agency_revoked: false, store };
    let text = files::certificates_to_pem(&issued.chain(&chain)?)?;
    files::replace(&args.out.join(certificate_file), &text)?;
    hand_out(&chain, &args.out)?;
    Ok(issued)
}

/// The key that the certificate is for, with its secret half unless only the ID was given.
fn key(args: &IssueArgs, kind: KeyType) -> anyhow::Result<(SubjectKey, Option<SigningKey>)> {
    if let Some(id) = &args.id {
        let id: PeerId = id.parse().context("--id is no node ID")?;
        return Ok(((&id.public_key()?).into(), None));
    }
    let key = match &args.key {
        Some(path) => read_key(path)?,
        None => SigningKey::generate(args.key_type.unwrap_or(kind), chainmesh_net::entropy())?,
    };
    Ok((key.public()?, Some(key)))
}

/// A key in PEM, or as p2p_key has it.
fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = files::read(path)?;
    if text.starts_with(b"-----") || text.windows(11).any(|part| part == b"-----BEGIN ") {
        return Ok(files::read_signing_key(path)?);
    }
    let key = key_file::load(path)?;
    Ok(key.with_context(|| format!("there is no key {}", path.display()))?.into())
}

/// Saves the key, or finds that it is there already. Another key is left as it is.
fn save_key(path: &Path, key: &SigningKey) -> anyhow::Result<()> {
    match files::create_signing_key(path, key) {
        Err(files::CertificateFileError::Exists { .. }) => {
            // Another key has another text: all are written here, or read by us.
            if files::read_signing_key(path)?.to_pem()? == key.to_pem()? {
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
