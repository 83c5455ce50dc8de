//! The three protocols as a lean client speaks them: what is written, and what was read. Nothing is
//! kept but what is needed to pair answers with requests, so that the servers are measured and not
//! the client.

use std::io;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use chainmesh_wire::amop::channel::{
    ChannelVersion, Frame, FrameReader, FrameType, Handshake, Heartbeat, Seq, TopicBody,
};
use chainmesh_wire::amop::ws::{self, WsMessage, WsType};
use chainmesh_wire::amop::{AmopRequest, Subscription};

/// Which protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The channel port of a node (2.x).
    Channel,
    /// The WebSocket port of a node (3.x).
    WebSocket,
    /// A NATS server.
    Nats,
}

/// What was read.
pub(crate) enum Event {
    /// A message for a subscriber; to whom the answer goes, if one is wanted.
    Message { answer_to: Option<Bytes>, payload: Bytes },
    /// The answer to a request of ours; 0 if it was a good one, else the server's code.
    Answer { number: u64, code: i32 },
    /// The answer to our hello, or to a sign of life.
    Ready,
    /// What has to be answered at once for the connection to live.
    Ping(Bytes),
    /// Anything else.
    Other,
}

/// What an answer says.
const ANSWER: &[u8] = b"ok";
/// Final binary frame (RFC 6455 section 5.2).
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn seq(client: u64, number: u64) -> Seq {
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&client.to_be_bytes());
    uuid[8..].copy_from_slice(&number.to_be_bytes());
    Seq::from_uuid(uuid)
}

