//! SDKs as the wire sees them: one of 2.x over TLS that looks into every record, and one of 3.x.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_identity::tls::rustls::{ClientConnection, StreamOwned};
use chainmesh_identity::tls::{
    HandshakeOptions, TlsMaterial, Versions, client_config, server_name,
};
use chainmesh_node::consortium::CertificateFiles;
use chainmesh_wire::amop::channel::{Frame, FrameReader, FrameType, ResultCode, Seq, TopicBody};
use chainmesh_wire::amop::ws::{WsMessage, WsType};
use chainmesh_wire::amop::{AmopRequest, Subscription};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn tls(certificates: &Path, versions: Versions) -> ClientConnection {
    let loaded = CertificateFiles::of_directory(certificates).load().unwrap();
    let material = TlsMaterial::new(loaded.credentials, loaded.trust);
    let time = Arc::new(DefaultTimeProvider);
    let options = HandshakeOptions { versions, expected: None, time };
    let (config, _verdict) = client_config(&material, &options).unwrap();
    ClientConnection::new(Arc::new(config), server_name()).unwrap()
}

fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// An SDK of 2.x.
pub(crate) struct Sdk2 {
    tls: ClientConnection,
    socket: TcpStream,
    buffer: BytesMut,
    next: u64,
    /// TLS records with bytes of frames.
    pub(crate) records: usize,
}

impl Sdk2 {
    pub(crate) fn connect(address: &str, certificates: &Path, versions: Versions) -> Self {
        Self::try_connect(address, certificates, versions).unwrap()
    }

