//! A client that writes its HTTP by hand, to be able to write it wrong.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// In small letters.
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// The code of the error.
    pub(super) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}"))
    }
}

/// Requests with these headers.
pub(super) struct Http<'a> {
    pub(super) address: &'a str,
    pub(super) headers: Vec<(&'a str, &'a str)>,
}

pub(super) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads to the end of the connection.
pub(super) fn read_reply(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    // A server that refuses what it has not read may reset the connection behind its answer.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

impl<'a> Http<'a> {
    pub(super) fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends a request whose head is written by us, and a body.
    pub(super) fn send(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let mut stream = connect(self.address);
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| *name == wanted);
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !has("Host") {
            head += &format!("Host: {}\r\n", self.address);
        }
        if !has("Content-Type") {
            head += "Content-Type: application/json\r\n";
        }
        if !has("Content-Length") && !has("Transfer-Encoding") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        // It may be refused before all of it is there.
        let _ = stream.write_all(body);
        read_reply(stream)
    }

    pub(super) fn post(&self, body: &[u8]) -> Reply {
        self.send("POST", "/", body)
    }

    pub(super) fn ask(&self, request: &Value) -> Value {
        let reply = self.post(request.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }
}

/// A WebSocket.
pub(super) struct Ws(WebSocket<MaybeTlsStream<TcpStream>>);

impl Ws {
    pub(super) fn connect(address: &str) -> Self {
        Self::try_connect(address, None).unwrap()
    }

    /// The status when it is refused.
    pub(super) fn try_connect(address: &str, origin: Option<&str>) -> Result<Self, u16> {
        use tungstenite::client::IntoClientRequest as _;
        let mut request = format!("ws://{address}/").into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        }
        let stream = MaybeTlsStream::Plain(connect(address));
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            // There was no place.
            Err(tungstenite::HandshakeError::Failure(
                tungstenite::Error::Io(_) | tungstenite::Error::Protocol(_),
            )) => Err(0),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(reply))) => {
                Err(reply.status().as_u16())
            }
            Err(why) => panic!("{why}"),
        }
    }

    pub(super) fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    /// The same for what may be refused before all of it is written: whether it was written.
    pub(super) fn try_send(&mut self, text: &str) -> bool {
        self.0.send(Message::text(text)).is_ok()
    }

    /// The next message; `None` at the end of the connection.
    pub(super) fn receive(&mut self) -> Option<Value> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(other) => panic!("{other:?}"),
            }
        }
    }

    pub(super) fn ask(&mut self, request: &Value) -> Value {
        self.send(&request.to_string());
        self.receive().expect("an answer")
    }
}
