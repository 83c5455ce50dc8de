//! The calls that SDKs make at their start, answered in FISCO BCOS's shapes.
//!
//! The node has no ledger of FISCO's: it says who is there, how high its own chain is, and that there
//! is nothing else. Shapes: the JSON-RPC of FISCO BCOS 2.9 and of 3.x; what the SDKs need of them was
//! seen in runs of the Java SDK 2.10.1 and the Go SDK 1.1.1.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chainmesh_chain::Chain;
use chainmesh_net::amop::channel::NODE_VERSION;
use chainmesh_net::mesh::{MeshHandle, MeshReport};
use chainmesh_proto::eth::chain::ChainReader as _;
use jsonrpsee_core::server::Methods;
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::Later;
use crate::rpc::dispatch::Connections;

/// Longest call that is read, bytes. Chosen: calls of an SDK's start have a hundred; a transaction
/// would not be taken anyway.
pub(super) const MAX_CALL: usize = 1024 * 1024;

/// JSON-RPC 2.0: it is no JSON.
const PARSE_ERROR: i32 = -32700;
/// JSON-RPC 2.0: it is no call.
const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC 2.0: there is no such method here.
const METHOD_NOT_FOUND: i32 = -32601;

/// The group that an SDK of 2.x is told of; they have numbers there.
const GROUP_OF_2: &str = "1";

/// Whose words are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// FISCO BCOS 2.x.
    Two,
    /// FISCO BCOS 3.x.
    Three,
}

/// What the answers are made from.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The mesh: who is there.
    pub mesh: MeshHandle,
    /// The node's own chain.
    pub chain: Option<Arc<Chain>>,
    /// What SDKs are told is the chain ID.
    pub chain_id: u64,
    /// The node's own methods, once it has some; SDKs may call those that only read.
    pub methods: Arc<OnceLock<Methods>>,
}

/// What a call is answered.
pub(super) enum Answer {
    /// This.
    Now(Bytes),
    /// This, because the call is none; the log is told why.
    Refused(Bytes, &'static str),
    /// What comes of it.
    Later(Later),
}

/// Namespaces of the node's own methods that SDKs may call.
const NAMESPACES: [&str; 3] = ["eth_", "net_", "web3_"];
/// How names in them begin that change something, or keep something for the caller.
const NOT_READ_ONLY: [&str; 6] = ["send", "sign", "new", "uninstall", "subscribe", "unsubscribe"];

/// Whether a method of the node's own only reads the chain or the network.
fn is_read_only(method: &str) -> bool {
    let name = NAMESPACES.iter().find_map(|namespace| method.strip_prefix(namespace));
    name.is_some_and(|name| !NOT_READ_ONLY.iter().any(|begin| name.starts_with(begin)))
}

fn line(mut answer: String) -> Bytes {
    answer.push('\n');
    answer.into()
}

/// A call. SDKs leave `jsonrpc` and `params` out, too.
#[derive(Debug, Deserialize)]
struct Call {
    #[serde(default)]
    id: Value,
    method: String,
}

impl Ledger {
    /// Answers one call; the answer ends with a line break, as FISCO's.
    pub(super) fn answer(&self, generation: Generation, call: &Bytes) -> Answer {
        let refused =
            |code, why| Answer::Refused(line(failure(&Value::Null, code, why).to_string()), why);
        if call.len() > MAX_CALL {
            return refused(INVALID_REQUEST, "a call has at most 1 MiB");
        }
        let Ok(value) = serde_json::from_slice::<Value>(call) else {
            return refused(PARSE_ERROR, "the call is not valid JSON");
        };
        let Ok(Call { id, method }) = Call::deserialize(value) else {
            let why = "this is no call of JSON-RPC 2.0: it has no method";
            return refused(INVALID_REQUEST, why);
        };
        match self.methods.get() {
            Some(methods) if is_read_only(&method) => {
                let (methods, call) = (methods.clone(), call.clone());
                let dispatcher = Connections::default().without_subscriptions(&methods);
                Answer::Later(Box::pin(async move {
                    line(dispatcher.answer(&call).await.text.unwrap_or_default())
                }))
            }
            _ => Answer::Now(line(self.answer_to(generation, &method, &id).to_string())),
        }
    }

    fn answer_to(&self, generation: Generation, method: &str, id: &Value) -> Value {
        let result = match generation {
            Generation::Two => self.of_2(method),
            Generation::Three => self.of_3(method),
        };
        match result {
            Some(result) => json!({"id": id, "jsonrpc": "2.0", "result": result}),
            None => {
                let why = "this node answers messages on topics; it has no ledger of FISCO BCOS";
                failure(id, METHOD_NOT_FOUND, why)
            }
        }
    }

    fn height(&self) -> u64 {
        self.chain.as_ref().map_or(0, |chain| chain.head().number)
    }

