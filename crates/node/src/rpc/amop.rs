//! `amop_topics`: who follows what, here and elsewhere, and where SDKs connect.

use chainmesh_net::amop::{AmopReport, SdkKind};
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::ErrorObjectOwned;
use serde::{Deserialize, Serialize};

use super::RpcContext;
use super::error::refused;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    module.register_method("amop_topics", |_, context, _| {
        let why = "this node has no ports for SDKs (chainmesh run --sdk-channel, or [sdk])";
        let report = context.net.amop().and_then(|amop| amop.report());
        let report = report.ok_or_else(|| refused(why))?;
        Ok::<_, ErrorObjectOwned>(AmopStatus::new(&report, context))
    })?;
    Ok(())
}

/// Topics and SDKs as a node sees them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AmopStatus {
    /// Where SDKs of 2.x connect.
    pub channel: Option<String>,
    /// Where SDKs of 3.x connect.
    pub websocket: Option<String>,
    /// Whether they speak TLS.
    pub tls: bool,
    /// Where a client on this machine finds certificates that they accept.
    pub certificates: Option<String>,
    /// All topics that anybody follows; escaped.
    pub topics: Vec<TopicStatus>,
    /// The SDKs at this node.
    pub sdks: Vec<SdkStatus>,
    /// Messages to one subscriber that have not ended.
    pub waiting: usize,
    /// SDKs that left a moment ago, whose topics are kept.
    pub gone: usize,
    /// Counts since the start.
    pub counters: AmopCounts,
}

/// Who follows a topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// The topic, escaped.
    pub topic: String,
    /// SDKs at this node, by number.
    pub sdks: Vec<u64>,
    /// Other nodes, by ID.
    pub nodes: Vec<String>,
}

/// An SDK at this node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SdkStatus {
    /// Its number.
    pub sdk: u64,
    /// `channel` (2.x) or `websocket` (3.x).
    pub kind: String,
    /// How many topics it follows.
    pub topics: usize,
    /// Whether its topics are those of before it came back.
    pub restored: bool,
    /// Whether its queue is full.
    pub slow: bool,
    /// Messages that it has not answered.
    pub unanswered: usize,
    /// Messages of its own that have not ended.
    pub publishing: usize,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AmopCounts {
    /// Messages that SDKs here published.
    pub published: u64,
    /// Messages of other nodes to one subscriber.
    pub from_nodes: u64,
    /// Messages given to SDKs here.
    pub pushed: u64,
    /// Messages that a subscriber answered.
    pub delivered: u64,
    /// Messages of SDKs here that failed.
    pub failed: u64,
    /// Messages for which somebody else had to be asked.
    pub asked_again: u64,
    /// Messages to all that an SDK missed.
    pub missed: u64,
    /// Messages above a limit.
    pub over_limit: u64,
    /// Lists of topics that were refused.
    pub lists_refused: u64,
    /// Answers that nobody waited for, or that another SDK was asked for.
    pub unknown_answers: u64,
    /// Verdicts on private topics for which nobody was asked.
    pub unknown_verdicts: u64,
    /// SDKs that were cut because they did not read.
    pub cut: u64,
}

impl AmopStatus {
    fn new(report: &AmopReport, context: &RpcContext) -> Self {
        let topics = report.topics.iter().map(|topic| TopicStatus {
            topic: topic.topic.clone(),
            sdks: topic.sessions.iter().map(|session| session.0).collect(),
            nodes: topic.nodes.iter().map(ToString::to_string).collect(),
        });
        let sdks = report.sessions.iter().map(|sdk| SdkStatus {
            sdk: sdk.session.0,
            kind: match sdk.kind {
                SdkKind::Channel => "channel".to_owned(),
                SdkKind::WebSocket => "websocket".to_owned(),
            },
            topics: sdk.topics.len(),
            restored: sdk.restored,
            slow: sdk.slow,
            unanswered: sdk.unanswered,
            publishing: sdk.publishing,
        });
        let c = &report.counters;
        Self {
            channel: context.sdk_channel.map(|address| address.to_string()),
            websocket: context.sdk_websocket.map(|address| address.to_string()),
            tls: context.sdk_tls,
            certificates: context
                .sdk_certificates
                .as_ref()
                .and_then(|directory| directory.to_str().map(str::to_owned)),
            topics: topics.collect(),
            sdks: sdks.collect(),
            waiting: report.waiting,
            gone: report.gone,
            counters: AmopCounts {
                published: c.published,
                from_nodes: c.from_nodes,
                pushed: c.pushed,
                delivered: c.delivered,
                failed: c.failed,
                asked_again: c.asked_again,
                missed: c.missed,
                over_limit: c.over_limit,
                lists_refused: c.lists_refused,
                unknown_answers: c.unknown_answer,
                unknown_verdicts: c.unknown_verdict,
                cut: c.cut,
            },
        }
    }
}
