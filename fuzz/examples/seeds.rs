//! Writes the first inputs of the targets whose inputs are messages, files or operations:
//!
//! ```text
//! cargo run -p chainmesh-fuzz --example seeds
//! ```
//!
//! What is in `corpus/` already under another name stays.

use core::net::{IpAddr, Ipv4Addr};
use std::fs;
use std::path::Path;

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy, TypedTransaction};
use alloy_eip2124::{ForkFilter, Head};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256};
use bytes::Bytes;
use chainmesh_chain::genesis::{DevNetwork, dev_clique};
use chainmesh_identity::record::build_record;
use chainmesh_identity::{Enode, NodeKey, PeerId};
use chainmesh_proto::eth::chain::{ChainReader, SyncBlock};
use chainmesh_proto::eth::status::ChainIdentity;
use chainmesh_proto::peers::book::{AddressBook, AddressOrigin};
use chainmesh_sim::chain::{MemoryChain, Shape, blocks};
use chainmesh_wire::discv4::{
    self, Contact, Endpoint, EnrRequest, EnrResponse, FindNode, HEADER, Neighbors, Packet, Ping,
    Pong, Seal,
};
use chainmesh_wire::eth::{
    BlockBody, BlockHeader, BlockId, BlockRange, EthVersion, GetBlockHeaders, HashRequest, Message,
    NewBlock, Origin, Response, code, encode_response,
};
use chainmesh_wire::pex;

fn write(target: &str, name: &str, content: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("a folder for the inputs");
    fs::write(folder.join(name), content).expect("an input");
}

fn some_blocks(count: usize) -> Vec<SyncBlock> {
    let shape = Shape { salt: 1, difficulty: 2, transaction_every: 2 };
    blocks::branch(&blocks::genesis(), count, shape)
}

fn main() {
    discv4_packet();
    eth_message();
    eth_peer();
    chain_file();
    genesis_json();
    ipc_framing();
    peers_ops();
    pex();
    book();
    sync_ops();
    mesh_router();
    mempool();
}

/// One of each packet, from its type byte on; the target puts hash and signature before it.
fn discv4_packet() {
    let key = NodeKey::from_entropy([1; 32]);
    let ip = IpAddr::from([192, 0, 2, 1]);
    let endpoint = Endpoint::new(ip, 30303, 30303);
    let node = Contact { endpoint, id: key.peer_id() };
    let (expiration, hash) = (1_700_000_000, B256::repeat_byte(1));
    let record = build_record(&key, 1, Some(ip), 30303, 30303, &[]).expect("a short record");
    let ping = Ping { version: 4, from: endpoint, to: endpoint, expiration, enr_seq: Some(1) };
    let neighbors = Neighbors::packets(&[node; 3], expiration).next().expect("one packet");
    let packets = [
        Packet::Ping(ping),
        Packet::Pong(Pong { to: endpoint, ping_hash: hash, expiration, enr_seq: None }),
        Packet::FindNode(FindNode { target: key.peer_id(), expiration }),
        Packet::Neighbors(neighbors),
        Packet::EnrRequest(EnrRequest { expiration }),
        Packet::EnrResponse(EnrResponse { request_hash: hash, record: Box::new(record) }),
    ];
    for packet in packets {
        let sealed = discv4::seal(&packet, &key, Seal::Clear).expect("a short packet");
        write("discv4_packet", &format!("type-{}", packet.kind()), &sealed.bytes[HEADER - 1..]);
    }
}

