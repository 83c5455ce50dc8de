//! Messages to all subscribers: to every session that follows the topic, once, here and elsewhere.

use bytes::Bytes;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::amop::channel::{FrameType, Seq, needs_verification};

use super::draw::fresh_seq;
use super::private::Holder;
use super::{AmopCast, Broker, Message, Output, SdkSession};
use crate::mesh::AmopSend;
use crate::module::PeerKind;

impl Broker {
    /// An SDK's multicast.
    pub(super) fn multicast(&mut self, publisher: SdkSession, message: &Message) {
        let to: Vec<ShortId> = self.nodes.with(&message.topic).to_vec();
        let to: Vec<_> =
            to.into_iter().filter(|node| self.node_takes(node, &message.topic)).collect();
        if !to.is_empty() {
            let of_2x = |node: &ShortId| {
                self.nodes.get(node).is_some_and(|node| node.kind == PeerKind::Fisco2)
            };
            let frame = match to.iter().any(of_2x) {
                true => self.multicast_frame(message),
                false => None,
            };
            let request = message.to_request();
            self.output(Output::Mesh(AmopSend::Multicast { to, request, frame }));
        }
        self.push_to_all(Some(publisher), message);
    }

    fn multicast_frame(
        &mut self,
        message: &Message,
    ) -> Option<chainmesh_wire::amop::channel::Frame> {
        let mut message = message.clone();
        if message.seq.len() != Seq::LENGTH {
            message.seq = fresh_seq(&mut self.rng);
        }
        message.to_frame(FrameType::AmopMulticast).ok()
    }

    /// Gives a message to all sessions here that follow its topic.
    pub(super) fn push_to_all(&mut self, publisher: Option<SdkSession>, message: &Message) {
        let topic: &Bytes = &message.topic;
        // Another node's private messages were judged there.
        let private = needs_verification(topic) && publisher.is_some();
        for session in self.sessions.with(topic).to_vec() {
            let Some(sdk) = self.sessions.open.get(&session) else { continue };
            let may = !private || self.judgements.allow(&Holder::Session(session), topic);
            match may && sdk.slow.is_none() && sdk.can_read(topic.len()) {
                true => {
                    self.push(session, publisher, AmopCast::Multicast, message);
                }
                false => self.counters.missed += 1,
            }
        }
    }
}
