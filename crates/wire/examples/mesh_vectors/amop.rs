//! AMOP: nodes among themselves, the SDKs of both worlds, and the RC1 packet.

use bytes::{Bytes, BytesMut};
use chainmesh_wire::amop::channel::{
    self, ChannelVersion, Frame, FrameType, HandshakeReply, Heartbeat, ResultCode, Seq, TopicBody,
    TopicVerdict, VerifyTopic,
};
use chainmesh_wire::amop::ws::{self, GroupHeight, WsMessage, WsStatus, WsType};
use chainmesh_wire::amop::{AmopKind, AmopMessage, AmopRequest, Subscription, TopicList};
use chainmesh_wire::mesh::rc2::{ProtocolId, Rc2Packet};
use serde_json::json;

use super::{Draw, Failure, Said, hex};

/// Something drawn, of any kind of AMOP.
pub(crate) fn said(draw: &mut Draw) -> Result<Said, Failure> {
    match draw.below(16) {
        0 => Ok(message(&draw.amop_message())),
        1 => request(&draw.amop_request()),
        2 => topic_list(&TopicList { topics: draw.texts(), seq: draw.word() as u32 }),
        3 => frame(&draw.frame()),
        4 => topic_body(&TopicBody { topic: draw.bytes(254), data: draw.bytes(100) }),
        5 => subscription_2x(&Subscription(draw.texts())),
        6 => Ok(handshake_2x(&channel::Handshake {
            maximum: draw.int(),
            minimum: draw.int(),
            client_type: draw.text(),
        })),
        7 => handshake_reply_2x(&HandshakeReply {
            node_version: draw.text(),
            protocol: ChannelVersion::from_number(1 + draw.below(3) as i32)?,
        }),
        8 => Ok(heartbeat([Heartbeat::Request, Heartbeat::Reply][draw.below(2) as usize])),
        9 => Ok(verify(&VerifyTopic {
            node_id: draw.text(),
            topic: draw.text(),
            topic_for_cert: draw.text(),
        })),
        10 => Ok(verdict(&TopicVerdict {
            check_result: draw.int(),
            node_id: draw.text(),
            topic: draw.text(),
        })),
        11 => ws_message(&draw.ws_message()),
        12 => subscription_ws(&Subscription(draw.texts())),
        13 => Ok(handshake_ws(&ws::Handshake {
            max_version: draw.int(),
            min_version: draw.int(),
            module: draw.below(4) as i32,
        })),
        14 => Ok(handshake_reply_ws(&ws::HandshakeReply {
            heights: draw
                .many(3, |draw| GroupHeight { group: draw.text(), height: draw.word() as i64 }),
            protocol_version: draw.int(),
        })),
        _ => rc1(&draw.rc1()),
    }
}

/// Reads bytes of this kind, and writes them again from what was read.
pub(crate) fn understand(kind: &str, bytes: Bytes) -> Result<Said, Failure> {
    match kind {
        "amop" => Ok(message(&AmopMessage::decode(bytes)?)),
        "amop_request" => request(&AmopRequest::decode(bytes)?),
        "topic_list" => topic_list(&TopicList::from_json(&bytes)?),
        "channel" => frame(&Frame::decode(bytes)?),
        "topic_body" => topic_body(&TopicBody::decode(bytes)?),
        "subscription_2x" => subscription_2x(&Subscription::from_array(&bytes)?),
        "handshake_2x" => Ok(handshake_2x(&channel::Handshake::from_json(&bytes)?)),
        "handshake_reply_2x" => handshake_reply_2x(&HandshakeReply::from_json(&bytes)?),
        "heartbeat" => Ok(heartbeat(Heartbeat::from_body(&bytes)?)),
        "verify" => Ok(verify(&VerifyTopic::from_json(&bytes)?)),
        "verdict" => Ok(verdict(&TopicVerdict::from_json(&bytes)?)),
        "ws" => ws_message(&WsMessage::decode(bytes)?),
        "subscription_ws" => subscription_ws(&Subscription::from_json(&bytes)?),
        "handshake_ws" => Ok(handshake_ws(&ws::Handshake::from_json(&bytes)?)),
        "handshake_reply_ws" => Ok(handshake_reply_ws(&ws::HandshakeReply::from_json(&bytes)?)),
        "rc1" => rc1(&Rc2Packet::decode_rc1(bytes)?),
        other => Err(format!("unknown kind {other:?}").into()),
    }
}

fn message(of: &AmopMessage) -> Said {
    let (version, kind, status) = (of.version, of.kind.number(), of.status);
    let value = json!({"version": version, "type": kind, "status": status, "data": hex(&of.data)});
    Said { kind: "amop", bytes: of.encode(), value }
}

fn request(of: &AmopRequest) -> Result<Said, Failure> {
    let value = json!({"version": of.version, "topic": hex(&of.topic), "data": hex(&of.data)});
    Ok(Said { kind: "amop_request", bytes: of.encode()?, value })
}

fn topic_list(of: &TopicList) -> Result<Said, Failure> {
    let value = json!({"topics": of.topics, "seq": of.seq});
    Ok(Said { kind: "topic_list", bytes: of.to_json()?, value })
}

fn frame(of: &Frame) -> Result<Said, Failure> {
    let value = json!({
        "type": of.frame_type.number(),
        "seq": hex(&of.seq.0),
        "result": of.result.0,
        "data": hex(&of.data),
    });
    let mut bytes = BytesMut::new();
    of.encode(&mut bytes)?;
    Ok(Said { kind: "channel", bytes: bytes.freeze(), value })
}