    /// What any SDK may ask for, in the words of 2.x: `None` for the rest.
    fn of_2(&self, method: &str) -> Option<Value> {
        let height = format!("{:#x}", self.height());
        Some(match method {
            "getClientVersion" => self.client_version(),
            "getGroupList" => json!([GROUP_OF_2]),
            "getBlockNumber" => json!(height),
            "getPbftView" | "getPendingTxSize" => json!("0x0"),
            "getSealerList" | "getObserverList" => json!([]),
            "getNodeIDList" | "getGroupPeers" => json!(ids(&self.mesh.report())),
            "getNodeInfo" => node_of_2(&self.mesh.report().name.to_string(), &[]),
            "getPeers" => {
                let report = self.mesh.report();
                let reached = report.members.iter().filter(|member| member.distance.is_some());
                reached.map(|member| node_of_2(&member.name.to_string(), &member.topics)).collect()
            }
            "getSyncStatus" => self.sync_status(),
            "getTotalTransactionCount" => {
                json!({"blockNumber": height, "failedTxSum": "0x0", "txSum": "0x0"})
            }
            _ => return None,
        })
    }

    fn of_3(&self, method: &str) -> Option<Value> {
        let report = self.mesh.report();
        Some(match method {
            "getGroupList" => json!({"code": 0, "msg": "", "groupList": report.groups}),
            "getGroupInfoList" | "getSealerList" | "getObserverList" => json!([]),
            "getBlockNumber" => json!(self.height()),
            "getPbftView" | "getPendingTxSize" => json!(0),
            "getGroupPeers" => json!(ids(&report)),
            "getPeers" => {
                let groups = |groups: &[String], id: &str| -> Value {
                    let of = |group| json!({"group": group, "nodeIDList": [id]});
                    groups.iter().map(of).collect()
                };
                let peer = |member: &chainmesh_net::mesh::MemberReport| {
                    let groups = groups(&member.groups, &member.name.to_string());
                    json!({"endPoint": "", "p2pNodeID": member.long, "groupNodeIDInfo": groups})
                };
                let reached = report.members.iter().filter(|member| member.distance.is_some());
                let own = report.name.to_string();
                json!({
                    "endPoint": "",
                    "p2pNodeID": own,
                    "groupNodeIDInfo": groups(&report.groups, &own),
                    "peers": reached.map(peer).collect::<Value>(),
                })
            }
            _ => return None,
        })
    }

    /// SDKs need "Supported Version" of three numbers, 2.1 or higher, to shake hands; "gm" in the
    /// version would switch them to other cryptography; Go's compares the chain ID.
    fn client_version(&self) -> Value {
        json!({
            "Build Time": "",
            "Build Type": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            "Chain Id": self.chain_id.to_string(),
            "FISCO-BCOS Version": NODE_VERSION,
            "Git Branch": "",
            "Git Commit Hash": "",
            "Supported Version": NODE_VERSION,
            "Node": crate::node::client_name(),
        })
    }

    fn sync_status(&self) -> Value {
        let report = self.mesh.report();
        let hex = |hash: String| hash.trim_start_matches("0x").to_owned();
        let head = self.chain.as_ref().map(|chain| chain.head().hash.to_string());
        let genesis = self.chain.as_ref().map(|chain| chain.genesis_hash().to_string());
        let (head, genesis) = (head.map(hex), genesis.map(hex));
        let peers = report.members.iter().filter(|member| member.distance.is_some());
        let peers = peers.map(|member| {
            json!({
                "blockNumber": member.height.unwrap_or(0),
                "nodeId": member.name.to_string(),
            })
        });
        json!({
            "blockNumber": self.height(),
            "genesisHash": genesis.unwrap_or_default(),
            "isSyncing": false,
            "knownHighestNumber": self.height(),
            "knownLatestHash": head.clone().unwrap_or_default(),
            "latestHash": head.unwrap_or_default(),
            "nodeId": report.name.to_string(),
            "peers": peers.collect::<Value>(),
            "protocolId": 65_545,
            "txPoolSize": "0",
        })
    }
}

/// Everybody who can be reached, and this node.
fn ids(report: &MeshReport) -> Vec<String> {
    let reached = report.members.iter().filter(|member| member.distance.is_some());
    let own = core::iter::once(report.name);
    own.chain(reached.map(|member| member.name)).map(|name| name.to_string()).collect()
}

fn node_of_2(id: &str, topics: &[String]) -> Value {
    json!({"Agency": "", "IPAndPort": "", "Node": "", "NodeID": id, "Topic": topics})
}

fn failure(id: &Value, code: i32, message: &str) -> Value {
    json!({
        "error": {"code": code, "data": null, "message": message}, "id": id, "jsonrpc": "2.0",
    })
}

#[cfg(test)]
mod tests;
