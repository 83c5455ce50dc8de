//! The client against ports that are no node's: each is named for what it is. What it does with real
//! nodes is tested with these, in `crates/node/tests/it/sdk`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use chainmesh_sdk::{Client, ClientConfig, ConnectError, DialError, NodeUrl};

/// A server that does one thing to each connection, and its URL.
fn server(scheme: &str, does: impl Fn(TcpStream) + Send + 'static) -> NodeUrl {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(does));
    url.parse().unwrap()
}

/// As web servers do: reads a request up to the empty line, or what is there, and answers.
fn http(mut stream: TcpStream) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
    let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

fn says(bytes: &'static [u8]) -> impl Fn(TcpStream) + Send + 'static {
    move |mut stream| {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(bytes);
    }
}

async fn refused(url: NodeUrl) -> DialError {
    let mut config = ClientConfig::new([url]);
    config.connect_timeout = Duration::from_secs(2);
    match Client::connect(config).await {
        Err(ConnectError::Nodes(mut failures)) if failures.len() == 1 => failures.remove(0).reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_port_of_something_else_is_named() {
    let reason = refused(server("ws", http)).await;
    assert!(matches!(reason, DialError::NotWebSocket(404)), "{reason:?}");
    let reason = refused(server("channel+plain", http)).await;
    assert!(matches!(reason, DialError::HttpServer), "{reason:?}");
    // SSH, SMTP and their like.
    for scheme in ["ws", "channel+plain"] {
        let reason = refused(server(scheme, says(b"220 mail.example ESMTP\r\n"))).await;
        let fits = matches!(reason, DialError::WebSocket { .. } | DialError::NotANode(_));
        assert!(fits, "{reason:?}");
    }
    // A TLS alert where plain words were expected.
    let reason = refused(server("channel+plain", says(&[21, 3, 3, 0, 2, 2, 10]))).await;
    assert!(reason.to_string().contains("write channel:// instead"), "{reason}");
    // One that hangs up: before it has read anything, which resets the connection, or behind it.
    for scheme in ["ws", "channel+plain"] {
        let reason = refused(server(scheme, drop)).await;
        assert!(matches!(reason, DialError::Ended { .. }), "{reason:?}");
        let polite = |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
        };
        let reason = refused(server(scheme, polite)).await;
        assert!(matches!(reason, DialError::Ended { .. }), "{reason:?}");
    }
}

#[tokio::test]
async fn a_port_that_says_nothing_is_given_up() {
    for scheme in ["ws", "channel+plain"] {
        let url = server(scheme, |mut stream| {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all);
        });
        let reason = refused(url).await;
        assert!(matches!(reason, DialError::Timeout(_)), "{reason:?}");
    }
}

#[tokio::test]
async fn a_closed_port_and_a_missing_host_are_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: NodeUrl = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let reason = refused(url.clone()).await;
    assert!(reason.to_string().starts_with("nobody listens there"), "{reason}");
    let reason = refused("ws://no.such.host.invalid:1".parse().unwrap()).await;
    assert!(matches!(reason, DialError::Resolve(_)), "{reason:?}");
    let reason = refused("wss://127.0.0.1:1".parse().unwrap()).await;
    assert!(matches!(reason, DialError::NoCertificates), "{reason:?}");
    let config = ClientConfig::new([]);
    assert!(matches!(Client::connect(config).await, Err(ConnectError::NoUrl)));
    // All of them are named when there are several.
    let config = ClientConfig::new([url.clone(), "ws://127.0.0.1:1".parse().unwrap()]);
    let error = Client::connect(config).await.unwrap_err().to_string();
    assert!(error.contains(&url.to_string()) && error.contains("ws://127.0.0.1:1: "), "{error}");
}
