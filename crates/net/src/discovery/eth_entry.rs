//! The entry `eth` of a node record: on which chain a node is (EIP-868, EIP-2124).

use std::sync::Arc;

use alloy_eip2124::{ForkFilter, ForkId, Head};
use alloy_primitives::Bytes as Raw;
use alloy_rlp::{Decodable, Encodable, Header};
use chainmesh_identity::NodeRecord;
use chainmesh_proto::discovery::NodeFilter;
use chainmesh_proto::eth::chain::ChainReader;

/// Key of the entry.
const KEY: &str = "eth";

/// The forks of a chain, as they stand at its head.
fn at_head(chain: &dyn ChainReader, forks: &ForkFilter) -> ForkFilter {
    let (mut forks, head) = (forks.clone(), chain.head());
    forks.set_head(Head { number: head.number, timestamp: head.timestamp, ..Head::default() });
    forks
}

/// The entry of a node on this chain.
pub(crate) fn eth_entry(chain: &dyn ChainReader, forks: &ForkFilter) -> (String, Raw) {
    let fork_id = at_head(chain, forks).current();
    let mut value = Vec::new();
    Header { list: true, payload_length: fork_id.length() }.encode(&mut value);
    fork_id.encode(&mut value);
    (KEY.to_owned(), value.into())
}

/// The fork ID in a record: the entry `eth` (EIP-868). What follows it in the list is of later versions.
#[must_use]
pub fn fork_id(record: &NodeRecord) -> Option<ForkId> {
    let mut entry = record.get_raw_rlp(KEY)?;
    let mut fields = Header::decode_bytes(&mut entry, true).ok()?;
    ForkId::decode(&mut fields).ok()
}

/// Takes the nodes that are on this chain, as far as its head and theirs let us see.
pub(crate) fn of_our_chain(chain: Arc<dyn ChainReader>, forks: ForkFilter) -> NodeFilter {
    Arc::new(move |record| {
        let fork_id = record.and_then(fork_id);
        fork_id.is_some_and(|fork_id| at_head(&*chain, &forks).validate(fork_id).is_ok())
    })
}
