use core::net::{IpAddr, Ipv4Addr};

use alloy_primitives::{B256, keccak256};
use alloy_rlp::Encodable;
use chainmesh_identity::record::build_record;
use chainmesh_identity::{NodeKey, PeerId};
use proptest::prelude::*;

use super::*;
use crate::DecodeError;

fn key(number: u8) -> NodeKey {
    NodeKey::from_entropy([number; 32])
}

fn sealed(packet: &Packet) -> Vec<u8> {
    seal(packet, &key(1), Seal::Signed).unwrap().bytes.to_vec()
}

/// A datagram with any type and data, rightly hashed and signed.
fn forged(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut said = vec![kind];
    said.extend_from_slice(data);
    let mut rest = key(1).sign_recoverable(keccak256(&said)).to_vec();
    rest.extend_from_slice(&said);
    let mut datagram = keccak256(&rest).to_vec();
    datagram.extend_from_slice(&rest);
    datagram
}

fn endpoint() -> Endpoint {
    Endpoint::new(Ipv4Addr::new(192, 0, 2, 7).into(), 30303, 30304)
}

fn ping() -> Ping {
    let to = Endpoint::new("2001:db8::1".parse().unwrap(), 3, 0);
    Ping { version: 4, from: endpoint(), to, expiration: 1_700_000_000, enr_seq: Some(7) }
}

/// The data of a packet: what follows its type.
fn data(packet: &Packet) -> Vec<u8> {
    sealed(packet)[HEADER..].to_vec()
}

/// The same RLP list with further elements, its header made anew.
fn with_elements(list: &[u8], elements: &[u8]) -> Vec<u8> {
    let mut rest = list;
    let mut payload = alloy_rlp::Header::decode_bytes(&mut rest, true).unwrap().to_vec();
    payload.extend_from_slice(elements);
    let mut out = Vec::new();
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend_from_slice(&payload);
    out
}

fn packets() -> Vec<Packet> {
    let eth = alloy_primitives::Bytes::from_static(&[0xc9, 0xc8, 0x84, 1, 2, 3, 4, 0x82, 1, 2]);
    let ip = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let record = build_record(&key(1), 9, ip, 1, 2, &[("eth", eth)]).unwrap();
    let pong =
        Pong { to: endpoint(), ping_hash: B256::repeat_byte(5), expiration: 8, enr_seq: None };
    let node = Contact { endpoint: endpoint(), id: key(2).peer_id() };
    let mut packets = vec![
        Packet::Ping(ping()),
        Packet::Pong(pong),
        Packet::FindNode(FindNode { target: key(3).peer_id(), expiration: u64::MAX }),
        Packet::EnrRequest(EnrRequest { expiration: 0 }),
        Packet::EnrResponse(EnrResponse {
            request_hash: B256::repeat_byte(6),
            record: Box::new(record),
        }),
    ];
    packets.extend(Neighbors::packets(&[node; 16], 3).map(Packet::Neighbors));
    packets
}

#[test]
fn each_packet_comes_back_with_its_sender_and_its_hash() {
    for way in [Seal::Signed, Seal::Clear] {
        for packet in packets() {
            let sealed = seal(&packet, &key(1), way).unwrap();
            let opened = open(&sealed.bytes, way).unwrap();
            assert_eq!(opened, Opened { sender: key(1).peer_id(), hash: sealed.hash, packet });
        }
    }
}

#[test]
fn a_signed_datagram_is_hash_signature_type_and_data() {
    let bytes = sealed(&Packet::EnrRequest(EnrRequest { expiration: 0x0102 }));
    assert_eq!(&bytes[97..], &[5, 0xc3, 0x82, 1, 2]);
    assert_eq!(&bytes[..32], keccak256(&bytes[32..]).as_slice());
    let signature: [u8; 65] = bytes[32..97].try_into().unwrap();
    let signer = chainmesh_identity::recover(&signature, keccak256(&bytes[97..])).unwrap();
    assert_eq!(PeerId::from_public_key(&signer), key(1).peer_id());
}