fn topic_body(of: &TopicBody) -> Result<Said, Failure> {
    let value = json!({"topic": hex(&of.topic), "data": hex(&of.data)});
    Ok(Said { kind: "topic_body", bytes: of.encode()?, value })
}

fn subscription_2x(of: &Subscription) -> Result<Said, Failure> {
    let value = json!({"topics": of.0});
    Ok(Said { kind: "subscription_2x", bytes: of.to_array()?, value })
}

fn handshake_2x(of: &channel::Handshake) -> Said {
    let value = json!({"max": of.maximum, "min": of.minimum, "client": of.client_type});
    Said { kind: "handshake_2x", bytes: of.to_json(), value }
}

fn handshake_reply_2x(of: &HandshakeReply) -> Result<Said, Failure> {
    let value = json!({"node": of.node_version, "protocol": of.protocol.number()});
    Ok(Said { kind: "handshake_reply_2x", bytes: of.to_json(), value })
}

fn heartbeat(of: Heartbeat) -> Said {
    let value = json!({"reply": of == Heartbeat::Reply});
    Said { kind: "heartbeat", bytes: of.to_body(ChannelVersion::V3), value }
}

fn verify(of: &VerifyTopic) -> Said {
    let value = json!({"node": of.node_id, "topic": of.topic, "channel": of.topic_for_cert});
    Said { kind: "verify", bytes: of.to_json(), value }
}

fn verdict(of: &TopicVerdict) -> Said {
    let value = json!({"result": of.check_result, "node": of.node_id, "topic": of.topic});
    Said { kind: "verdict", bytes: of.to_json(), value }
}

fn ws_message(of: &WsMessage) -> Result<Said, Failure> {
    let value = json!({
        "version": of.version,
        "type": of.kind.number(),
        "status": of.status.0,
        "seq": hex(&of.seq),
        "ext": of.ext,
        "payload": hex(&of.payload),
    });
    let mut bytes = BytesMut::new();
    of.encode(&mut bytes)?;
    Ok(Said { kind: "ws", bytes: bytes.freeze(), value })
}

fn subscription_ws(of: &Subscription) -> Result<Said, Failure> {
    let value = json!({"topics": of.0});
    Ok(Said { kind: "subscription_ws", bytes: of.to_json()?, value })
}

fn handshake_ws(of: &ws::Handshake) -> Said {
    let value = json!({"max": of.max_version, "min": of.min_version, "module": of.module});
    Said { kind: "handshake_ws", bytes: of.to_json(), value }
}

fn handshake_reply_ws(of: &ws::HandshakeReply) -> Said {
    let heights: Vec<_> = of.heights.iter().map(|one| json!([one.group, one.height])).collect();
    let value = json!({"heights": heights, "protocol": of.protocol_version});
    Said { kind: "handshake_reply_ws", bytes: of.to_json(), value }
}

fn rc1(of: &Rc2Packet) -> Result<Said, Failure> {
    let (protocol, kind, seq) = (of.protocol.0, of.packet_type, of.seq);
    let value =
        json!({"protocol": protocol, "type": kind, "seq": seq, "payload": hex(&of.payload)});
    let mut bytes = BytesMut::new();
    of.encode_rc1_head(&mut bytes)?;
    bytes.extend_from_slice(&of.payload);
    Ok(Said { kind: "rc1", bytes: bytes.freeze(), value })
}

impl Draw {
    /// Text with all that has to be escaped, at most 20 letters.
    fn text(&mut self) -> String {
        let letters = ['a', '/', '"', '\\', '\n', '\0', '\u{7f}', '\u{80}', '中', '\u{ffff}', '😀'];
        self.many(20, |draw| letters[draw.below(letters.len() as u64) as usize])
            .into_iter()
            .collect()
    }

    fn texts(&mut self) -> Vec<String> {
        self.many(6, Self::text)
    }

    fn amop_message(&mut self) -> AmopMessage {
        let number = [self.below(7), self.below(65_536)][self.below(2) as usize];
        let kind = AmopKind::from_number(number as u16);
        let (version, status) = (self.word() as u16, self.word() as u16);
        AmopMessage { version, kind, status, data: self.bytes(100) }
    }

    fn amop_request(&mut self) -> AmopRequest {
        let version = self.word() as u32;
        AmopRequest { version, topic: self.bytes(400), data: self.bytes(100) }
    }

    fn frame(&mut self) -> Frame {
        let number = [0x30 + self.below(9), self.below(65_536)][self.below(2) as usize];
        let seq = Seq(core::array::from_fn(|_| self.word() as u8));
        let frame_type = FrameType::from_number(number as u16);
        Frame { frame_type, seq, result: ResultCode(self.int()), data: self.bytes(100) }
    }

    fn ws_message(&mut self) -> WsMessage {
        let number = [0x100 + self.below(0x24), self.below(65_536)][self.below(2) as usize];
        let kind = WsType::from_number(number as u16);
        let (version, ext, seq) = (self.word() as u16, self.word() as u16, self.bytes(255));
        let status = WsStatus(self.word() as i16);
        WsMessage { version, kind, status, seq, ext, payload: self.bytes(100) }
    }

    fn rc1(&mut self) -> Rc2Packet {
        let number = (self.below(128) << 16 | self.below(256)) as i32;
        let protocol = [ProtocolId(number), ProtocolId(-number)][self.below(2) as usize];
        let (kind, seq) = (self.word() as u16, self.word() as u32);
        Rc2Packet::new(protocol, kind, seq, self.bytes(100))
    }
}
