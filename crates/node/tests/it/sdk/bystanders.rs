//! SDKs of both generations that behave well while others do not: not one of their messages is lost
//! or late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chainmesh_wire::amop::channel::{FrameType, ResultCode};
use chainmesh_wire::amop::ws::WsType;

use super::Two;
use super::client::{Sdk2, Sdk3, echoed};
use crate::support::wait_until;

/// A subscriber that is silent for this long is passed over (`SUBSCRIBER_TIMEOUT`): nothing of theirs
/// may take as long.
const LATE: Duration = Duration::from_secs(5);

pub(crate) struct Bystanders {
    over: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    task: Option<JoinHandle<Duration>>,
}

struct Four {
    publisher: Sdk2,
    here: Sdk2,
    new: Sdk3,
    there: Sdk2,
}

impl Bystanders {
    /// A publisher and subscribers of both generations at the first node, and one at the second.
    pub(crate) fn start(two: &Two) -> Self {
        let (publisher, mut here, mut there) = (two.sdk2(0), two.sdk2(0), two.sdk2(1));
        let mut new = two.sdk3(0);
        here.subscribe(&["here", "all"]);
        new.subscribe(&["new", "all"]);
        there.subscribe(&["there", "all"]);
        two.followed(0, "there", 1, 0);
        two.followed(0, "all", 1, 2);
        let (over, rounds) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (until, counted) = (Arc::clone(&over), Arc::clone(&rounds));
        let mut four = Four { publisher, here, new, there };
        let task = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !until.load(SeqCst) {
                let began = Instant::now();
                four.round(counted.load(SeqCst));
                slowest = slowest.max(began.elapsed());
                counted.fetch_add(1, SeqCst);
            }
            slowest
        });
        Self { over, rounds, task: Some(task) }
    }

    /// Waits until they have exchanged all their messages twice more: once from beginning to end.
    pub(crate) fn go_on(&self) {
        let before = self.rounds.load(SeqCst);
        wait_until("the others go on", || {
            let ended = self.task.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(!ended, "the others could not go on");
            (self.rounds.load(SeqCst) >= before + 2).then_some(())
        });
    }

    /// Ends them; none of their messages was lost or late.
    pub(crate) fn end(mut self) {
        self.go_on();
        self.over.store(true, SeqCst);
        let slowest = self.task.take().unwrap().join().unwrap();
        assert!(slowest < LATE, "a round of theirs took {slowest:?}");
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
    }
}

impl Four {
    /// A message to each, which is answered, and one to all of them.
    fn round(&mut self, number: usize) {
        let said = number.to_string().into_bytes();
        let Self { publisher, here, new, there } = self;
        for (topic, sdk) in [("here", here), ("there", there)] {
            let seq = publisher.publish(FrameType::AmopRequest, topic, &said);
            assert_eq!(sdk.echo(FrameType::AmopRequest), (topic.to_owned(), said.clone().into()));
            assert_eq!(publisher.answer(seq), (ResultCode(0), echoed(topic, &said)));
        }
        let seq = publisher.publish(FrameType::AmopRequest, "new", &said);
        assert_eq!(new.echo(WsType::AmopRequest).data, said);
        assert_eq!(publisher.answer(seq), (ResultCode(0), echoed("new", &said)));

        let seq = publisher.publish(FrameType::AmopMulticast, "all", &said);
        assert_eq!(publisher.answer(seq).0, ResultCode(0));
        assert_eq!(self.here.echo(FrameType::AmopMulticast).1, said);
        assert_eq!(self.there.echo(FrameType::AmopMulticast).1, said);
        assert_eq!(self.new.echo(WsType::AmopBroadcast).data, said);
    }
}