#[test]
fn a_higher_version_further_elements_and_bytes_behind_the_list_are_passed_over() {
    let packet = Packet::Ping(Ping { version: 555, ..ping() });
    let longer = with_elements(&data(&packet), &[0x01, 0xc2, 0x02, 0x03]);
    let longer = [longer.as_slice(), b"and bytes behind it"].concat();
    assert_eq!(open(&forged(1, &longer), Seal::Signed).unwrap().packet, packet);
    for packet in packets() {
        // The record's packets end with a record or a number; a list that follows is new to them.
        let longer = with_elements(&data(&packet), &[0xc1, 0x05]);
        let longer = [longer.as_slice(), &[0xff; 9]].concat();
        assert_eq!(open(&forged(packet.kind(), &longer), Seal::Signed).unwrap().packet, packet);
    }
}

#[test]
fn a_packet_from_before_eip_868_has_no_sequence_number() {
    let packet = Packet::Ping(Ping { enr_seq: None, ..ping() });
    assert_eq!(open(&sealed(&packet), Seal::Signed).unwrap().packet, packet);
    // What a later version may put there instead.
    let other = with_elements(&data(&packet), &[0xc1, 0x05]);
    assert_eq!(open(&forged(1, &other), Seal::Signed).unwrap().packet, packet);
}

#[test]
fn an_address_of_another_length_is_none_and_a_mapped_one_is_ipv4() {
    let mut fields: &[u8] = &[0x82, 1, 2, 0x05, 0x80];
    let endpoint = Endpoint::decode_fields(&mut fields).unwrap();
    assert_eq!(endpoint, Endpoint::new(Ipv4Addr::UNSPECIFIED.into(), 5, 0));
    let mapped = Endpoint::new(Ipv4Addr::new(1, 2, 3, 4).to_ipv6_mapped().into(), 1, 1);
    let mut encoded = Vec::new();
    mapped.encode(&mut encoded);
    let decoded = Endpoint::decode_list(&mut encoded.as_slice()).unwrap();
    assert_eq!(decoded.ip, IpAddr::from([1, 2, 3, 4]));
}

#[test]
fn sixteen_neighbors_take_two_packets_and_none_take_one() {
    let ip = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
    let node = Contact { endpoint: Endpoint::new(ip, 65535, 65535), id: key(2).peer_id() };
    let packets: Vec<_> = Neighbors::packets(&[node; 16], u64::MAX).collect();
    assert_eq!(packets.iter().map(|p| p.nodes().len()).collect::<Vec<_>>(), [12, 4]);
    for packet in packets {
        assert!(sealed(&Packet::Neighbors(packet)).len() <= MAX_DATAGRAM);
    }
    let none: Vec<_> = Neighbors::packets(&[], 1).collect();
    assert_eq!(none.len(), 1);
    assert_eq!(none[0].nodes(), []);
}

#[test]
fn expiration_is_a_signed_number() {
    let now = 1_700_000_000;
    assert!(!is_expired(now, now));
    assert!(!is_expired(now + 20, now));
    assert!(is_expired(now - 1, now));
    assert!(is_expired(0, now));
    assert!(is_expired(0_u64.wrapping_sub(now + 20), now), "2^64 - t, as geth's suite writes it");
    assert!(is_expired(u64::MAX, now));
    assert!(is_expired(1 << 63, now));
    assert!(!is_expired((1 << 63) - 1, now));
    assert!(is_expired(5, u64::MAX));
}

#[test]
fn every_way_of_being_wrong_has_its_name() {
    let good = sealed(&Packet::Ping(ping()));
    for length in 0..HEADER {
        assert_eq!(open(&good[..length], Seal::Signed), Err(DatagramError::TooShort(length)));
    }
    assert_eq!(open(&[0; 1281], Seal::Signed), Err(DatagramError::TooLong(1281)));
    assert_eq!(open(&[0; 1280], Seal::Signed), Err(DatagramError::Hash));
    assert_eq!(open(&forged(66, &[0xc0]), Seal::Signed), Err(DatagramError::Type(66)));
    assert_eq!(open(&forged(0, &[0xc0]), Seal::Signed), Err(DatagramError::Type(0)));
    let malformed = |error| matches!(error, Err(DatagramError::Malformed(_)));
    assert!(malformed(open(&forged(1, &[]), Seal::Signed)));
    assert!(malformed(open(&forged(1, &[0xc0]), Seal::Signed)));
    assert!(malformed(open(&forged(3, &[0xc3, 0x82, 1, 2]), Seal::Signed)), "a short target");
    // A list that claims more than there is.
    assert!(malformed(open(&forged(4, &[0xfb, 0xff, 0xff, 0xff, 0xff]), Seal::Signed)));
    // A signature that nobody can have made: r is zero.
    let mut unsigned = good.clone();
    unsigned[32..96].fill(0);
    let hash = keccak256(&unsigned[32..]);
    unsigned[..32].copy_from_slice(hash.as_slice());
    assert_eq!(open(&unsigned, Seal::Signed), Err(DatagramError::Signature));
    // A recovery number that does not exist.
    let mut recovery = good;
    recovery[96] = 4;
    let hash = keccak256(&recovery[32..]);
    recovery[..32].copy_from_slice(hash.as_slice());
    assert_eq!(open(&recovery, Seal::Signed), Err(DatagramError::Signature));
}

