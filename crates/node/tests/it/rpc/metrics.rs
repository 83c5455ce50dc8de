//! What Prometheus, and those who look whether a node is well, see of it.

use super::*;
use crate::mesh::Consortium;
use crate::support::wait_until;

/// The `IP:port` of the URL that a node prints last.
fn metrics_at(lines: &[String]) -> String {
    let url = lines.last().expect("a line");
    let address = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics"));
    address.unwrap_or_else(|| panic!("no URL of metrics: {url}")).to_owned()
}

/// The numbers behind a name, labels and all, of a page.
fn value(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn page(address: &str) -> String {
    let reply = Http { address, headers: Vec::new() }.send("GET", "/metrics", b"");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.head.contains("content-type: application/openmetrics-text"), "{reply:?}");
    reply.body
}

#[test]
fn prometheus_reads_chain_peers_and_dials_of_a_node() {
    let (blocks, first_dir, second_dir) = (Blocks::make(1, 5), directory(), directory());
    let file = blocks.file("chain.rlp", &blocks.rlp.concat());
    let data = text(first_dir.path());
    succeeds(&["import", "--data-dir", &data, "--genesis", &blocks.genesis(), &file]);
    let first = Process::run(first_dir.path(), &["--no-discovery"]);
    // Nobody listens there.
    let nobody = format!("enode://{}@127.0.0.1:1", NodeKey::from_entropy([9; 32]).peer_id());
    let arguments = ["--genesis", &blocks.genesis(), "--bootnode", &first.enode];
    let arguments = [&arguments[..], &["--no-discovery", "--metrics", "127.0.0.1:0"]].concat();
    let (second, lines) = Process::run_and_read(second_dir.path(), &arguments, 1);
    let address = metrics_at(&lines);
    wait_until("the chain is there", || (second.head().0 == 5).then_some(()));

    let shown = page(&address);
    assert_eq!(value(&shown, "chainmesh_head_number"), Some(5), "{shown}");
    assert_eq!(value(&shown, r#"chainmesh_peers{direction="outbound"}"#), Some(1), "{shown}");
    assert_eq!(value(&shown, r#"chainmesh_peers{direction="inbound"}"#), Some(0), "{shown}");
    assert_eq!(value(&shown, "chainmesh_imported_blocks_total"), Some(5), "{shown}");
    assert!(value(&shown, "chainmesh_dials_total") >= Some(1), "{shown}");
    assert!(shown.ends_with("# EOF\n"), "{shown}");

    assert_eq!(second.call("admin_addPeer", json!([nobody]))["isStatic"], true);
    let refused = r#"chainmesh_dial_failures_total{reason="connection refused: nobody listens on this port"}"#;
    wait_until("the failed dial is counted", || value(&page(&address), refused));
}

#[test]
fn a_node_says_whether_it_is_well_and_ready() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let genesis = blocks.genesis();
    let arguments = ["--genesis", &genesis, "--no-discovery", "--metrics", "127.0.0.1:0"];
    let (_node, lines) = Process::run_and_read(dir.path(), &arguments, 1);
    let address = metrics_at(&lines);
    let ask =
        |method, path| Http { address: &address, headers: Vec::new() }.send(method, path, b"");
    let answers = [
        ("GET", "/healthz", 200, "ok\n"),
        ("GET", "/readyz", 200, "ready\n"),
        ("GET", "/", 404, "there is /metrics, /healthz and /readyz\n"),
        ("POST", "/metrics", 405, "only GET is served\n"),
    ];
    for (method, path, status, body) in answers {
        let reply = ask(method, path);
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{method} {path}");
    }
    assert_eq!(ask("HEAD", "/metrics").body, "");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let (blocks, dir) = (Blocks::make(1, 0), directory());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = text(dir.path());
    let genesis = blocks.genesis();
    let arguments = ["run", "--data-dir", &data, "--genesis", &genesis, "--port", "0"];
    let error = crate::support::fails(1, &[&arguments[..], &["--metrics", &address]].concat());
    assert!(error.contains(&format!("cannot listen for metrics on {address}")), "{error}");
}

/// Row 31 of the fault matrix: alerts are made from this number.
#[test]
fn the_end_of_certificates_is_a_number() {
    let consortium = Consortium::make(1);
    let (node, lines) = consortium.run_and_read(0, &["--metrics", "127.0.0.1:0"], 1);
    let shown = page(&metrics_at(&lines));
    let end = node.call("mesh_status", json!([]))["certificate"]["notAfter"].as_u64();
    let line = "chainmesh_certificate_expiry_timestamp_seconds{whose=\"node\"";
    let own = shown.lines().find(|it| it.starts_with(line)).expect("a line for the node");
    let number = own.rsplit(' ').next().and_then(|number| number.parse().ok());
    assert!(end.is_some() && number == end, "{own}, not {end:?}");
    let line = "chainmesh_certificate_expiry_timestamp_seconds{whose=\"ca\"";
    assert_eq!(shown.lines().filter(|it| it.starts_with(line)).count(), 1, "{shown}");
    assert_eq!(value(&shown, "chainmesh_mesh_members"), Some(0), "{shown}");
}
