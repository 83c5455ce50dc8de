//! What a node answers, honest or not.

use bytes::Bytes;
use chainmesh_proto::eth::handler::{ServeJob, Served};
use chainmesh_wire::eth::{EthVersion, Message, code, encode_response};

use super::{Conduct, GIANT};
use crate::network::NodeIndex;
use crate::world::World;

/// `[[], []]`.
const EMPTY_BODY: [u8; 3] = [0xc2, 0xc0, 0xc0];

impl World {
    /// Answers a peer's question at once: paths in a world take whatever is sent.
    pub(super) fn serve(&mut self, node: NodeIndex, job: &ServeJob) {
        let conduct = self.conduct(node);
        let chain = self.nodes.get(node.0).and_then(|node| node.chain.as_ref());
        let Some(answer) = chain.and_then(|chain| job.answer(&*chain.chain, None).ok()) else {
            return;
        };
        let Some((code, payload)) = bent(conduct, job.served(), answer) else { return };
        // It closed meanwhile: the peer does not want its answer any more.
        let _ = job.connection().context().send(code, payload);
    }
}

/// An answer as a node of this conduct gives it, if it gives one.
fn bent(conduct: Conduct, asked: &Served, honest: (u32, Bytes)) -> Option<(u32, Bytes)> {
    if matches!(conduct, Conduct::Honest | Conduct::Forger) {
        return Some(honest);
    }
    let (code, payload) = honest;
    let bodies = matches!(asked, Served::Bodies(_));
    let (request_id, mut items) = items(code, &payload)?;
    match conduct {
        Conduct::Staller => return None,
        Conduct::BodyStaller if bodies => return None,
        Conduct::Gap if !bodies && items.len() > 10 => drop(items.remove(5)),
        // It has its head, so that it is believed to have the rest.
        Conduct::Empty if bodies || items.len() > 1 => items.clear(),
        Conduct::WrongBodies if bodies => {
            if let Some(last) = items.last_mut() {
                *last = Bytes::from_static(&EMPTY_BODY);
            }
        }
        Conduct::Giant if bodies => {
            if let Some(last) = items.last_mut() {
                *last = giant_body();
            }
        }
        _ => return Some((code, payload)),
    }
    Some((code, encode_response(request_id, &items)))
}

/// `[[transaction of GIANT bytes], []]`.
fn giant_body() -> Bytes {
    let transaction = vec![0xab; GIANT];
    let mut transactions = Vec::new();
    alloy_rlp::encode_list::<&[u8], [u8]>(&[&transaction], &mut transactions);
    transactions.push(alloy_rlp::EMPTY_LIST_CODE);
    let mut body = Vec::new();
    alloy_rlp::Header { list: true, payload_length: transactions.len() }.encode(&mut body);
    body.extend_from_slice(&transactions);
    body.into()
}

/// Request id and items of an answer.
fn items(code: u32, payload: &Bytes) -> Option<(u64, Vec<Bytes>)> {
    debug_assert!([code::BLOCK_HEADERS, code::BLOCK_BODIES].contains(&code));
    // Both answers have the same form in every version.
    match Message::decode(EthVersion::Eth68, code, payload).ok()? {
        Message::BlockHeaders(answer) => {
            Some((answer.request_id, answer.items.into_iter().map(|item| item.rlp).collect()))
        }
        Message::BlockBodies(answer) => {
            Some((answer.request_id, answer.items.into_iter().map(|item| item.rlp).collect()))
        }
        _ => None,
    }
}
