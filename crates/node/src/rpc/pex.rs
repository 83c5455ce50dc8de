//! `chainmesh_peerExchange`: what peers told, and what they were told.

use chainmesh_net::pex::{PexCounters, PexReport};
use serde_json::{Map, Value, json};

/// Peer exchange since the start of the node; `null` when it takes no part in it.
pub(super) fn report(report: Option<PexReport>) -> Value {
    let Some(PexReport { peers, need, waiting, counters }) = report else { return Value::Null };
    let PexCounters {
        asked,
        answered,
        unanswered,
        answers,
        refused,
        told,
        taken,
        ignored,
        breaches,
    } = counters;
    let ignored: Map<String, Value> =
        ignored.into_iter().map(|(why, nodes)| (why.name().to_owned(), nodes.into())).collect();
    json!({
        "peers": peers,
        "need": need,
        "waiting": waiting,
        "asked": asked,
        "answered": answered,
        "unanswered": unanswered,
        "answers": answers,
        "refused": refused,
        "told": told,
        "taken": taken,
        "ignored": ignored,
        "breaches": breaches,
    })
}
