use proptest::prelude::*;

use super::*;
use crate::NodeKey;

/// The URL of the third seed document, section 7.
const SEED_URL: &str = "enode://c6ecdf9e2d5c7838b2787f71e533e0f97ed4d6dde57286884e16683603c4266bb800c67b4bc40cf68c44e0d750b1238306e16af0e16edc80dd24430eaf3d1253@15.235.230.59:30303";

fn key() -> String {
    NodeKey::from_entropy([1; 32]).peer_id().to_string()
}

#[test]
fn the_seed_documents_url_is_read_and_written() {
    let enode: Enode = SEED_URL.parse().unwrap();
    assert_eq!(enode.host, Host::Ip("15.235.230.59".parse().unwrap()));
    assert_eq!((enode.tcp_port, enode.udp_port), (30303, 30303));
    assert!(enode.id.to_string().starts_with("c6ecdf9e"));
    assert_eq!(enode.to_string(), SEED_URL);
}

#[test]
fn every_form_of_address_is_read() {
    let id = key();
    let read = |address: &str| format!("enode://{id}@{address}").parse::<Enode>();
    let node = read("[2001:db8::7]:30304?discport=30305").unwrap();
    assert_eq!(node.host, Host::Ip("2001:db8::7".parse().unwrap()));
    assert_eq!((node.tcp_port, node.udp_port), (30304, 30305));
    assert_eq!(node.to_string(), format!("enode://{id}@[2001:db8::7]:30304?discport=30305"));

    let node = read("boot-1.example.org:40000").unwrap();
    assert_eq!(node.host, Host::Name("boot-1.example.org".into()));
    assert_eq!(node.to_string(), format!("enode://{id}@boot-1.example.org:40000"));

    assert_eq!(read("10.0.0.1").unwrap().tcp_port, DEFAULT_PORT);
    assert_eq!(read("[::1]").unwrap().tcp_port, DEFAULT_PORT);
    assert_eq!(read("127.0.0.1:0?discport=30301").unwrap().tcp_port, 0);
    assert_eq!(read("127.0.0.1:1/").unwrap().tcp_port, 1);
}

#[test]
fn each_fault_has_its_own_error() {
    let id = key();
    let at = |address: &str| format!("enode://{id}@{address}").parse::<Enode>().unwrap_err();
    assert_eq!("http://x".parse::<Enode>(), Err(EnodeError::Scheme));
    assert_eq!(format!("enode://{id}").parse::<Enode>(), Err(EnodeError::NoAddress));
    assert_eq!(
        "enode://abcd@1.2.3.4:5".parse::<Enode>(),
        Err(EnodeError::Id(PeerIdError::Length(2)))
    );
    let not_hex = format!("enode://{}@1.2.3.4:5", "zz".repeat(64));
    assert_eq!(not_hex.parse::<Enode>(), Err(EnodeError::Id(PeerIdError::NotHex)));
    let off_curve = format!("enode://{}@1.2.3.4:5", "11".repeat(64));
    assert_eq!(off_curve.parse::<Enode>(), Err(EnodeError::Id(PeerIdError::NotOnCurve)));
    for host in ["", ":30303", "1.2.3:1", "a..b:1", "sp ace:1", "[1.2.3.4]:1", "[::1:1", "x\n:1"] {
        assert_eq!(at(host), EnodeError::Host, "{host:?}");
    }
    for port in ["h:", "h:x", "h:65536", "h:+1", "h:-1", "h:1:2", "[::1]x"] {
        let error = at(port);
        // An empty port is no number either.
        assert!(matches!(error, EnodeError::Port("TCP")), "{port}: {error}");
    }
    assert_eq!(at("h:1?discport=99999"), EnodeError::Port("discovery"));
    assert_eq!(at("h:1?port=3"), EnodeError::Query);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(seed: [u8; 32], ip: [u8; 16], v4: bool, tcp: u16, udp: u16) {
        let ip: IpAddr = if v4 {
            Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]).into()
        } else {
            Ipv6Addr::from(ip).into()
        };
        let id = NodeKey::from_entropy(seed).peer_id();
        let node = Enode { id, host: Host::Ip(ip), tcp_port: tcp, udp_port: udp };
        prop_assert_eq!(node.to_string().parse::<Enode>(), Ok(node));
    }

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        let _ = text.parse::<Enode>();
        let _ = format!("enode://{}@{text}", "11".repeat(64)).parse::<Enode>();
    }
}

#[test]
fn addresses_of_node_lists() {
    let address = |text: &str| parse_address(text).map(|(host, port)| format!("{host}:{port}"));
    for text in ["127.0.0.1:30300", "[::1]:1", "n0.example.org:65535"] {
        assert_eq!(address(text).as_deref(), Ok(text));
    }
    assert_eq!(address("127.0.0.1"), Err(EnodeError::Port("TCP")));
    assert_eq!(address("n0:port"), Err(EnodeError::Port("TCP")));
    assert_eq!(address("n0:65536"), Err(EnodeError::Port("TCP")));
    assert_eq!(address(":30300"), Err(EnodeError::Host));
    assert_eq!(address("[::1:30300"), Err(EnodeError::Host));
    assert_eq!(address("no host:30300"), Err(EnodeError::Host));
}
