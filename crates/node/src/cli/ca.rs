//! `chainmesh ca`: a chain CA, its agencies and the certificates of nodes, in a directory.

mod arguments;
mod export;
mod issue;
mod list;
mod revoke;
mod store;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chainmesh_identity::certificate::{
    Authority, Date, KeyType, SigningKey, ValidityPeriod, files,
};

pub(super) use arguments::CaCommand;
use arguments::{AgencyArgs, CaDirectory, InitArgs, IssueArgs};
use store::Store;

use super::output;

/// Certificates begin this much in the past, seconds: clocks of other machines may be behind.
const CLOCK_LEEWAY: u64 = 300;

pub(super) fn run(command: &CaCommand) -> anyhow::Result<()> {
    match command {
        CaCommand::Init(args) => init(args),
        CaCommand::Agency(args) => agency(args),
        CaCommand::Issue(args) => issue::run(args),
        CaCommand::List(args) => list::run(args),
        CaCommand::Revoke(args) => revoke::run(args),
        CaCommand::Export(args) => export::run(args),
    }
}

/// A CA in `ca` and a certificate for each node (name, directory for its files, file with its key),
/// made where they are not there already: for a network that is to be tried.
pub(crate) fn provide(ca: &Path, nodes: &[(String, PathBuf, PathBuf)]) -> anyhow::Result<()> {
    let directory = || CaDirectory { ca: ca.into() };
    if Store::open(ca).is_err() {
        let name = Some("devnet".into());
        let key_type = KeyType::default();
        create(&InitArgs { ca: directory(), name, key_type, days: 7300 })?;
    }
    for (name, out, key) in nodes {
        if out.join(files::NODE_CERTIFICATE).exists() {
            continue;
        }
        let (name, out, key) = (name.clone(), out.clone(), Some(key.clone()));
        let args = IssueArgs {
            ca: directory(),
            name,
            out,
            key,
            id: None,
            key_type: None,
            sdk: false,
            agency: None,
            days: 1095,
        };
        issue::issue(&args)?;
    }
    Ok(())
}

fn init(args: &InitArgs) -> anyhow::Result<()> {
    let (store, authority, name) = create(args)?;
    output::line(&format!("CA         {name}"))?;
    output::line(&format!("directory  {}", store.path().display()))?;
    output::line(&format!("valid to   {}", Date(authority.not_after())))?;
    output::note(&format!(
        "{} is the key to the whole chain: keep it on a machine that is not a node, and back it up",
        store.path().join(store::AUTHORITY_KEY).display()
    ));
    Ok(())
}

fn create(args: &InitArgs) -> anyhow::Result<(Store, Authority, String)> {
    let entropy = chainmesh_net::entropy();
    let number = entropy.iter().take(4).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    let name = args.name.clone().unwrap_or_else(|| format!("chain-{number:08x}"));
    let key = SigningKey::generate(args.key_type, chainmesh_net::entropy())?;
    let authority = Authority::create(&name, key, validity(args.days), serial())?;
    let store = Store::create(&args.ca.ca, &authority)?;
    Ok((store, authority, name))
}

fn agency(args: &AgencyArgs) -> anyhow::Result<()> {
    let chain = Store::open(&args.ca.ca)?;
    let authority = chain.authority()?;
    let key = SigningKey::generate(authority.key().kind(), chainmesh_net::entropy())?;
    let validity = within(validity(args.days), &authority);
    let certificate = authority.issue_agency(&args.name, key.public()?, validity, serial())?;
    let own = Authority::new(certificate.clone(), key)?;
    let store = Store::create(&chain.agency_path(&args.name), &own)
        .with_context(|| format!("the agency {} cannot be made", args.name))?;
    chain.record(&certificate)?;
    output::line(&format!("agency     {}", args.name))?;
    output::line(&format!("directory  {}", store.path().display()))?;
    output::line(&format!("valid to   {}", Date(validity.not_after)))
}

/// From now on, for `days`.
fn validity(days: u32) -> ValidityPeriod {
    let now = crate::unix_time();
    let length = u64::from(days) * 86_400;
    ValidityPeriod {
        not_before: now.saturating_sub(CLOCK_LEEWAY),
        not_after: now.saturating_add(length),
    }
}

/// The same, and not longer than the CA itself.
fn within(mut validity: ValidityPeriod, authority: &Authority) -> ValidityPeriod {
    let end = authority.not_after();
    if validity.not_after > end {
        validity.not_after = end;
        output::note(&format!("it ends with the certificate of its CA, at {}", Date(end)));
    }
    validity
}

/// Randomness for a serial number.
fn serial() -> [u8; 16] {
    let mut serial = [0; 16];
    for (to, from) in serial.iter_mut().zip(chainmesh_net::entropy()) {
        *to = from;
    }
    serial
}

/// Copies the CA's certificate and the revocation lists to where a node finds them.
fn hand_out(chain: &Store, to: &Path) -> anyhow::Result<()> {
    let authority = files::read_certificates(&chain.path().join(store::AUTHORITY_CERTIFICATE))?;
    let text = files::certificates_to_pem(&authority)?;
    files::replace(&to.join(files::CA_CERTIFICATE), &text)?;
    if let Some(lists) = chain.revocation_lists()? {
        files::replace(&to.join(files::REVOCATION_LIST), &lists)?;
    }
    Ok(())
}
