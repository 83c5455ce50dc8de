//! HTTP, well and badly written.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{connect, read_reply};
use super::{Served, request};

#[test]
fn a_request_and_a_batch_are_answered() {
    let served = Served::start(&[]);
    assert_eq!(served.ask("eth_blockNumber", json!([]))["result"], "0x5");
    let batch = json!([request("eth_chainId", json!([])), request("nothing", json!([]))]);
    let answers = served.http().ask(&batch);
    assert_eq!(answers[0]["result"], "0x7");
    let error = &answers[1]["error"];
    assert_eq!(error["code"], -32601);
    assert_eq!(error["message"], "the method nothing does not exist/is not available");
    let subscribe = served.ask("eth_subscribe", json!(["newHeads"]));
    assert_eq!(subscribe["error"]["message"], "notifications not supported");
    // Two requests on one connection.
    let mut stream = connect(&served.address);
    let body = request("net_version", json!([])).to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..2 {
        stream.write_all((head.clone() + &body).as_bytes()).unwrap();
        let (mut seen, mut buffer) = (String::new(), [0; 1024]);
        while !seen.contains("\"7\"") {
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "{seen}");
            seen += std::str::from_utf8(&buffer[..read]).unwrap();
        }
    }
}

#[test]
fn garbage_has_its_answers() {
    let served = Served::start(&[]);
    let http = served.http();
    for (body, code) in [
        (&b""[..], -32700),
        (b"{", -32700),
        (b"\xff\xfe\x00", -32700),
        (b"null", -32600),
        (b"[]", -32600),
        (b"{}", -32600),
        (b"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"eth_chainId\"}", -32600),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBalance\",\"params\":{}}", -32602),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}", -32601),
    ] {
        let reply = http.post(body);
        assert_eq!((reply.status, reply.code()), (200, code), "{body:?}");
    }
    let batch = vec![request("eth_chainId", json!([])); 101];
    let reply = http.post(json!(batch).to_string().as_bytes());
    assert_eq!(reply.json()["error"]["message"], "batch too large");
    let full = http.post(json!(&batch[1..]).to_string().as_bytes());
    assert_eq!(full.json().as_array().unwrap().len(), 100);
    // What is no HTTP at all.
    let mut stream = connect(&served.address);
    stream.write_all(b"\x16\x03\x01 hello\r\n\r\n").unwrap();
    assert_eq!(read_reply(stream).status, 400);
    assert_eq!(served.ask("eth_blockNumber", json!([]))["result"], "0x5");
}

#[test]
fn json_of_any_depth_is_answered_and_the_node_goes_on() {
    let served = Served::start(&[]);
    let depth = 5 * 1024 * 1024 / 2 - 100;
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(served.http().post(deep.as_bytes()).json()[0]["error"]["code"], -32600);
    let params = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{deep}]}}"#);
    assert_eq!(served.http().post(params.as_bytes()).code(), -32602);
    let open = "{\"a\":".repeat(1024 * 1024);
    assert_eq!(served.http().post(open.as_bytes()).code(), -32700);
    assert_eq!(served.ask("eth_blockNumber", json!([]))["result"], "0x5");
}

#[test]
fn bodies_have_a_limit_and_a_kind() {
    let served = Served::start(&[]);
    let body = request("eth_chainId", json!([])).to_string();
    let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    let limit = 5 * 1024 * 1024;
    assert_eq!(served.http().post(padded(limit).as_bytes()).json()["result"], "0x7");
    assert_eq!(served.http().post(padded(limit + 1).as_bytes()).status, 413);
    // Announced, and never sent.
    let huge = served.http().with("Content-Length", "99999999999");
    assert_eq!(huge.send("POST", "/", b"").status, 413);
    // In pieces, without an announcement.
    let piece = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    let chunked = format!("{}0\r\n\r\n", piece.repeat(6));
    let sent = served.http().with("Transfer-Encoding", "chunked");
    assert_eq!(sent.post(chunked.as_bytes()).status, 413);
    let small = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let sent = served.http().with("Transfer-Encoding", "chunked");
    assert_eq!(sent.post(small.as_bytes()).json()["result"], "0x7");

    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let reply = served.http().with("Content-Type", kind).post(body.as_bytes());
        assert_eq!(reply.status, 415, "{kind}");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/json-rpc"] {
        let reply = served.http().with("Content-Type", kind).post(body.as_bytes());
        assert_eq!(reply.status, 200, "{kind}");
    }
    assert_eq!(served.http().send("GET", "/", b"").status, 200);
    assert_eq!(served.http().send("GET", "/?a=1", b"").status, 405);
    assert_eq!(served.http().send("PUT", "/", body.as_bytes()).status, 405);
    assert_eq!(served.http().send("POST", "/other", body.as_bytes()).status, 404);
}

