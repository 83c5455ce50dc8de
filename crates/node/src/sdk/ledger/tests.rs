//! Which of the node's own methods SDKs may call.

use super::*;

#[test]
fn only_what_reads_is_for_sdks() {
    for method in ["eth_blockNumber", "eth_getBlockByHash", "net_version", "web3_clientVersion"] {
        assert!(is_read_only(method), "{method}");
    }
    let others = [
        "admin_addPeer",
        "amop_topics",
        "chainmesh_peers",
        "mesh_send",
        "mesh_reload",
        "rpc_modules",
        "eth_sendRawTransaction",
        "eth_signTransaction",
        "eth_newFilter",
        "eth_subscribe",
        "getGroupList",
        "eth",
        "",
    ];
    for method in others {
        assert!(!is_read_only(method), "{method}");
    }
}