#[test]
fn a_record_with_a_wrong_signature_is_no_record() {
    let packet = packets().into_iter().find(|packet| packet.kind() == 6).unwrap();
    let mut data = data(&packet);
    let last = data.len() - 1;
    data[last] ^= 1;
    let opened = open(&forged(6, &data), Seal::Signed);
    assert!(matches!(opened, Err(DatagramError::Malformed(DecodeError::Rlp(_)))), "{opened:?}");
}

prop_compose! {
    fn endpoints()(v4: bool, octets: [u8; 16], udp_port: u16, tcp_port: u16) -> Endpoint {
        let four = <[u8; 4]>::try_from(&octets[..4]).unwrap();
        let ip = if v4 { IpAddr::from(four) } else { IpAddr::from(octets).to_canonical() };
        Endpoint { ip, udp_port, tcp_port }
    }
}

prop_compose! {
    fn neighbors()(endpoint in endpoints(), half: [u8; 32]) -> Contact {
        let mut id = [9; 64];
        id[..32].copy_from_slice(&half);
        Contact { endpoint, id: id.into() }
    }
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let hash = any::<[u8; 32]>().prop_map(B256::from);
    let ping = (any::<u64>(), endpoints(), endpoints(), any::<u64>(), any::<Option<u64>>());
    let pong = (endpoints(), hash, any::<u64>(), any::<Option<u64>>());
    let find = (neighbors(), any::<u64>());
    let found = (prop::collection::vec(neighbors(), 0..=MAX_NEIGHBORS), any::<u64>());
    prop_oneof![
        ping.prop_map(|(version, from, to, expiration, enr_seq)| {
            Packet::Ping(Ping { version, from, to, expiration, enr_seq })
        }),
        pong.prop_map(|(to, ping_hash, expiration, enr_seq)| {
            Packet::Pong(Pong { to, ping_hash, expiration, enr_seq })
        }),
        find.prop_map(|(node, expiration)| {
            Packet::FindNode(FindNode { target: node.id, expiration })
        }),
        found.prop_map(|(nodes, expiration)| {
            Packet::Neighbors(Neighbors::packets(&nodes, expiration).next().unwrap())
        }),
        any::<u64>().prop_map(|expiration| Packet::EnrRequest(EnrRequest { expiration })),
    ]
}

proptest! {
    #[test]
    fn any_packet_round_trips(packet in any_packet()) {
        let sealed = seal(&packet, &key(4), Seal::Signed).unwrap();
        let opened = open(&sealed.bytes, Seal::Signed).unwrap();
        prop_assert_eq!(opened, Opened { sender: key(4).peer_id(), hash: sealed.hash, packet });
    }

    #[test]
    fn a_changed_datagram_is_not_opened(packet in any_packet(), at: prop::sample::Index, bit in 0u32..8) {
        let mut bytes = sealed(&packet);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert_eq!(open(&bytes, Seal::Signed), Err(DatagramError::Hash));
    }

    #[test]
    fn a_cut_datagram_is_not_opened(packet in any_packet(), at: prop::sample::Index) {
        let bytes = sealed(&packet);
        let at = at.index(bytes.len());
        prop_assert!(open(&bytes[..at], Seal::Signed).is_err());
    }

    #[test]
    fn signed_rubbish_never_panics(kind in 0u8..9, data in prop::collection::vec(any::<u8>(), 0..1100)) {
        let _ = open(&forged(kind, &data), Seal::Signed);
    }

    #[test]
    fn data_that_is_cut_and_signed_is_malformed(packet in any_packet(), at: prop::sample::Index) {
        let whole = data(&packet);
        let cut = &whole[..at.index(whole.len())];
        let opened = open(&forged(packet.kind(), cut), Seal::Signed);
        prop_assert!(matches!(opened, Err(DatagramError::Malformed(_))));
    }
}