    pub(crate) fn try_connect(
        address: &str,
        certificates: &Path,
        versions: Versions,
    ) -> std::io::Result<Self> {
        let (mut tls, mut socket) = (tls(certificates, versions), connect(address));
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self { tls, socket, buffer: BytesMut::new(), next: 0, records: 0 })
    }

    /// The certificate that the node has shown.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.tls.peer_certificates().unwrap()[0].to_vec()
    }

    pub(crate) fn version(&self) -> String {
        format!("{:?}", self.tls.protocol_version().unwrap())
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.tls.writer().write(bytes).unwrap();
            bytes = &bytes[taken..];
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.socket).unwrap();
            }
        }
    }

    /// Sends until the node takes no more; gives how many bytes it took.
    pub(crate) fn flood(&mut self, frame: &Frame, most: usize) -> usize {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        self.socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut sent = 0;
        while sent < most {
            self.tls.writer().write_all(&bytes).unwrap();
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return sent,
                    Err(error) => panic!("{error}"),
                }
            }
            sent += bytes.len();
        }
        sent
    }

    /// Waits for the end of the connection for so long.
    pub(crate) fn patience(&mut self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
    }

    pub(crate) fn fresh(&mut self) -> Seq {
        self.next += 1;
        Seq::from_uuid(u128::from(self.next).to_be_bytes())
    }

    /// The next frame; `None` at the end of the connection. Each record of TLS holds bytes of one
    /// frame only: the SDKs for Go, Python and Node.js need it so.
    pub(crate) fn try_receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = FrameReader::default().read(&mut self.buffer).unwrap() {
                assert!(self.buffer.is_empty(), "a record holds more than one frame");
                return Some(frame);
            }
            // One record: type, version, length, and what it holds (RFC 8446 section 5.1).
            let mut record = vec![0; 5];
            self.socket.read_exact(&mut record).ok()?;
            let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + length, 0);
            self.socket.read_exact(&mut record[5..]).ok()?;
            let mut rest = record.as_slice();
            let mut held = 0;
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).unwrap();
                // An alert is an end, too.
                held = self.tls.process_new_packets().ok()?.plaintext_bytes_to_read();
            }
            let mut plain = vec![0; held];
            self.tls.reader().read_exact(&mut plain).unwrap();
            self.records += usize::from(!plain.is_empty());
            self.buffer.extend_from_slice(&plain);
        }
    }

    pub(crate) fn receive(&mut self) -> Frame {
        self.try_receive().expect("the node has closed the connection")
    }

    /// A call of JSON-RPC, and what was answered.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 7});
        let seq = self.fresh();
        self.send(&Frame::new(FrameType::Rpc, seq, call.to_string().into()));
        let answer = self.receive();
        assert_eq!((answer.frame_type, answer.seq), (FrameType::Rpc, seq));
        let answer: Value = serde_json::from_slice(&answer.data).unwrap();
        assert_eq!((&answer["id"], &answer["jsonrpc"]), (&json!(7), &json!("2.0")));
        answer
    }

    /// As the Java SDK 2.10.1 begins.
    pub(crate) fn hello(&mut self) {
        let version = self.call("getClientVersion", json!([]));
        assert_eq!(version["result"]["Supported Version"], "2.9.1");
        let seq = self.fresh();
        let hello = json!({"maximumSupport": 3, "minimumSupport": 1, "clientType": "java-sdk"});
        self.send(&Frame::new(FrameType::Handshake, seq, hello.to_string().into()));
        let answer = self.receive();
        assert_eq!((answer.frame_type, answer.seq), (FrameType::Handshake, seq));
        let answer: Value = serde_json::from_slice(&answer.data).unwrap();
        assert_eq!(answer, json!({"nodeVersion": "2.9.1", "protocol": 3}));
        self.beat();
    }

    /// A heartbeat and its answer: all that was said before is done then.
    pub(crate) fn beat(&mut self) {
        let seq = self.fresh();
        let body = Bytes::from_static(b"{\"heartBeat\":0}");
        self.send(&Frame::new(FrameType::Heartbeat, seq, body));
        let answer = self.receive();
        assert_eq!((answer.frame_type, answer.seq), (FrameType::Heartbeat, seq));
        // FISCO's nodes end their JSON with a line break.
        assert_eq!(answer.data, "{\"heartBeat\":1}\n");
    }

    /// Follows these topics, and no others. There is no answer.
    pub(crate) fn subscribe(&mut self, topics: &[&str]) {
        let seq = self.fresh();
        let list = serde_json::to_vec(topics).unwrap();
        self.send(&Frame::new(FrameType::SubscribeTopics, seq, list.into()));
        self.beat();
    }

    /// Publishes, without waiting for what comes of it.
    pub(crate) fn publish(&mut self, kind: FrameType, topic: &str, data: &[u8]) -> Seq {
        let seq = self.fresh();
        let body = TopicBody::new(topic.to_owned(), Bytes::copy_from_slice(data));
        let [head, body] = body.to_frame_parts(kind, seq).unwrap();
        self.send_bytes(&[head, body].concat());
        seq
    }

    /// The answer to what was published.
    pub(crate) fn answer(&mut self, seq: Seq) -> (ResultCode, Bytes) {
        let answer = self.receive();
        assert_eq!((answer.frame_type, answer.seq), (FrameType::AmopResponse, seq));
        (answer.result, answer.data)
    }

    /// A message on a topic, answered with an echo if it is one that is to be answered.
    pub(crate) fn echo(&mut self, kind: FrameType) -> (String, Bytes) {
        let frame = self.receive();
        assert_eq!((frame.frame_type, frame.result), (kind, ResultCode::SUCCESS));
        let TopicBody { topic, data } = TopicBody::decode(frame.data).unwrap();
        if kind == FrameType::AmopRequest {
            let answer = [b"echo:", &data[..]].concat();
            let answer = TopicBody::new(topic.clone(), answer.into());
            let parts = answer.to_frame_parts(FrameType::AmopResponse, frame.seq).unwrap();
            self.send_bytes(&parts.concat());
        }
        (String::from_utf8(topic.to_vec()).unwrap(), data)
    }
}

/// What an echo is in the body of an answer of 2.x.
pub(crate) fn echoed(topic: &str, data: &[u8]) -> Bytes {
    let length = u8::try_from(topic.len() + 1).unwrap();
    [&[length], topic.as_bytes(), b"echo:", data].concat().into()
}

trait Both: Read + Write + Send {}
impl<S: Read + Write + Send> Both for S {}

/// An SDK of 3.x.
pub(crate) struct Sdk3 {
    socket: WebSocket<Box<dyn Both>>,
    next: u64,
}