/// A page of any web site can make its own name that of 127.0.0.1.
#[test]
fn another_name_of_this_machine_is_refused() {
    let served = Served::start(&[]);
    let body = request("eth_chainId", json!([])).to_string();
    let with = |host: &str| served.http().with("Host", host).post(body.as_bytes()).status;
    for host in ["localhost", "localhost:1", "127.0.0.1", "[::1]:8545"] {
        assert_eq!(with(host), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:8545", "localhost.evil.example", ""] {
        assert_eq!(with(host), 403, "{host}");
    }
    // Old HTTP needs no such header; we do.
    let mut stream = connect(&served.address);
    stream.write_all(b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(read_reply(stream).status, 403);
    let upgrade = served.http().with("Host", "evil.example").with("Upgrade", "websocket");
    assert_eq!(upgrade.send("GET", "/", b"").status, 403);
    drop(served);
    let named = Served::start(&["--http-hosts", "node.example,other.example"]);
    let with = |host: &str| named.http().with("Host", host).post(body.as_bytes()).status;
    assert_eq!((with("Node.Example:80"), with("localhost")), (200, 403));
}

#[test]
fn pages_of_other_sites_cannot_read_the_answers() {
    let served = Served::start(&["--http-origins", "https://app.example"]);
    let body = request("eth_chainId", json!([])).to_string();
    let allow = "access-control-allow-origin";
    let known = served.http().with("Origin", "https://app.example").post(body.as_bytes());
    assert!(known.head.contains(&format!("{allow}: https://app.example")), "{known:?}");
    let unknown = served.http().with("Origin", "https://evil.example").post(body.as_bytes());
    assert!(!unknown.head.contains(allow), "{unknown:?}");
    let ask = |origin| {
        let asked = served.http().with("Access-Control-Request-Method", "POST");
        asked.with("Origin", origin).send("OPTIONS", "/", b"")
    };
    let known = ask("https://app.example");
    assert_eq!(known.status, 204);
    assert!(known.head.contains("access-control-allow-headers: content-type"), "{known:?}");
    let unknown = ask("https://evil.example");
    assert!(!unknown.head.contains("access-control-allow"), "{unknown:?}");
}

#[test]
fn whoever_is_slow_is_not_waited_for() {
    let dir = crate::support::directory();
    let config = dir.path().join("node.toml");
    std::fs::write(&config, "[rpc]\ntimeout = 1\nmax-connections = 2\n").unwrap();
    let config = crate::support::text(&config);
    let served = Served::start(&["--config", &config]);
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    // A body that never comes, and a head that never ends.
    let mut slow = connect(&served.address);
    slow.write_all(format!("{head}Content-Length: 100\r\n\r\n{{").as_bytes()).unwrap();
    let mut slower = connect(&served.address);
    slower.write_all(head.as_bytes()).unwrap();
    let began = Instant::now();
    // There are two places, and both are taken: the third is closed at once.
    let mut third = connect(&served.address);
    let mut buffer = [0; 16];
    assert!(matches!(third.read(&mut buffer), Ok(0) | Err(_)), "it was let in");
    assert_eq!(read_reply(slow).status, 408);
    let mut rest = Vec::new();
    let _ = slower.read_to_end(&mut rest);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let answer = crate::support::wait_until("a place is free", || {
        let mut stream = connect(&served.address);
        let body = request("eth_chainId", json!([])).to_string();
        let length = body.len();
        let text = format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("0x7").then_some(answer)
    });
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