/// Both messages of peer exchange, and a session in which each side asks and answers.
fn pex() {
    let node = |number: u8, ip: &str| Contact {
        endpoint: Endpoint::new(ip.parse().expect("an address"), 30301, 30303),
        id: PeerId::from([number; 64]),
    };
    let nodes = vec![node(1, "203.0.113.7"), node(2, "2001:db8::1")];
    let messages = [
        ("get-nodes", pex::Message::GetNodes(pex::GetNodes { request: 0x0102, limit: 32 })),
        ("nodes", pex::Message::Nodes(pex::Nodes { request: 0x0102, nodes })),
        ("no-nodes", pex::Message::Nodes(pex::Nodes { request: u64::MAX, nodes: Vec::new() })),
    ];
    for (name, message) in messages {
        let code = u8::try_from(message.code()).expect("a small code");
        write("pex_message", name, &[&[code], &message.encode()[..]].concat());
    }
    // Open, at 20.1.0.1 and dialled; ready; need; time passes; the question is answered with two nodes; the
    // peer asks, too; time passes; three answers without a question.
    let open = [0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 9];
    let (ready, need, pass) = ([0, 1, 1], [0, 6, 1], [0, 7, 1, 0]);
    let told = |id| [1, 0, 5, 5, 9, id];
    let answer = [&[0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2][..], &told(20), &told(21)].concat();
    let ask = [0, 4, 7, 32];
    let unasked = [0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    let parts: [&[u8]; 9] =
        [&[1, 1, 1], &open, &ready, &need, &pass, &answer, &ask, &pass, &unasked];
    write("pex_ops", "both-ask", &[parts.concat(), unasked.repeat(2)].concat());
    write("pex_ops", "a-flood", &[&[0, 1, 1][..], &open, &ready, &ask.repeat(20)].concat());
}

fn header(block: &SyncBlock) -> BlockHeader {
    BlockHeader::from_header(block.header.clone())
}

fn body(block: &SyncBlock) -> BlockBody {
    BlockBody::decode(block.body_rlp.clone()).expect("a generated body")
}

/// The first transaction of the first block that has one.
fn transaction() -> Bytes {
    let block = &some_blocks(2)[1];
    let mut list = &block.body_rlp[..];
    let mut body = alloy_rlp::Header::decode_bytes(&mut list, true).expect("a body");
    let transactions = alloy_rlp::Header::decode_bytes(&mut body, true).expect("transactions");
    Bytes::copy_from_slice(transactions)
}

fn messages() -> Vec<(EthVersion, Message)> {
    use EthVersion::{Eth66, Eth68, Eth69};
    let blocks = some_blocks(3);
    let ids = blocks.iter().map(|b| BlockId { hash: b.hash, number: b.header.number });
    let wanted = || HashRequest { request_id: 7, hashes: vec![B256::ZERO, blocks[0].hash] };
    let some = |items| Response { request_id: 300, items };
    let query = GetBlockHeaders {
        request_id: 1,
        origin: Origin::Hash(blocks[0].hash),
        limit: 512,
        skip: 3,
        reverse: true,
    };
    let by_number = GetBlockHeaders { origin: Origin::Number(1000), ..query };
    let new_block = NewBlock {
        header: header(&blocks[1]),
        body: body(&blocks[1]),
        total_difficulty: U256::from(1_000_000),
    };
    let range = BlockRange { earliest: 0, latest: 3, latest_hash: blocks[2].hash };
    vec![
        (Eth68, Message::NewBlockHashes(ids.collect())),
        (Eth68, Message::Transactions(vec![transaction()])),
        (Eth68, Message::GetBlockHeaders(query)),
        (Eth69, Message::GetBlockHeaders(by_number)),
        (
            Eth68,
            Message::BlockHeaders(Response {
                request_id: 7,
                items: blocks.iter().map(header).collect(),
            }),
        ),
        (Eth68, Message::GetBlockBodies(wanted())),
        (
            Eth68,
            Message::BlockBodies(Response {
                request_id: 7,
                items: blocks.iter().map(body).collect(),
            }),
        ),
        (Eth68, Message::NewBlock(Box::new(new_block))),
        (Eth68, Message::GetPooledTransactions(wanted())),
        (Eth68, Message::PooledTransactions(some(vec![transaction()]))),
        (Eth66, Message::GetNodeData(wanted())),
        (Eth66, Message::NodeData(some(vec![Bytes::from_static(b"entry")]))),
        (Eth68, Message::GetReceipts(wanted())),
        (Eth68, Message::Receipts(some(vec![Bytes::from_static(&[0xc1, 0xc0])]))),
        (Eth69, Message::BlockRangeUpdate(range)),
    ]
}

fn eth_message() {
    let input = |version: EthVersion, code: u32, payload: &[u8]| {
        let place = EthVersion::ALL.iter().position(|other| *other == version);
        let mut input = vec![u8::try_from(place.expect("a version")).expect("few")];
        input.push(u8::try_from(code).expect("few"));
        input.extend_from_slice(payload);
        input
    };
    for (version, message) in messages() {
        let payload = message.encode().expect("a good message");
        let name = format!("{}_{}", version.number(), message.name());
        write("eth_message", &name, &input(version, message.code(), &payload));
    }
    let chain = MemoryChain::default();
    let genesis_hash = chain.genesis_hash();
    let forks = ForkFilter::new(Head::default(), genesis_hash, 0, []);
    let identity = ChainIdentity { network_id: 7, genesis_hash, forks, earliest: 0 };
    for version in [EthVersion::Eth68, EthVersion::Eth69] {
        let payload = identity.status(version, &chain.head()).encode();
        let name = format!("{}_Status", version.number());
        write("eth_message", &name, &input(version, code::STATUS, &payload));
    }
    // [[0xaa…], …]: hashes alone, and kinds, sizes and hashes.
    let hashes = encode_response(0, &[[0xa0; 1], [0x80; 1]]);
    write("eth_message", "68_announced_by_hand", &input(EthVersion::Eth68, 8, &hashes));
}

fn eth_peer() {
    // Operations: see `eth_peer`. 0 asks, 2 is the peer's Status, 3 and 4 are answers.
    write("eth_peer", "headers", &[2, 2, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 1, 2]);
    write("eth_peer", "bodies", &[3, 2, 0, 2, 0, 0, 1, 0, 4, 1, 1, 4, 2, 1]);
    write("eth_peer", "more_than_asked", &[0, 2, 0, 1, 0, 4, 1, 7]);
    write("eth_peer", "answer_before_status", &[1, 0, 3, 0, 4, 1, 1]);
    write("eth_peer", "questions", &[1, 2, 5, 0, 0, 0, 0, 0, 0, 0, 9, 9, 5, 1, 5, 2, 5, 3]);
    let many = [0, 1, 0].repeat(20);
    write("eth_peer", "many_requests", &[&[2, 2][..], &many, &[1, 3]].concat());
}

fn chain_file() {
    let blocks = some_blocks(4);
    let encode = |block: &SyncBlock| {
        chainmesh_chain::block::encode(&block.header_rlp, &block.body_rlp).expect("a good block")
    };
    let file: Vec<u8> = blocks.iter().flat_map(encode).collect();
    write("chain_file", "four_blocks", &file);
    write("chain_file", "cut", &file[..file.len() - 9]);
    write("chain_file", "no_list", &[&file[..], b"\x80"].concat());
    write("chain_file", "claims_all_memory", &[0xff; 9]);
    write("chain_file", "small_lists", &[0xc0, 0xc1, 0xc0, 0xf8, 0x01, 0xc0]);
}

fn genesis_json() {
    let genesis = dev_clique(&DevNetwork {
        chain_id: 1337,
        period: 1,
        timestamp: 1_700_000_000,
        signers: vec![Address::repeat_byte(1), Address::repeat_byte(2)],
        balances: vec![(Address::repeat_byte(3), U256::from(1_000_000))],
    });
    let text = serde_json::to_vec(&genesis).expect("a genesis is JSON");
    write("genesis_json", "dev_clique", &text);
    let stake = br#"{"config":{"chainId":1,"homesteadBlock":0,"londonBlock":0,"shanghaiTime":0,
"cancunTime":5,"pragueTime":9,"terminalTotalDifficulty":0,"blobSchedule":{"cancun":{"target":3,
"max":6,"baseFeeUpdateFraction":3338477}}},"gasLimit":"0x1c9c380","difficulty":"0x0","alloc":
{"0x0000000000000000000000000000000000000001":{"balance":"0x1","nonce":"0x2","code":"0x6001",
"storage":{"0x00":"0x01"}}},"baseFeePerGas":"0x7","timestamp":"0x6"}"#;
    write("genesis_json", "proof_of_stake", stake);
    write("genesis_json", "no_alloc", br#"{"config":{},"gasLimit":"0x0","difficulty":"0x1"}"#);
    write("genesis_json", "no_json", b"{\"config\":");
}

