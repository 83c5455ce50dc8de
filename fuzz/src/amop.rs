//! AMOP: between 3.x nodes, the channel protocol of 2.x SDKs, the WebSocket messages of 3.x SDKs.

use bytes::{Bytes, BytesMut};
use chainmesh_wire::amop::channel::{
    self, Carried, Frame, FrameReader, FrameType, Heartbeat, TopicBody, TopicVerdict, VerifyTopic,
};
use chainmesh_wire::amop::ws::{self, MAX_WS_SEQ, WsMessage, WsType};
use chainmesh_wire::amop::{
    AmopMessage, AmopRequest, MAX_NODE_TOPICS, MAX_TOPICS, Subscription, TopicList,
};
use chainmesh_wire::mesh::rc2::Rc2Packet;

/// The payload of a packet of type 7.
pub fn amop_node(data: &[u8]) {
    let Ok(message) = AmopMessage::decode(Bytes::copy_from_slice(data)) else {
        assert!(data.len() < chainmesh_wire::amop::AMOP_HEADER);
        return;
    };
    assert_eq!(message.encode(), data);
    let _ = message.read_topic_seq();
    if let Ok(list) = TopicList::from_json(&message.data) {
        assert!(list.topics.len() <= MAX_NODE_TOPICS);
        let json = list.to_json().expect("what was read can be written");
        assert!(json.is_ascii());
        assert_eq!(TopicList::from_json(&json), Ok(list));
    }
    request_keeps_its_promises(message.data);
}

fn request_keeps_its_promises(data: Bytes) {
    if let Ok(request) = AmopRequest::decode(data.clone()) {
        assert_eq!(request.encode(), Ok(data.clone()));
        let head = request.encode_head().expect("what was read can be written");
        assert_eq!(head.len() + request.data.len(), data.len());
    }
}

/// A stream of channel frames. The first byte says in pieces of which size it arrives.
pub fn amop_channel(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let reader = FrameReader::default();
    let mut input = BytesMut::new();
    for piece in stream.chunks(usize::from(*step).max(1)) {
        input.extend_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                Ok(Some(frame)) => frame_keeps_its_promises(&frame),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn frame_keeps_its_promises(frame: &Frame) {
    let mut out = BytesMut::new();
    frame.encode(&mut out).expect("what was read can be written");
    assert_eq!(Frame::decode(out.freeze()).as_ref(), Ok(frame));
    let parts = frame.to_rc2_parts(Carried::Response, 7).expect("it is short");
    let packet = Rc2Packet::decode(parts.concat().into()).expect("a packet");
    assert_eq!(Frame::from_rc2(&packet), Ok(Some((Carried::Response, frame.clone()))));
    assert!(frame.seq.to_string().is_ascii());
    body_keeps_its_promises(frame.frame_type, &frame.data);
}

fn body_keeps_its_promises(kind: FrameType, body: &Bytes) {
    if let Ok(on_topic) = TopicBody::decode(body.clone()) {
        assert_eq!(on_topic.encode().as_ref(), Ok(body));
    }
    match kind {
        FrameType::SubscribeTopics => {
            if let Ok(topics) = Subscription::from_array(body) {
                assert!(topics.0.len() <= MAX_TOPICS);
                let array = topics.to_array().expect("what was read can be written");
                assert_eq!(Subscription::from_array(&array), Ok(topics));
            }
        }
        FrameType::Handshake => {
            if let Ok(handshake) = channel::Handshake::from_json(body) {
                let _ = handshake.negotiate();
                let again = channel::Handshake::from_json(&handshake.to_json());
                assert_eq!(again, Ok(handshake));
            }
            if let Ok(reply) = channel::HandshakeReply::from_json(body) {
                assert_eq!(channel::HandshakeReply::from_json(&reply.to_json()), Ok(reply));
            }
        }
        FrameType::Heartbeat => drop(Heartbeat::from_body(body)),
        FrameType::VerifyTopic => {
            if let Ok(ask) = VerifyTopic::from_json(body) {
                let _ = channel::is_verify_channel_of(&ask.topic_for_cert, &ask.topic);
                assert_eq!(VerifyTopic::from_json(&ask.to_json()), Ok(ask));
            }
        }
        FrameType::UpdateTopicStatus => {
            if let Ok(verdict) = TopicVerdict::from_json(body) {
                assert_eq!(TopicVerdict::from_json(&verdict.to_json()), Ok(verdict));
            }
        }
        _ => {}
    }
}

/// One WebSocket message of an SDK.
pub fn amop_ws(data: &[u8]) {
    let Ok(message) = WsMessage::decode(Bytes::copy_from_slice(data)) else { return };
    assert!(message.seq.len() <= MAX_WS_SEQ);
    let mut out = BytesMut::new();
    message.encode(&mut out).expect("what was read can be written");
    assert_eq!(out, data);
    let payload = &message.payload;
    match message.kind {
        WsType::Handshake => {
            if let Ok(handshake) = ws::Handshake::from_json(payload) {
                assert_ne!(handshake.negotiate(), Ok(0));
                assert_eq!(ws::Handshake::from_json(&handshake.to_json()), Ok(handshake));
            }
            if let Ok(reply) = ws::HandshakeReply::from_json(payload) {
                assert_eq!(ws::HandshakeReply::from_json(&reply.to_json()), Ok(reply));
            }
        }
        WsType::AmopSubTopic => {
            if let Ok(topics) = Subscription::from_json(payload) {
                assert!(topics.0.len() <= MAX_TOPICS);
                let json = topics.to_json().expect("what was read can be written");
                assert_eq!(Subscription::from_json(&json), Ok(topics));
            }
        }
        _ => request_keeps_its_promises(payload.clone()),
    }
}
