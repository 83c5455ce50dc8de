//! The stages before a connection is open: handshake, proof, admission, Hello.

use bytes::BytesMut;
use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::{P2P_VERSION, code};

use super::open::{self, Open};
use super::{
    CloseCause, Connection, ConnectionEvent, FIRST_WORD_TIMEOUT, ProtocolFault, SharedModule,
    Stage, capabilities,
};
use crate::module::PeerKind;
use crate::session::{Handshake, Progress, Session, SessionError, rlpx};
use crate::time::Instant;

impl Connection {
    pub(super) fn say_hello(&mut self, session: &mut Session) {
        if !core::mem::replace(&mut self.greeted, true) {
            session.heartbeat(&mut self.pending);
            if session.peer_kind() != PeerKind::Own {
                return;
            }
            let hello = self.local.hello().encode_payload();
            session.write(code::HELLO, &hello, &mut self.pending);
        }
    }

    pub(super) fn handshake(&mut self, handshake: Handshake, input: &mut BytesMut, now: Instant) {
        match handshake.advance(&self.local.key, input, &mut self.pending) {
            Ok(Progress::Wait(handshake)) => self.stage = Stage::Handshaking(handshake),
            Ok(Progress::Done(session, peer)) if self.is_dialled() || session.is_proved() => {
                self.authenticated(session, peer, now);
            }
            Ok(Progress::Done(session, peer)) => {
                self.speak_at = now + FIRST_WORD_TIMEOUT;
                self.stage = Stage::Proving(session, peer);
            }
            Err(error) => self.finish(CloseCause::Session(error)),
        }
    }

    pub(super) fn prove(
        &mut self,
        mut session: Session,
        peer: PeerId,
        input: &mut BytesMut,
        now: Instant,
    ) {
        match session.prove(input, rlpx::MAX_BASE_FRAME) {
            Ok(true) => self.authenticated(session, peer, now),
            Ok(false) => self.stage = Stage::Proving(session, peer),
            Err(error) => self.refuse_frame(session, peer, error, now),
        }
    }

    fn authenticated(&mut self, session: Session, peer: PeerId, now: Instant) {
        let certificate = session.certificate().cloned().map(Box::new);
        let kind = session.peer_kind();
        self.events.push_back(ConnectionEvent::Authenticated { id: peer, certificate, kind });
        self.stage = Stage::Authenticated(session, peer);
        self.attend(now);
    }

    pub(super) fn greet(
        &mut self,
        mut session: Session,
        peer: PeerId,
        input: &mut BytesMut,
        now: Instant,
    ) {
        let message = match session.prove(input, rlpx::MAX_BASE_FRAME) {
            Ok(true) => session.read(input, rlpx::MAX_BASE_FRAME),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        let message = match message {
            Ok(None) => return self.stage = Stage::Greeting(session, peer),
            Ok(Some(message)) => message,
            Err(error) => return self.refuse_frame(session, peer, error, now),
        };
        let outcome = capabilities::read_hello(&message, peer).and_then(|hello| {
            Ok((capabilities::match_modules(&self.local.modules, &hello)?, hello))
        });
        match outcome {
            Ok((mut shared, hello)) => {
                capabilities::move_offsets(&mut shared, &session);
                if hello.protocol_version >= P2P_VERSION {
                    session.enable_packing();
                }
                let capabilities = shared.iter().map(|shared| shared.module.capability).collect();
                self.events.push_back(ConnectionEvent::Greeted { hello, shared: capabilities });
                self.open(session, peer, shared, now);
            }
            Err(cause) => {
                self.stage = Stage::Greeting(session, peer);
                self.close(cause, now);
            }
        }
    }

    /// Opens a session with a node of FISCO, which says no Hello: of our modules it has `mesh`.
    pub(super) fn open_foreign(&mut self, session: Session, peer: PeerId, now: Instant) {
        let mut shared = capabilities::foreign_modules(&self.local.modules);
        capabilities::move_offsets(&mut shared, &session);
        if shared.is_empty() {
            self.stage = Stage::Greeting(session, peer);
            return self.close(ProtocolFault::Useless.into(), now);
        }
        self.open(session, peer, shared, now);
    }

    fn open(&mut self, session: Session, peer: PeerId, shared: Vec<SharedModule>, now: Instant) {
        let context = open::Context {
            peer,
            address: self.address,
            dialled: self.is_dialled(),
            link: &self.link,
        };
        self.stage = Stage::Open(Box::new(Open::new(session, &context, shared, now)));
        self.attend(now);
    }

    /// The first frame is bad.
    fn refuse_frame(&mut self, session: Session, peer: PeerId, error: SessionError, now: Instant) {
        let cause = CloseCause::from(error);
        if cause.is_handshake() {
            // Whoever is there does not have the keys: nobody could read a farewell.
            return self.finish(cause);
        }
        self.stage = Stage::Greeting(session, peer);
        self.close(cause, now);
    }
}