impl Sdk3 {
    /// Without certificates: without TLS.
    pub(crate) fn connect(address: &str, certificates: Option<&Path>) -> Self {
        let mut sdk = Self::upgrade(address, certificates);
        let hello = json!({"minVersion": 0, "maxVersion": 2, "moduleID": 2}).to_string();
        let answer = sdk.ask(WsType::Handshake, hello.into());
        assert_eq!(answer.kind, WsType::Handshake);
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["protocolVersion"].as_u64() >= Some(1), "{answer}");
        sdk
    }

    /// One that has not said its first message.
    pub(crate) fn upgrade(address: &str, certificates: Option<&Path>) -> Self {
        let socket = connect(address);
        let stream: Box<dyn Both> = match certificates {
            // As FISCO's SDKs do: TLS 1.2.
            Some(path) => Box::new(StreamOwned::new(tls(path, Versions::Tls12), socket)),
            None => Box::new(socket),
        };
        let url = format!("ws://{address}/");
        let (socket, _) = tokio_tungstenite::tungstenite::client(url, stream).unwrap();
        Self { socket, next: 0 }
    }

    /// A message of the WebSocket, whatever is in it.
    pub(crate) fn send_any(&mut self, message: Message) {
        self.socket.send(message).unwrap();
    }

    /// What is no frame of a WebSocket.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).unwrap();
        self.socket.get_mut().flush().unwrap();
    }

    /// Reads to the end, and gives how the node closed: code and reason.
    pub(crate) fn closed(&mut self) -> (u16, String) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Ok(_) => {}
                Err(error) => panic!("ended without a word: {error}"),
            }
        }
    }

    pub(crate) fn send(&mut self, message: &WsMessage) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes).unwrap();
        self.socket.send(Message::Binary(bytes.freeze())).unwrap();
    }

    pub(crate) fn receive(&mut self) -> WsMessage {
        loop {
            match self.socket.read().unwrap() {
                Message::Binary(bytes) => return WsMessage::decode(bytes).unwrap(),
                Message::Ping(_) => self.socket.flush().unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits for a ping, which is answered when something is sent or read next.
    pub(crate) fn pinged(&mut self) {
        match self.socket.read().unwrap() {
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Sends, and gives the message with the same seq, which must be the next one.
    pub(crate) fn ask(&mut self, kind: WsType, payload: Bytes) -> WsMessage {
        self.next += 1;
        let seq = format!("{:032x}", self.next);
        self.send(&WsMessage::new(kind, seq.clone(), payload));
        let answer = self.receive();
        assert_eq!(answer.seq, seq);
        answer
    }

    pub(crate) fn call(&mut self, method: &str) -> Value {
        let call = json!({"jsonrpc": "2.0", "method": method, "params": ["group0", ""], "id": 7});
        let answer = self.ask(WsType::RpcRequest, call.to_string().into());
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Follows these topics; done when the call after it is answered.
    pub(crate) fn subscribe(&mut self, topics: &[&str]) {
        let topics = Subscription(topics.iter().map(ToString::to_string).collect());
        let list = json!({"topics": topics.0}).to_string();
        self.send(&WsMessage::new(WsType::AmopSubTopic, "s", list.into()));
        self.call("getGroupList");
    }

    /// Publishes for one subscriber.
    pub(crate) fn publish(&mut self, topic: &'static str, data: &'static [u8]) -> WsMessage {
        self.ask(WsType::AmopRequest, request(topic, data))
    }

    /// Publishes for all.
    pub(crate) fn broadcast(&mut self, topic: &'static str, data: &'static [u8]) {
        self.send(&WsMessage::new(WsType::AmopBroadcast, "b", request(topic, data)));
    }

    /// A message on a topic, answered with an echo if it is one that is to be answered.
    pub(crate) fn echo(&mut self, kind: WsType) -> AmopRequest {
        let message = self.receive();
        assert_eq!(message.kind, kind);
        let request = AmopRequest::decode(message.payload.clone()).unwrap();
        if kind == WsType::AmopRequest {
            let echo = [b"echo:", &request.data[..]].concat();
            self.send(&message.answer(WsType::AmopResponse, echo.into()));
        }
        request
    }
}

fn request(topic: &'static str, data: &'static [u8]) -> Bytes {
    let head = AmopRequest::new(topic, Bytes::from_static(data)).encode_head().unwrap();
    [&head[..], data].concat().into()
}
