//! `eth` from outside: who is refused and in which words, synchronisation, commands and events.

use std::sync::Arc;

use alloy_primitives::B256;
use chainmesh_net::{P2pConfig, P2pEvent, P2pHandle, SessionCommand};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};
use chainmesh_wire::eth::EthVersion;
use tokio::sync::broadcast;

use crate::chain::{TestChain, block, forks, on_chain};
use crate::support::{connected, has_peers, within};

/// Waits until `chain` has this head.
async fn has_head(chain: &TestChain, head: B256) {
    within("the head", async {
        while chain.head().hash != head {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The node makes a block on its chain, and tells its peers.
async fn make_block(chain: &TestChain, node: &P2pHandle) -> (B256, u64) {
    let new = chain.next();
    chain.import(std::slice::from_ref(&new)).unwrap();
    let (hash, number) = (new.hash, new.header.number);
    node.cmd_tx.send(SessionCommand::BroadcastBlock { hash, number }).await.unwrap();
    (hash, number)
}

async fn event<T>(
    what: &str,
    events: &mut broadcast::Receiver<P2pEvent>,
    mut wanted: impl FnMut(P2pEvent) -> Option<T>,
) -> T {
    within(what, async {
        loop {
            if let Some(found) = wanted(events.recv().await.unwrap()) {
                return found;
            }
        }
    })
    .await
}

/// Starts a second node against `first`, and waits until it has been refused.
async fn refusal(first: &P2pHandle, mut other: P2pConfig) -> String {
    other.boot_nodes.push(first.enode().unwrap());
    let other = chainmesh_net::start(other).await.unwrap();
    let reason = within("the refusal", async {
        loop {
            let peers = other.peers().await.unwrap();
            if let Some(attempt) = peers.iter().find_map(|peer| peer.info.history.last()) {
                return attempt.outcome;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((first.peer_count(), other.peer_count()), (0, 0));
    other.shutdown().await;
    reason.to_string()
}

#[tokio::test]
async fn another_network_genesis_or_fork_is_refused() {
    let chain = TestChain::new(100, 5);
    let node = chainmesh_net::start(on_chain(1, &chain)).await.unwrap();

    let mut other_network = on_chain(2, &TestChain::new(100, 5));
    other_network.chain_id = 2;
    let other_genesis = on_chain(3, &TestChain::new(200, 5));
    let same = TestChain::new(100, 5);
    let mut other_fork = on_chain(4, &same);
    other_fork.chain.as_mut().unwrap().forks = forks(&same, &[3]);

    for other in [other_network, other_genesis, other_fork] {
        let words = refusal(&node, other).await;
        assert!(words.contains("subprotocol error"), "{words}");
    }
}

#[tokio::test]
async fn a_node_syncs_and_then_follows() {
    let (full, empty) = (TestChain::new(100, 1500), TestChain::new(100, 0));
    let first = chainmesh_net::start(on_chain(1, &full)).await.unwrap();
    let mut config = on_chain(2, &empty);
    config.boot_nodes.push(first.enode().unwrap());
    let second = chainmesh_net::start(config).await.unwrap();
    let mut events = second.subscribe();
    has_head(&empty, full.head().hash).await;

    // The first node makes a block: the second, its only peer, gets it whole.
    let (hash, number) = make_block(&full, &first).await;
    let heard = event("NewBlock", &mut events, |event| match event {
        P2pEvent::NewBlock { peer_id, hash, number } => Some((peer_id, hash, number)),
        _ => None,
    })
    .await;
    assert_eq!(heard, (first.local_id, hash, number));
    has_head(&empty, hash).await;
}

#[tokio::test]
async fn an_invalid_block_is_refused_and_its_sender_is_dropped() {
    let good = TestChain::new(5, 3);
    // The liar's block 8 has the timestamp 13.
    let (liar, victim) = (TestChain::new(5, 20), TestChain::new(5, 3));
    assert_eq!(liar.canonical_hash(8).unwrap(), {
        let mut tip = good.head().hash;
        for number in 4..=8 {
            tip = block(number, tip, 5 + number).hash;
        }
        Some(tip)
    });
    let first = chainmesh_net::start(on_chain(1, &liar)).await.unwrap();
    let mut config = on_chain(2, &victim);
    config.boot_nodes.push(first.enode().unwrap());
    let second = chainmesh_net::start(config).await.unwrap();
    let mut events = second.subscribe();
    event("PeerDisconnected", &mut events, |event| match event {
        P2pEvent::PeerDisconnected { peer_id } => (peer_id == first.local_id).then_some(()),
        _ => None,
    })
    .await;
    // What was good stays.
    assert_eq!(victim.head().number, 7);
}

#[tokio::test]
async fn owners_ask_and_answer_by_commands() {
    let (full, other) = (TestChain::new(100, 10), TestChain::new(100, 10));
    // The first node answers its own requests.
    let mut config = on_chain(1, &full);
    let eth = config.chain.as_mut().unwrap();
    (eth.serve, eth.sync) = (false, None);
    let first = chainmesh_net::start(config).await.unwrap();
    let mut asked = first.subscribe();
    let mut config = on_chain(2, &other);
    config.chain.as_mut().unwrap().sync = None;
    config.boot_nodes.push(first.enode().unwrap());
    let second = chainmesh_net::start(config).await.unwrap();
    let mut events = second.subscribe();
    connected(&mut events).await;

    let ask = SessionCommand::GetBlockHeaders { peer_id: first.local_id, start: 2, count: 3 };
    second.cmd_tx.send(ask).await.unwrap();
    let (request_id, limit) = event("the question", &mut asked, |event| match event {
        P2pEvent::GetBlockHeadersRequest { peer_id, request_id, limit, .. } => {
            assert_eq!(peer_id, second.local_id);
            Some((request_id, limit))
        }
        _ => None,
    })
    .await;
    assert_eq!(limit, 3);
    let header = |number| alloy_rlp::decode_exact(header_rlp(&full, number)).unwrap();
    let headers = vec![header(2), header(3), header(4)];
    let answer = SessionCommand::SendBlockHeaders {
        peer_id: second.local_id,
        request_id,
        headers: headers.clone(),
    };
    first.cmd_tx.send(answer).await.unwrap();
    let got = event("the answer", &mut events, |event| match event {
        P2pEvent::BlockHeaders { headers, .. } => Some(headers),
        _ => None,
    })
    .await;
    assert_eq!(got, headers);

    let hash = full.canonical_hash(4).unwrap().unwrap();
    let ask = SessionCommand::GetBlockBodies { peer_id: first.local_id, hashes: vec![hash] };
    second.cmd_tx.send(ask).await.unwrap();
    let request_id = event("the question", &mut asked, |event| match event {
        P2pEvent::GetBlockBodiesRequest { request_id, hashes, .. } => {
            assert_eq!(hashes, [hash]);
            Some(request_id)
        }
        _ => None,
    })
    .await;
    let bodies = vec![chainmesh_net::BlockBody::default()];
    let answer = SessionCommand::SendBlockBodies { peer_id: second.local_id, request_id, bodies };
    first.cmd_tx.send(answer).await.unwrap();
    let got = event("the answer", &mut events, |event| match event {
        P2pEvent::BlockBodies { bodies, .. } => Some(bodies),
        _ => None,
    })
    .await;
    assert_eq!(got, [chainmesh_net::BlockBody::default()]);

    let transactions = vec![vec![0xc0], vec![0x02, 0xc0]];
    let send = SessionCommand::BroadcastTransactions { transactions: transactions.clone() };
    second.cmd_tx.send(send).await.unwrap();
    let got = event("the transactions", &mut asked, |event| match event {
        P2pEvent::Transactions { transactions, .. } => Some(transactions),
        _ => None,
    })
    .await;
    assert_eq!(got, transactions);
}

fn header_rlp(chain: &Arc<TestChain>, number: u64) -> bytes::Bytes {
    let hash = chain.canonical_hash(number).unwrap().unwrap();
    chain.header_rlp(&hash).unwrap().unwrap()
}

#[tokio::test]
async fn a_new_block_goes_whole_to_few_and_as_a_hash_to_the_rest() {
    let full = TestChain::new(100, 3);
    let first = chainmesh_net::start(on_chain(1, &full)).await.unwrap();
    let mut others = Vec::new();
    for number in 2..=6 {
        let chain = TestChain::new(100, 3);
        let mut config = on_chain(number, &chain);
        config.boot_nodes.push(first.enode().unwrap());
        let node = chainmesh_net::start(config).await.unwrap();
        let events = node.subscribe();
        others.push((chain, node, events));
    }
    has_peers(&first, 5).await;
    let (hash, _) = make_block(&full, &first).await;
    let mut whole = 0;
    for (chain, _, events) in &mut others {
        whole += event("the block", events, |event| match event {
            P2pEvent::NewBlock { .. } => Some(1),
            P2pEvent::NewBlockHash { .. } => Some(0),
            _ => None,
        })
        .await;
        has_head(chain, hash).await;
    }
    assert_eq!(whole, 2, "the square root of five, rounded down");
}

/// go-ethereum ends the session of who sends it a block over eth/69, whatever the chain.
#[tokio::test]
async fn a_peer_that_speaks_eth_69_is_told_of_a_range_and_sent_no_block() {
    let full = TestChain::new(100, 3);
    let mut config = on_chain(1, &full);
    config.chain.as_mut().unwrap().versions = EthVersion::ALL.to_vec();
    let first = chainmesh_net::start(config).await.unwrap();
    let mut others = Vec::new();
    for (number, versions) in [(2, EthVersion::Eth69), (3, EthVersion::Eth68)] {
        let chain = TestChain::new(100, 3);
        let mut config = on_chain(number, &chain);
        config.chain.as_mut().unwrap().versions = vec![versions];
        config.boot_nodes.push(first.enode().unwrap());
        let node = chainmesh_net::start(config).await.unwrap();
        let mut events = node.subscribe();
        connected(&mut events).await;
        others.push((chain, node, events));
    }
    has_peers(&first, 2).await;
    let (hash, _) = make_block(&full, &first).await;
    let mut sent = Vec::new();
    for (chain, node, mut events) in others {
        has_head(&chain, hash).await;
        node.shutdown().await;
        let mut blocks = 0;
        while let Ok(event) = events.try_recv() {
            let block = matches!(event, P2pEvent::NewBlock { .. } | P2pEvent::NewBlockHash { .. });
            blocks += u32::from(block);
        }
        sent.push(blocks > 0);
    }
    assert_eq!(sent, [false, true]);
}
