//! What a configuration file may say, and how it is told that it is wrong.

use chainmesh_net::mesh::{Limits, ModuleId, NodeType, Rate};

use super::*;

const ID: &str = "ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";

#[test]
fn everything_at_once() {
    let text = format!(
        r#"
        data-dir = "/var/lib/chainmesh"
        port = 1
        bootnode = ["enode://{ID}@127.0.0.1:30303"]

        [p2p]
        listen = "0.0.0.0:30300"
        nodes = ["n1.example.org:30300", "[::1]:30301", "enode://{ID}@10.0.0.1:30300"]
        session = "tls"

        [cert]
        ca = ["old.crt", "new.crt"]
        cert = "node.crt"
        key = "node.key"
        crl = ["ca.crl"]
        allow = ["{ID}"]
        deny = ["{}"]

        [mesh]
        groups = ["group0", "group1"]
        role = "observer"

        [mesh.limits]
        peer = {{ bytes = 1000000 }}
        groups.group1.messages = 10
        modules.9000 = {{ messages = 5 }}
        "#,
        "12".repeat(32),
    );
    let config = ConfigFile::parse(&text).unwrap();
    assert_eq!(config.port, Some(1));
    assert_eq!(config.bootnode.len(), 1);
    assert_eq!(config.p2p.listen.unwrap().0.port(), 30300);
    let nodes: Vec<String> = config.p2p.nodes.iter().map(ToString::to_string).collect();
    assert_eq!(nodes[0], "n1.example.org:30300");
    assert_eq!(nodes[1], "[::1]:30301");
    assert_eq!(nodes[2], format!("enode://{ID}@10.0.0.1:30300"));
    assert_eq!(config.p2p.session, Some(SessionChoice::Tls));
    assert_eq!(config.cert.ca.len(), 2);
    let allowed = config.cert.allow.unwrap();
    assert_eq!(allowed, BTreeSet::from([ID.parse().unwrap()]));
    assert_eq!(config.cert.deny, BTreeSet::from([ShortId::from([0x12; 32])]));
    let mesh = config.mesh.unwrap().options(NodeType::CONSENSUS);
    assert_eq!(mesh.groups, ["group0", "group1"]);
    assert_eq!(mesh.role, NodeType::OBSERVER);
    assert_eq!(mesh.limits.peer, Rate { bytes: Some(1_000_000), messages: None });
    assert_eq!(mesh.limits.groups[b"group1".as_slice()].messages, Some(10));
    assert_eq!(mesh.limits.modules[&ModuleId(9000)].messages, Some(5));
    assert_eq!(mesh.limits.exempt, Limits::default().exempt);
}

#[test]
fn an_empty_file_says_nothing_and_an_empty_allow_list_allows_nobody() {
    assert_eq!(ConfigFile::parse("").unwrap(), ConfigFile::default());
    let config = ConfigFile::parse("[cert]\nallow = []").unwrap();
    assert_eq!(config.cert.allow, Some(BTreeSet::new()));
}

#[test]
fn a_wrong_line_is_shown_with_what_to_do() {
    for (text, said) in [
        ("[p2p]\nnode = []", ["line 2", "unknown field `node`", "did you mean `nodes`?"]),
        ("[certs]\nca = []", ["line 1", "`certs`", "did you mean `cert`?"]),
        ("\ndata_dir = \"x\"", ["line 2", "`data_dir`", "did you mean `data-dir`?"]),
        ("[p2p]\nsession = \"tsl\"", ["line 2", "`tsl`", "expected `rlpx` or `tls`"]),
        ("[p2p]\nlisten = \"30300\"", ["line 2", "listen", "0.0.0.0:30300"]),
        ("[p2p]\nnodes = [\n \"10.0.0.1\"]", ["line 2", "\"10.0.0.1\": ", "host:port"]),
        ("[cert]\ndeny = [\"12\"]", ["line 2", "deny", "hex digits"]),
        ("[cert]\nca = \"ca.crt\"", ["line 2", "ca", "expected a sequence"]),
        ("[mesh]\nrole = \"boss\"", ["line 2", "`boss`", "`observer`"]),
        ("[mesh.limits]\nmodules.ten.bytes = 1", ["line 2", "ten", "a module is a number"]),
        ("[mesh", ["line 1", "[mesh", ""]),
        ("port = 70000", ["line 1", "port", "70000"]),
    ] {
        let problem = ConfigFile::parse(text).unwrap_err().to_string();
        for part in said {
            assert!(problem.contains(part), "{text:?}: no {part:?} in {problem}");
        }
    }
    let far = ConfigFile::parse("colour = 1").unwrap_err().to_string();
    assert!(!far.contains("did you mean"), "{far}");
}

/// The file that the book shows.
#[test]
fn the_example_in_the_book_is_understood() {
    let book = include_str!("../../../../docs/src/consortium.md");
    let example = book.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let config = ConfigFile::parse(&example.unwrap().replace("<node id>", ID)).unwrap();
    assert_eq!(config.p2p.nodes.len(), 2);
    assert_eq!(config.cert.allow.map(|ids| ids.len()), Some(1));
    let limits = config.mesh.unwrap().limits.limits();
    assert_eq!(limits.modules[&ModuleId(9000)].messages, Some(50));
}
