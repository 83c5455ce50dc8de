//! `chainmesh ca list`.

use chainmesh_identity::certificate::Date;
use serde_json::json;

use super::arguments::ListArgs;
use super::output;
use super::store::{Issued, Store};
use crate::cli::peers::table;

pub(super) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let chain = Store::open(&args.ca.ca)?;
    let (all, now) = (chain.issued()?, crate::unix_time());
    if args.json {
        let all: Vec<_> = all.iter().map(|issued| describe(issued, now)).collect();
        return output::line(&serde_json::to_string(&all)?);
    }
    if all.is_empty() {
        return output::line("Nothing was issued yet: chainmesh ca issue --name n0 --out ./n0");
    }
    let mut rows = table(&["SERIAL", "NAME", "KIND", "ISSUED BY", "ID", "VALID TO", "STATE"]);
    for issued in &all {
        rows.add_row([
            issued.seen.serial.clone(),
            issued.name().to_owned(),
            issued.kind().to_owned(),
            issued.issuer().to_owned(),
            short(issued),
            Date(issued.seen.not_after).to_string(),
            state(issued, now).to_owned(),
        ]);
    }
    output::line(&rows.to_string())
}

fn describe(issued: &Issued, now: u64) -> serde_json::Value {
    let identity = issued.seen.identity.as_ref();
    json!({
        "serial": issued.seen.serial,
        "name": issued.name(),
        "subject": issued.seen.subject,
        "issuer": issued.seen.issuer,
        "kind": issued.kind(),
        "id": identity.map(ToString::to_string),
        "shortId": identity.map(|identity| identity.short().to_string()),
        "notBefore": issued.seen.not_before,
        "notAfter": issued.seen.not_after,
        "state": state(issued, now),
    })
}

fn state(issued: &Issued, now: u64) -> &'static str {
    if issued.revoked {
        "revoked"
    } else if issued.agency_revoked {
        "agency revoked"
    } else if now > issued.seen.not_after {
        "expired"
    } else {
        "valid"
    }
}

/// The first digits of a node's ID; an agency has none on the network.
fn short(issued: &Issued) -> String {
    let id = issued.seen.identity.as_ref().and_then(|identity| identity.peer_id());
    match id {
        Some(id) if !issued.seen.authority => format!("{}…", id.short()),
        _ => "-".to_owned(),
    }
}
