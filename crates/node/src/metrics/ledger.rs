//! The chain, the pool and synchronisation.

use chainmesh_proto::eth::chain::ChainReader as _;

use super::{MetricsSources, Page};

pub(super) fn chain(page: &mut Page, sources: &MetricsSources) {
    if let Some(chain) = &sources.chain {
        let head = chain.head();
        page.gauge("head_number", "Number of the newest block", head.number);
        page.gauge("head_timestamp_seconds", "Time in the newest block", head.timestamp);
    }
    if let Some(report) = sources.net.sync_report() {
        page.gauge(
            "sync_target_number",
            "Number of the last block that is known of",
            report.target,
        );
        page.counter("imported_blocks", "Blocks of peers that were stored", report.imported);
    }
    if let Some(pool) = &sources.pool {
        let status = pool.status();
        let counts = [("pending", status.pending), ("queued", status.queued)];
        let counts = counts.map(|(state, count)| ([state.to_owned()], count));
        page.gauges("pool_transactions", "Transactions in the pool", &["state"], counts);
        page.gauge("pool_bytes", "Bytes of the transactions in the pool", status.bytes);
        page.gauge("pool_accounts", "Senders of the transactions in the pool", status.accounts);
        page.counter("pool_refused", "Transactions that were not taken", status.refused);
        page.counter("pool_evicted", "Transactions that made room for others", status.evicted);
    }
}
