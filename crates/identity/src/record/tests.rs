use core::net::Ipv4Addr;

use super::*;

/// The example record of EIP-778.
const EXAMPLE: &str = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIN1ZHCCdl8";
const EXAMPLE_KEY: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";

#[test]
fn the_example_of_eip_778_is_read() {
    let record: NodeRecord = EXAMPLE.parse().unwrap();
    let key = NodeKey::from_hex(EXAMPLE_KEY).unwrap();
    assert_eq!(record_peer_id(&record), key.peer_id());
    assert_eq!(record.seq(), 1);
    assert_eq!(record.ip4(), Some(Ipv4Addr::LOCALHOST));
    assert_eq!(record.udp4(), Some(30303));
    assert_eq!(record_enode(&record), None, "it has no TCP port");
    assert_eq!(
        const_hex::encode(record.node_id().raw()),
        "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7"
    );
}

#[test]
fn a_record_of_ours_is_verified_by_the_crate_that_reads_it() {
    let key = NodeKey::from_entropy([3; 32]);
    let ip: IpAddr = "2001:db8::1".parse().unwrap();
    let eth = Raw::from_static(&[0xc9, 0xc8, 0x84, 1, 2, 3, 4, 0x82, 1, 2]);
    let record = build_record(&key, 9, Some(ip), 30303, 30304, &[("eth", eth.clone())]).unwrap();
    let read: NodeRecord = record.to_base64().parse().unwrap();
    assert!(read.verify());
    let enode = record_enode(&read).unwrap();
    assert_eq!(enode.id, key.peer_id());
    assert_eq!((enode.tcp_port, enode.udp_port), (30303, 30304));
    assert_eq!(read.get_raw_rlp("eth"), Some(&eth[..]));
}

#[test]
fn a_record_above_300_bytes_is_refused() {
    let key = NodeKey::from_entropy([3; 32]);
    let mut long = vec![0xb9, 1, 0x2c];
    long.extend_from_slice(&[1; 300]);
    assert!(build_record(&key, 1, None, 0, 0, &[("x", long.into())]).is_err());
}

#[test]
fn a_boot_node_is_written_as_url_or_as_record() {
    let key = NodeKey::from_entropy([3; 32]);
    let ip: IpAddr = "203.0.113.7".parse().unwrap();
    let record = build_record(&key, 9, Some(ip), 0, 30304, &[]).unwrap();
    let by_record: BootNode = record.to_base64().parse().unwrap();
    let url = by_record.enode.to_string();
    assert!(url.ends_with("@203.0.113.7:0?discport=30304"), "{url}");
    assert_eq!(by_record.record.as_deref(), Some(&record));
    let by_url: BootNode = url.parse().unwrap();
    assert_eq!((by_url.enode, by_url.record), (by_record.enode, None));
}

#[test]
fn what_is_no_boot_node_is_said_to_be_so() {
    let refused = |text: &str| text.parse::<BootNode>().unwrap_err();
    assert_eq!(refused("127.0.0.1:30303"), BootNodeError::Scheme);
    assert_eq!(
        refused("enode://12@127.0.0.1:1"),
        BootNodeError::Enode(EnodeError::Id(crate::PeerIdError::Length(1),))
    );
    let key = NodeKey::from_entropy([3; 32]);
    let nowhere = build_record(&key, 1, None, 1, 1, &[]).unwrap().to_base64();
    assert_eq!(refused(&nowhere), BootNodeError::NoAddress);
    assert_eq!(refused(&EXAMPLE[..EXAMPLE.len() - 3]), BootNodeError::Record);
    let changed = EXAMPLE.replacen("HCYrYZ", "HCYrYY", 1);
    assert_eq!(refused(&changed), BootNodeError::Record);
}

proptest::proptest! {
    #[test]
    fn no_text_after_enr_panics(text in "[ -~]{0,200}") {
        let _ = format!("enr:{text}").parse::<BootNode>();
    }
}