fn ipc_framing() {
    let texts: [(&str, &[u8]); 6] = [
        ("request", br#"{"jsonrpc":"2.0","id":1,"method":"admin_peers"}"#),
        ("batch", b"[{\"id\":1},{\"id\":2}]\n"),
        ("two", br#"{"a":"}"}[1,"\"]"]"#),
        ("escapes", br#" {"\\":"\\\"{"} {} "#),
        ("no_structure", b"{}1"),
        ("closed_twice", b"{}}"),
    ];
    for (name, text) in texts {
        write("ipc_framing", name, &[&[200, 3], text].concat());
    }
    write("ipc_framing", "too_long", &[&[8, 0][..], br#"{"id":1,"method":"x"}"#].concat());
}

fn book() {
    // Operations: see `book_ops`. 0 adds a node (origin, source, whether there is one, address, ID, port), 7 connects.
    let add = |node: u8| [0, 2, 0, 1, node % 3, node / 3 % 3, node, node, 1];
    let many: Vec<u8> = (0..100).flat_map(add).collect();
    write("book_ops", "crowd", &[&[7][..], &many, &[15, 0, 40, 15, 1, 3]].concat());
    let good = [7, 1, 1, 14, 0, 40, 9, 1];
    write("book_ops", "acquaintance", &[&[7][..], &add(1), &good, &[15, 1, 9, 15, 0, 4]].concat());
    write("book_ops", "full", &[&[7][..], &add(1), &[6, 1, 15, 0, 4, 14, 0, 1, 15, 0, 4]].concat());
    write("book_ops", "banned", &[&[7][..], &add(1), &[10, 1, 9, 1, 15, 0, 4, 11, 1]].concat());
    let mut rivals = vec![3];
    for node in 0..120 {
        rivals.extend(add(node));
        rivals.extend([7, node, 1, 9, node, 14, 1, 0, 5, node / 2]);
    }
    write("book_ops", "rivals", &rivals);
    let mut book = AddressBook::new(PeerId::from([9; 64]), [1; 32]);
    let address = Ipv4Addr::new(20, 0, 0, 1);
    let enode = Enode::new(PeerId::from([1; 64]), address.into(), 30303);
    book.add(1_700_000_000, &enode, AddressOrigin::Discovery, Some(address.into()));
    book.failed(1_700_000_001, &enode.id);
    if let Some(record) = book.get(&enode.id) {
        let bytes = record.encode();
        write("book_record", "one", &bytes);
        write("book_record", "cut", &bytes[..bytes.len() / 2]);
    }
    let _ = book.ban(1_700_000_002, &enode.id, None, "spam");
    if let Some(record) = book.get(&enode.id) {
        write("book_record", "banned", &record.encode());
    }
}

fn peers_ops() {
    // Operations: see `peers_ops`. 0 adds a target, 4 is inbound, 8 to 13 lead to a session.
    let session = [8, 0, 10, 0, 13, 0];
    let dial = [&[5, 1, 0, 1, 2, 1][..], &session, &[6, 4]].concat();
    write("peers_ops", "dial", &dial);
    write("peers_ops", "dial_and_lose", &[&dial[..], &[14, 0, 4, 2, 6, 11]].concat());
    let inbound = [5, 1, 4, 3, 10, 0, 13, 0, 4, 3, 10, 1, 6, 4];
    write("peers_ops", "inbound_twice", &inbound);
    let both = [5, 1, 0, 2, 2, 1, 4, 2, 8, 0, 10, 0, 10, 1, 13, 0, 13, 1, 6, 9];
    write("peers_ops", "both_dial", &both);
    write("peers_ops", "own_address", &[5, 1, 0, 0, 2, 0, 8, 0, 12, 0, 0, 6, 9]);
    let full: Vec<u8> = (1..8).flat_map(|node| [4, node, 10, node - 1, 13, node - 1]).collect();
    write("peers_ops", "full", &[&[3, 1][..], &full, &[6, 9]].concat());
    write("peers_ops", "trusted", &[0, 1, 0, 4, 3, 1, 8, 0, 10, 0, 13, 0, 2, 4, 1, 6, 3]);
    let hello = [&[5, 1, 4, 3, 10, 0, 15, 0, 0, 8][..], b"geth\x1b[2J\n", &[6, 3]].concat();
    write("peers_ops", "hello", &hello);
}

fn sync_ops() {
    // Operations: see `sync_ops`. 0 connects, 15 is a moment in which all goes well.
    let connect = |peer, chain, head| [0, peer, chain, head];
    let well = [15].repeat(60);
    write("sync_ops", "one_peer", &[&[1][..], &connect(1, 0, 0), &well].concat());
    write("sync_ops", "ranges", &[&[2][..], &connect(1, 0, 2), &connect(2, 0, 2), &well].concat());
    let branch = [&[3][..], &connect(1, 1, 0), &answers(1, 40), &connect(2, 0, 0), &well].concat();
    write("sync_ops", "other_branch", &branch);
    let forged = [&[4][..], &connect(1, 2, 0), &answers(2, 60), &connect(2, 0, 0), &well].concat();
    write("sync_ops", "forged", &forged);
    for (name, manner) in [("empty", 0), ("short", 1), ("gap", 2), ("more", 3), ("reversed", 4)] {
        let lie: Vec<u8> = (0..6).flat_map(|_| [3, 0, 0, manner, 5]).collect();
        let input = [&[5][..], &connect(1, 0, 0), &connect(2, 0, 2), &lie, &well].concat();
        write("sync_ops", name, &input);
    }
    let silent = [&[6][..], &connect(1, 0, 0), &connect(2, 0, 0), &[12, 15], &well].concat();
    write("sync_ops", "silent", &silent);
    let follow: Vec<u8> = (100..120).flat_map(|number| [7, 1, 0, number, 0, 15, 15]).collect();
    write("sync_ops", "following", &[&[7][..], &connect(1, 0, 0), &well, &follow].concat());
    let own: Vec<u8> = (0..50).flat_map(|_| [14, 15]).collect();
    write("sync_ops", "own_blocks", &[&[8][..], &connect(1, 0, 0), &own].concat());
}

fn mesh_router() {
    // Operations: see `mesh_router`. The first four bytes are the members' seeds; 0 opens, 2 and 3
    // close, 4 delivers, 8 damages, 9 passes time, 12 sends, 16 tells, 17 restarts, 18 is a moment in
    // which all goes well.
    let open = |a, b| [0, a, b, 0];
    let well = |times| [18].repeat(times);
    let line = [&[1, 2, 3, 4][..], &open(0, 1), &open(1, 2), &open(2, 3), &well(12)].concat();
    let ring = [&line[..], &open(3, 0), &well(12)].concat();
    let broadcast = |from| [12, from, 0];
    let unicast = |from, to| [12, from, 2, to, 50, 1];
    let talk = [&broadcast(0)[..], &unicast(0, 3), &unicast(3, 1), &broadcast(2)].concat();
    let cut = |link| [2, link];
    let write = |name, parts: &[&[u8]]| write("mesh_router", name, &parts.concat());
    write("line", &[&line, &talk, &well(4)]);
    write("ring_is_cut", &[&ring, &talk, &cut(0), &talk, &well(4), &cut(2), &talk]);
    write("half_closed", &[&ring, &[3, 0, 1], &talk, &[3, 1, 0], &talk, &[9, 20, 0]]);
    write("two_sessions", &[&line, &open(0, 1), &talk, &well(3), &cut(0), &talk, &well(3)]);
    write(
        "restart",
        &[&ring, &talk, &[17, 1, 9], &talk, &open(0, 1), &open(1, 2), &well(9), &talk],
    );
    write(
        "star",
        &[&[4, 3, 2, 1], &open(0, 1), &open(0, 2), &open(0, 3), &well(12), &talk, &cut(1)],
    );
    let tell = [[16, 1, 0, 0], [16, 2, 0, 0], [16, 3, 1, 1], [16, 1, 2, 2]].concat();
    write("topics", &[&line, &tell, &well(9), &[12, 0, 1, 0], &[12, 3, 1, 0], &well(2)]);
    write("silence", &[&ring, &talk, &[9, 255, 255], &[9, 255, 255], &talk, &well(2)]);
    for (name, manner) in
        [("lost", 0), ("doubled", 1), ("swapped", 2), ("cut_short", 3), ("broken", 4)]
    {
        let hurt: Vec<u8> =
            (0..40).flat_map(|n| [8, n, n, n * 3, manner, n, n * 5, 1, 4, n, n, 3]).collect();
        write(name, &[&ring, &talk, &hurt, &talk, &hurt, &well(2)]);
    }
}

/// Answers from one chain, as they should be, and what they lead to.
fn answers(chain: u8, count: usize) -> Vec<u8> {
    [3, 0, chain, 8, 0, 9, 0, 11, 0].repeat(count)
}

fn signed(transaction: TypedTransaction) -> Vec<u8> {
    let secret = B256::repeat_byte(1);
    let signature = sign_message(secret, transaction.signature_hash()).expect("a key");
    transaction.into_envelope(signature).encoded_2718()
}

/// Some transactions, and operations of each kind.
fn mempool() {
    write("mempool_transaction", "other_chain", &transaction());
    let to = TxKind::Call(Address::ZERO);
    let legacy = TxLegacy {
        chain_id: Some(1337),
        gas_limit: 21_000,
        gas_price: 1,
        to,
        ..TxLegacy::default()
    };
    write("mempool_transaction", "legacy", &signed(legacy.into()));
    let dynamic = TxEip1559 {
        chain_id: 1337,
        gas_limit: 60_000,
        max_fee_per_gas: 2,
        max_priority_fee_per_gas: 1,
        to: TxKind::Create,
        input: vec![0x60, 0].into(),
        ..TxEip1559::default()
    };
    write("mempool_transaction", "dynamic", &signed(dynamic.into()));
    write("mempool_transaction", "blob", &[3, 0xc0]);
    write("mempool_transaction", "nothing", &[]);
    let all: Vec<u8> = (0..=255).cycle().step_by(7).take(2_000).collect();
    write("mempool_ops", "all", &all);
    // Each account fills its nonces, three are mined, and come back.
    let mut blocks = Vec::new();
    for key in 0..4 {
        for nonce in 0..4 {
            blocks.extend([0, key, nonce, 9 + key, 1, 1]);
        }
    }
    blocks.extend([4, 3, 5, 6, 0, 0, 90, 7, 7, 255, 255]);
    write("mempool_ops", "mined_and_back", &blocks);
}
