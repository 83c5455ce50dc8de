//! The mesh as a module of a node, over real connections in virtual time.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chainmesh_wire::devp2p::DisconnectReason;

use super::network::{group, millis, unicast_to};
use crate::mesh::{
    Broadcast, Delivery, MODULE_SEND, MeshConfig, MeshEvent, MeshModule, MeshSink, Outcome,
    Settled, Unicast,
};
use crate::session::SessionKind;
use crate::session::testing::{ACCEPTOR, ALL, DIALLER, Pair, Recorder, key};
use crate::time::Instant;

#[derive(Default)]
struct Sink {
    now: AtomicU64,
    wakes: AtomicUsize,
    delivered: Mutex<Vec<Delivery>>,
    settled: Mutex<Vec<Settled>>,
    events: Mutex<Vec<MeshEvent>>,
}

impl MeshSink for Sink {
    fn now(&self) -> Instant {
        Instant::from_micros(self.now.load(Relaxed))
    }

    fn wake(&self) {
        self.wakes.fetch_add(1, Relaxed);
    }

    fn deliver(&self, delivery: Delivery) {
        self.delivered.lock().unwrap().push(delivery);
    }

    fn settled(&self, settled: Settled) {
        self.settled.lock().unwrap().push(settled);
    }

    fn event(&self, event: MeshEvent) {
        self.events.lock().unwrap().push(event);
    }
}

struct Bed {
    pair: Pair,
    meshes: [MeshModule; 2],
    sinks: [Arc<Sink>; 2],
}

impl Bed {
    fn new(kind: SessionKind) -> Self {
        let sinks = [Arc::new(Sink::default()), Arc::default()];
        let mesh = |side: usize| {
            let config = MeshConfig::new(key(side as u8).peer_id().into());
            let sink: Arc<dyn MeshSink> = Arc::<Sink>::clone(&sinks[side]);
            MeshModule::new(config, [side as u8; 32], sink)
        };
        let meshes = [mesh(DIALLER), mesh(ACCEPTOR)];
        let modules = meshes.each_ref().map(|mesh| vec![mesh.module().unwrap()]);
        let pair = Pair::new(kind, modules);
        let mut bed = Self { pair, meshes, sinks };
        bed.run_for(millis(200));
        bed
    }

    /// Connections and machines, in steps of a millisecond.
    fn run_for(&mut self, time: Duration) {
        for _ in 0..time.as_millis() {
            self.pair.run_for(millis(1));
            let now = self.pair.now;
            for (mesh, sink) in self.meshes.iter().zip(&self.sinks) {
                sink.now.store(now.as_micros(), Relaxed);
                if mesh.poll_timeout().is_some_and(|at| at <= now) {
                    mesh.handle_timeout();
                }
            }
        }
    }
}

#[test]
fn messages_travel_over_every_kind_of_session() {
    for kind in ALL {
        let mut bed = Bed::new(kind);
        let [a, b] = [DIALLER, ACCEPTOR].map(|side| bed.meshes[side].snapshot());
        assert_eq!(a.members[0].name, b.name);
        assert_eq!(a.members[0].distance, Some(1));
        assert_eq!(b.sessions[0].version.number(), 3);
        let payload = Bytes::from(vec![7; 100_000]);
        let message = Unicast { payload: payload.clone(), ..unicast_to(b.name, b"") };
        let id = bed.meshes[DIALLER].unicast(message);
        let message = Broadcast { group: group(), module: MODULE_SEND, payload: payload.clone() };
        bed.meshes[DIALLER].broadcast(message);
        bed.run_for(millis(300));
        let delivered = bed.sinks[ACCEPTOR].delivered.lock().unwrap();
        assert_eq!(delivered.len(), 2, "{kind:?}");
        assert!(delivered.iter().all(|delivery| delivery.payload == payload));
        let settled = bed.sinks[DIALLER].settled.lock().unwrap();
        let end = settled.iter().find(|settled| settled.id == id).unwrap();
        assert_eq!(end.result, Ok(Outcome::Delivered { gateway: b.name }));
        assert_eq!(bed.meshes[DIALLER].way_to(b"group0", &b.name).unwrap().id(), b.name);
    }
}

/// The driver is told when it has to look at the clock earlier, and only then.
#[test]
fn the_driver_is_woken_for_an_earlier_time() {
    let bed = Bed::new(SessionKind::Clear);
    let (mesh, sink) = (&bed.meshes[DIALLER], &bed.sinks[DIALLER]);
    assert!(mesh.poll_timeout().is_some());
    let before = sink.wakes.load(Relaxed);
    let _ = mesh.snapshot();
    mesh.set_limits(Default::default());
    assert_eq!(sink.wakes.load(Relaxed), before);
    let id = bed.meshes[ACCEPTOR].snapshot().name;
    let message = Unicast { reply_within: None, ..unicast_to(id, b"x") };
    let at = mesh.poll_timeout();
    mesh.unicast(message);
    assert!(mesh.poll_timeout() <= at);
    assert_eq!(sink.wakes.load(Relaxed), before, "ten seconds are later than the next period");
}

#[test]
fn the_end_of_a_session_is_the_end_of_the_way() {
    let mut bed = Bed::new(SessionKind::Clear);
    bed.pair.sides[ACCEPTOR].link().close(DisconnectReason::Requested);
    bed.run_for(millis(300));
    for side in [DIALLER, ACCEPTOR] {
        let report = bed.meshes[side].snapshot();
        assert!(report.sessions.is_empty());
        assert_eq!(report.members[0].distance, None);
        let events = bed.sinks[side].events.lock().unwrap();
        assert!(events.iter().any(|event| matches!(event, MeshEvent::Lost { .. })));
    }
}

/// Bytes that are no packet end the session with what was wrong.
#[test]
fn a_bad_packet_ends_the_session_with_its_reason() {
    let sink = Arc::new(Sink::default());
    let config = MeshConfig::new(key(ACCEPTOR as u8).peer_id().into());
    let mesh = MeshModule::new(config, [1; 32], Arc::<Sink>::clone(&sink));
    let liar = Recorder::default().on_peer(|peer| {
        peer.send(0, Bytes::from_static(&[0, 0, 0, 14, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0])).unwrap();
    });
    let modules = [vec![liar.module("mesh", 1, 1)], vec![mesh.module().unwrap()]];
    let mut pair = Pair::new(SessionKind::Clear, modules);
    pair.run_for(millis(300));
    let cause = pair.sides[ACCEPTOR].cause().unwrap();
    assert!(cause.contains("packet version 9, the highest known is 3"), "{cause}");
    assert_eq!(pair.sides[ACCEPTOR].reason(), Some(DisconnectReason::SubprotocolError));
    assert!(mesh.snapshot().sessions.is_empty());
}