fn number_of(seq: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(seq.get(16..32)?).ok()?;
    u64::from_str_radix(text, 16).ok()
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Protocol {
    /// The first words, after the upgrade to a WebSocket.
    pub(crate) fn hello(self, client: u64, out: &mut BytesMut) {
        match self {
            Self::Channel => {
                let hello = Handshake { maximum: 3, minimum: 1, client_type: "bench".into() };
                frame(FrameType::Handshake, seq(client, 0), hello.to_json(), out);
            }
            Self::WebSocket => {
                let hello = ws::Handshake { max_version: 2, min_version: 0, module: 2 };
                websocket(WsType::Handshake, &seq(client, 0).0, &[], &hello.to_json(), out);
            }
            Self::Nats => out.put_slice(
                b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\
                  \"version\":\"1\",\"protocol\":1}\r\nPING\r\n",
            ),
        }
    }

    /// Follows a topic, and asks for a sign of life that comes after it.
    pub(crate) fn subscribe(self, topics: &[&str], out: &mut BytesMut) {
        let list = Subscription(topics.iter().map(ToString::to_string).collect());
        match self {
            Self::Channel => {
                let body = list.to_array().unwrap_or_default();
                frame(FrameType::SubscribeTopics, Seq::ZERO, body, out);
                let beat = Heartbeat::Request.to_body(ChannelVersion::V3);
                frame(FrameType::Heartbeat, Seq::ZERO, beat, out);
            }
            Self::WebSocket => {
                let body = list.to_json().unwrap_or_default();
                websocket(WsType::AmopSubTopic, &[], &[], &body, out);
                out.put_slice(&[PING, 0x80, 0, 0, 0, 0]);
            }
            Self::Nats => {
                for (at, topic) in topics.iter().enumerate() {
                    out.put_slice(format!("SUB {topic} {at}\r\n").as_bytes());
                }
                out.put_slice(b"PING\r\n");
            }
        }
    }

    /// Where answers to this client's requests come, which has to be followed; NATS only.
    pub(crate) fn inbox(self, client: u64) -> Option<String> {
        (self == Self::Nats).then(|| format!("_INBOX.{client}.*"))
    }

    /// A message to one subscriber, to be answered.
    pub(crate) fn request(
        self,
        client: u64,
        number: u64,
        topic: &str,
        payload: &Bytes,
        out: &mut BytesMut,
    ) {
        match self {
            Self::Channel => {
                let body = TopicBody::new(topic.to_owned(), payload.clone());
                let parts = body.to_frame_parts(FrameType::AmopRequest, seq(client, number));
                parts.iter().flatten().for_each(|part| out.put_slice(part));
            }
            Self::WebSocket => {
                let seq = seq(client, number).0;
                let request = AmopRequest::new(topic.to_owned(), Bytes::new());
                let head = request.encode_head().unwrap_or_default();
                websocket(WsType::AmopRequest, &seq, &head, payload, out);
            }
            Self::Nats => {
                let size = payload.len();
                out.put_slice(
                    format!("PUB {topic} _INBOX.{client}.{number} {size}\r\n").as_bytes(),
                );
                out.put_slice(payload);
                out.put_slice(b"\r\n");
            }
        }
    }

    /// A message to all subscribers.
    pub(crate) fn multicast(self, client: u64, topic: &str, payload: &[u8], out: &mut BytesMut) {
        match self {
            Self::Channel => {
                let body = TopicBody::new(topic.to_owned(), Bytes::copy_from_slice(payload));
                let parts = body.to_frame_parts(FrameType::AmopMulticast, seq(client, 0));
                parts.iter().flatten().for_each(|part| out.put_slice(part));
            }
            Self::WebSocket => {
                let request = AmopRequest::new(topic.to_owned(), Bytes::new());
                let head = request.encode_head().unwrap_or_default();
                websocket(WsType::AmopBroadcast, &[], &head, payload, out);
            }
            Self::Nats => {
                out.put_slice(format!("PUB {topic} {}\r\n", payload.len()).as_bytes());
                out.put_slice(payload);
                out.put_slice(b"\r\n");
            }
        }
    }

    /// The answer of a subscriber.
    pub(crate) fn answer(self, to: &Bytes, topic: &str, out: &mut BytesMut) {
        match self {
            Self::Channel => {
                let Some(seq) = to.first_chunk() else { return };
                let body = TopicBody::new(topic.to_owned(), Bytes::from_static(ANSWER));
                let parts = body.to_frame_parts(FrameType::AmopResponse, Seq(*seq));
                parts.iter().flatten().for_each(|part| out.put_slice(part));
            }
            Self::WebSocket => websocket(WsType::AmopResponse, to, &[], ANSWER, out),
            Self::Nats => {
                out.put_slice(b"PUB ");
                out.put_slice(to);
                out.put_slice(b" 2\r\nok\r\n");
            }
        }
    }

    /// The answer to an [`Event::Ping`].
    pub(crate) fn pong(self, payload: &Bytes, out: &mut BytesMut) {
        match self {
            Self::Channel => {}
            Self::WebSocket => {
                out.put_slice(&[PONG, 0x80 | payload.len().min(125) as u8, 0, 0, 0, 0]);
                out.put_slice(payload.get(..payload.len().min(125)).unwrap_or_default());
            }
            Self::Nats => out.put_slice(b"PONG\r\n"),
        }
    }

    /// The next event of what was read; `None` when it is not complete yet.
    pub(crate) fn next(self, input: &mut BytesMut) -> io::Result<Option<Event>> {
        match self {
            Self::Channel => {
                let frame = FrameReader::default().read(input).map_err(io::Error::other)?;
                Ok(frame.map(of_frame).transpose()?)
            }
            Self::WebSocket => of_websocket(input),
            Self::Nats => of_nats(input),
        }
    }
}

fn frame(frame_type: FrameType, seq: Seq, body: Bytes, out: &mut BytesMut) {
    // Far below the limit.
    let _ = Frame::new(frame_type, seq, body).encode(out);
}

/// A binary frame whose mask is 0, which changes nothing.
fn websocket(kind: WsType, seq: &[u8], before: &[u8], payload: &[u8], out: &mut BytesMut) {
    let head = WsMessage::new(kind, Bytes::copy_from_slice(seq), Bytes::new());
    let size = head.encoded_len() + before.len() + payload.len();
    out.put_u8(BINARY);
    match size {
        0..126 => out.put_u8(0x80 | size as u8),
        126..65_536 => {
            out.put_u8(0x80 | 126);
            out.put_u16(size as u16);
        }
        _ => {
            out.put_u8(0x80 | 127);
            out.put_u64(size as u64);
        }
    }
    out.put_u32(0);
    let _ = head.encode_head(out);
    out.put_slice(before);
    out.put_slice(payload);
}

fn of_frame(frame: Frame) -> io::Result<Event> {
    Ok(match frame.frame_type {
        FrameType::AmopRequest | FrameType::AmopMulticast => {
            let wanted = frame.frame_type == FrameType::AmopRequest;
            let answer_to = wanted.then(|| Bytes::copy_from_slice(&frame.seq.0));
            let body = TopicBody::decode(frame.data).map_err(io::Error::other)?;
            Event::Message { answer_to, payload: body.data }
        }
        FrameType::AmopResponse => {
            let code = frame.result.0;
            number_of(&frame.seq.0).map_or(Event::Other, |number| Event::Answer { number, code })
        }
        FrameType::Handshake | FrameType::Heartbeat => Event::Ready,
        _ => Event::Other,
    })
}

fn of_websocket(input: &mut BytesMut) -> io::Result<Option<Event>> {
    let [first, second, ..] = input[..] else { return Ok(None) };
    let (head, size) = match second {
        0..126 => (2, usize::from(second)),
        126 => match input.get(2..4) {
            Some(size) => (4, usize::from(u16::from_be_bytes([size[0], size[1]]))),
            None => return Ok(None),
        },
        127 => match input.get(2..10).and_then(<[u8]>::first_chunk) {
            Some(size) => (10, usize::try_from(u64::from_be_bytes(*size)).unwrap_or(usize::MAX)),
            None => return Ok(None),
        },
        _ => return Err(bad("a frame of a server is not masked")),
    };
    if size > ws::MAX_WS_MESSAGE {
        return Err(bad("a frame is too large"));
    }
    if input.len() < head + size {
        return Ok(None);
    }
    input.advance(head);
    let body = input.split_to(size).freeze();
    Ok(Some(match first {
        BINARY => of_message(body)?,
        PING => Event::Ping(body),
        PONG => Event::Ready,
        _ => return Err(bad("the server has closed the WebSocket")),
    }))
}

fn of_message(body: Bytes) -> io::Result<Event> {
    let message = WsMessage::decode(body).map_err(io::Error::other)?;
    Ok(match message.kind {
        WsType::AmopRequest | WsType::AmopBroadcast => {
            let request = AmopRequest::decode(message.payload).map_err(io::Error::other)?;
            let wanted = message.kind == WsType::AmopRequest;
            Event::Message { answer_to: wanted.then_some(message.seq), payload: request.data }
        }
        WsType::AmopResponse | WsType::Untyped => {
            let code = message.status.0.into();
            number_of(&message.seq).map_or(Event::Other, |number| Event::Answer { number, code })
        }
        WsType::Handshake => Event::Ready,
        _ => Event::Other,
    })
}

fn of_nats(input: &mut BytesMut) -> io::Result<Option<Event>> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&input[..end]).map_err(|_| bad("not a line of text"))?;
    let mut words = line.split(' ');
    let event = match words.next() {
        Some("MSG") => {
            let (subject, rest) = (words.next().unwrap_or_default(), words.clone());
            let rest: Vec<&str> = rest.collect();
            let (reply, size) = match rest[..] {
                [_, size] => (None, size),
                [_, reply, size] => (Some(Bytes::copy_from_slice(reply.as_bytes())), size),
                _ => return Err(bad("a MSG has other words")),
            };
            let size: usize = size.parse().map_err(|_| bad("a MSG has no size"))?;
            let number = subject
                .strip_prefix("_INBOX.")
                .and_then(|rest| rest.rsplit_once('.'))
                .and_then(|(_, number)| number.parse().ok());
            if input.len() < end + 2 + size + 2 {
                return Ok(None);
            }
            input.advance(end + 2);
            let payload = input.split_to(size).freeze();
            input.advance(2);
            return Ok(Some(match number {
                Some(number) => Event::Answer { number, code: 0 },
                None => Event::Message { answer_to: reply, payload },
            }));
        }
        Some("PING") => Event::Ping(Bytes::new()),
        Some("PONG") => Event::Ready,
        Some("-ERR") => return Err(io::Error::other(line.to_owned())),
        _ => Event::Other,
    };
    input.advance(end + 2);
    Ok(Some(event))
}
