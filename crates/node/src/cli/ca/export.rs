//! `chainmesh ca export`.

use anyhow::bail;
use chainmesh_identity::certificate::files;

use super::arguments::ExportArgs;
use super::store::{Issued, Store};
use super::{hand_out, output};

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let chain = Store::open(&args.ca.ca)?;
    let found = Issued::find(chain.issued()?, &args.which)?;
    // The one that lasts longest, of those that may be used.
    let usable =
        |issued: &Issued| !issued.revoked && !issued.agency_revoked && !issued.seen.authority;
    let latest = found.into_iter().rfind(usable);
    let Some(issued) = latest else {
        bail!("{:?} has no certificate of a node that is not revoked", args.which);
    };
    let text = files::certificates_to_pem(&issued.chain(&chain)?)?;
    files::replace(&args.out.join(files::NODE_CERTIFICATE), &text)?;
    hand_out(&chain, &args.out)?;
    output::line(&format!("node       {} (serial {})", issued.name(), issued.seen.serial))?;
    output::line(&format!("directory  {}", args.out.display()))
}
