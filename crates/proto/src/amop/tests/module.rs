//! The broker behind the lock of the mesh, over real connections in virtual time.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::network::millis;
use crate::amop::{
    AmopCast, AmopConfig, AmopFailure, Input, Message, Output, QueueFull, SdkKind, SdkSession,
    SdkSink,
};
use crate::mesh::{Delivery, MeshConfig, MeshEvent, MeshModule, MeshSink, Settled};
use crate::session::testing::{ACCEPTOR, ALL, DIALLER, Pair, key};
use crate::time::Instant;

#[derive(Default)]
struct Clock(AtomicU64);

impl MeshSink for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Relaxed))
    }

    fn wake(&self) {}

    fn deliver(&self, _delivery: Delivery) {}

    fn settled(&self, _settled: Settled) {}

    fn event(&self, _event: MeshEvent) {}
}

/// What the SDKs of a node were told.
#[derive(Default)]
struct Sdks {
    told: Mutex<Vec<Output>>,
    full: Mutex<BTreeSet<SdkSession>>,
}

impl SdkSink for Sdks {
    fn carry_out(&self, output: Output) -> Result<(), QueueFull> {
        if let Output::Push { session, .. } = &output
            && self.full.lock().unwrap().contains(session)
        {
            return Err(QueueFull);
        }
        self.told.lock().unwrap().push(output);
        Ok(())
    }
}

struct Bed {
    pair: Pair,
    meshes: [MeshModule; 2],
    clocks: [Arc<Clock>; 2],
    sdks: [Arc<Sdks>; 2],
}

impl Bed {
    fn new(kind: crate::session::SessionKind) -> Self {
        let clocks = [Arc::new(Clock::default()), Arc::default()];
        let sdks = [Arc::new(Sdks::default()), Arc::default()];
        let mesh = |side: usize| {
            let id = key(side as u8).peer_id();
            let clock: Arc<dyn MeshSink> = Arc::<Clock>::clone(&clocks[side]);
            let sdks: Arc<dyn SdkSink> = Arc::<Sdks>::clone(&sdks[side]);
            let amop = AmopConfig::new(id);
            MeshModule::with_broker(MeshConfig::new(id.into()), [side as u8; 32], clock, amop, sdks)
        };
        let meshes = [mesh(DIALLER), mesh(ACCEPTOR)];
        let modules = meshes.each_ref().map(|mesh| vec![mesh.module().unwrap()]);
        let pair = Pair::new(kind, modules);
        let mut bed = Self { pair, meshes, clocks, sdks };
        bed.run_for(millis(200));
        bed
    }

    fn run_for(&mut self, time: Duration) {
        for _ in 0..time.as_millis() {
            self.pair.run_for(millis(1));
            let now = self.pair.now;
            for (mesh, clock) in self.meshes.iter().zip(&self.clocks) {
                clock.0.store(now.as_micros(), Relaxed);
                if mesh.poll_timeout().is_some_and(|at| at <= now) {
                    mesh.handle_timeout();
                }
            }
        }
    }

    fn open(&self, side: usize, session: u64, topics: &[&str]) -> SdkSession {
        let (session, kind) = (SdkSession(session), SdkKind::WebSocket);
        self.meshes[side].amop(Input::Opened { session, kind, identity: Bytes::new() });
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.meshes[side].amop(Input::Subscribe { session, topics });
        session
    }

    fn take(&self, side: usize) -> Vec<Output> {
        core::mem::take(&mut *self.sdks[side].told.lock().unwrap())
    }
}

fn message() -> Message {
    Message::new("seq".into(), "t".into(), vec![7; 100_000].into())
}

#[test]
fn a_unicast_and_its_answer_over_every_kind_of_session() {
    for kind in ALL {
        let mut bed = Bed::new(kind);
        let subscriber = bed.open(ACCEPTOR, 1, &["t"]);
        let session = bed.open(DIALLER, 2, &[]);
        bed.run_for(millis(200));
        let cast = AmopCast::Unicast;
        bed.meshes[DIALLER].amop(Input::Publish { session, cast, message: message() });
        bed.run_for(millis(200));
        let mut told = bed.take(ACCEPTOR);
        let Some(Output::Push { session: pushed, message: got, .. }) = told.pop() else {
            panic!("{kind:?}: no push");
        };
        assert_eq!((pushed, &got.data), (subscriber, &message().data));
        let answer = Input::Answer { session: pushed, seq: got.seq, result: Ok("ok".into()) };
        bed.meshes[ACCEPTOR].amop(answer);
        bed.run_for(millis(200));
        let done = Output::Done { session, cast, message: message(), result: Ok("ok".into()) };
        assert_eq!(bed.take(DIALLER), [done], "{kind:?}");
        assert_eq!(bed.meshes[DIALLER].amop_counters().unwrap().delivered, 1);
        assert_eq!(bed.meshes[DIALLER].amop_snapshot().unwrap().waiting, 0);
    }
}

#[test]
fn a_full_queue_is_told_to_the_broker_at_once() {
    let mut bed = Bed::new(crate::session::SessionKind::Clear);
    let full = bed.open(DIALLER, 1, &["t"]);
    let session = bed.open(DIALLER, 2, &[]);
    bed.sdks[DIALLER].full.lock().unwrap().insert(full);
    let cast = AmopCast::Unicast;
    bed.meshes[DIALLER].amop(Input::Publish { session, cast, message: message() });
    let result = Err(AmopFailure::Unreachable);
    let done = Output::Done { session, cast, message: message(), result };
    assert_eq!(bed.take(DIALLER).last(), Some(&done));
    assert!(bed.meshes[DIALLER].amop_snapshot().unwrap().sessions[0].slow);
    // The broker's clock is driven with the mesh's: the slow one is cut in time.
    bed.run_for(crate::amop::SLOW_TIMEOUT + millis(1));
    let fault = crate::amop::SdkFault::TooSlow;
    assert!(bed.take(DIALLER).contains(&Output::Close { session: full, fault }));
}
