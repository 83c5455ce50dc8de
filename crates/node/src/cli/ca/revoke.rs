//! `chainmesh ca revoke`.

use chainmesh_identity::certificate::{RevokedCertificate, files};

use super::arguments::RevokeArgs;
use super::output;
use super::store::{Issued, Store};

pub(super) fn run(args: &RevokeArgs) -> anyhow::Result<()> {
    let (chain, now) = (Store::open(&args.ca.ca)?, crate::unix_time());
    for issued in Issued::find(chain.issued()?, &args.which)? {
        let what = format!("{} {} (serial {})", issued.kind(), issued.name(), issued.seen.serial);
        if issued.revoked {
            output::line(&format!("{what} was revoked before"))?;
            continue;
        }
        let mut revoked = issued.store.revoked()?;
        let serial = alloy_primitives::hex::decode(&issued.seen.serial)?;
        revoked.push(RevokedCertificate { serial, date: now });
        issued.store.set_revoked(&revoked, now)?;
        output::line(&format!("revoked    {what}"))?;
    }
    chain.renew_lists(now)?;
    let lists = chain.path().join(files::REVOCATION_LIST);
    if let Some(text) = chain.revocation_lists()? {
        files::replace(&lists, &text)?;
    }
    output::line(&format!("list       {}", lists.display()))?;
    output::note(
        "nodes know nothing of it yet: copy ca.crl beside their ca.crt and let them reload it",
    );
    Ok(())
}
