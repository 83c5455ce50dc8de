//! The queue's accounts, and wake-ups: whatever the order of things, nothing is slept over.

use core::sync::atomic::AtomicU32;

use proptest::prelude::*;

use super::*;
use crate::session::testing::Bell;

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell::default());
    (Arc::clone(&bell), Waker::from(bell))
}

fn bytes(size: usize) -> Bytes {
    Bytes::from(vec![0; size])
}

fn drain(link: &Link) -> Vec<Outgoing> {
    let mut all = VecDeque::new();
    while link.take(&mut all, 64, 64 * 1024) {}
    all.into()
}

#[test]
fn who_runs_is_not_woken_and_who_sleeps_is_woken_once() {
    let (link, (bell, waker)) = (Link::default(), bell());
    let seen = link.attend();
    link.queue(Class::Blocks, 1, None, bytes(1)).unwrap();
    assert!(!link.sleep(&waker, seen, false), "something came in");
    assert_eq!(bell.rings(), 0);
    drain(&link);
    assert!(link.sleep(&waker, seen, false));
    link.queue(Class::Gossip, 1, None, bytes(1)).unwrap();
    link.queue(Class::Control, 1, None, bytes(1)).unwrap();
    link.admit();
    assert_eq!(bell.rings(), 1, "once until it has attended");
}

#[test]
fn every_order_between_a_look_and_sleep_keeps_the_task_awake() {
    let orders: [fn(&Link); 5] = [
        Link::admit,
        Link::probe,
        Link::begin_handshake,
        |link| link.close(DisconnectReason::Requested),
        |link| link.queue(Class::Gossip, 0, None, Bytes::new()).unwrap(),
    ];
    for order in orders {
        let (link, (bell, waker)) = (Link::default(), bell());
        let seen = link.attend();
        order(&link);
        assert!(!link.sleep(&waker, seen, false));
        // And one that comes later wakes it.
        let link = Link::default();
        assert!(link.sleep(&waker, link.attend(), false));
        order(&link);
        assert_eq!(bell.rings(), 1);
    }
}

#[test]
fn a_dropped_hold_wakes_a_paused_task() {
    let (link, (bell, waker)) = (Arc::new(Link::default()), bell());
    let holds: Vec<_> = (0..MAX_HOLDS).map(|_| link.hold()).collect();
    let seen = link.attend();
    assert!(seen.paused && link.sleep(&waker, seen, false));
    drop(holds);
    assert_eq!(bell.rings(), 1);
    assert!(!link.attend().paused);
}

#[test]
fn the_first_reason_for_a_close_counts() {
    let link = Link::default();
    link.close(DisconnectReason::TooManyPeers);
    link.close(DisconnectReason::Requested);
    assert_eq!(link.attend().close, Some(CloseOrder::Asked(DisconnectReason::TooManyPeers)));
}

fn poll(link: &Link, waker: &Waker) -> Poll<Result<(), SendError>> {
    link.poll_ready(&Context::from_waker(waker))
}

/// Found by reading: dropped gossip brought the queue below half without waking anybody, and what
/// was taken later did not cross the half any more.
#[test]
fn a_sender_that_waits_is_woken_although_gossip_was_dropped() {
    let (link, (bell, waker)) = (Link::default(), bell());
    link.queue(Class::Gossip, 0, None, bytes(MAX_QUEUED - 1000)).unwrap();
    assert!(poll(&link, &waker).is_pending());
    link.queue(Class::Gossip, 1, None, bytes(2000)).unwrap();
    assert_eq!(link.dropped(), 1);
    assert_eq!(drain(&link).len(), 1);
    assert_eq!(bell.rings(), 1);
    assert!(poll(&link, &waker).is_ready());
}

/// Found by reading: a large message was refused as long as anything was queued, while `ready` said
/// that there was room: its sender went around in circles.
#[test]
fn ready_means_that_what_was_refused_will_be_taken() {
    let (link, (bell, waker)) = (Link::default(), bell());
    link.queue(Class::Blocks, 0, None, bytes(1 << 20)).unwrap();
    link.queue(Class::Blocks, 0, None, bytes(1 << 20)).unwrap();
    let large = bytes(MAX_QUEUED - (1 << 20));
    assert_eq!(link.queue(Class::Blocks, 0, None, large.clone()), Err(SendError::Full));
    assert!(poll(&link, &waker).is_pending());
    let mut taken = VecDeque::new();
    link.take(&mut taken, 1, 1);
    assert_eq!(bell.rings(), 0);
    link.take(&mut taken, 1, 1);
    assert_eq!(bell.rings(), 1);
    assert_eq!(poll(&link, &waker), Poll::Ready(Ok(())));
    assert_eq!(link.queue(Class::Blocks, 0, None, large), Ok(()));
}

/// Found by reading: gossip that could not find room even so threw away all that waited.
#[test]
fn gossip_is_not_dropped_in_vain() {
    let link = Link::default();
    link.queue(Class::Blocks, 0, None, bytes(MAX_QUEUED - 10_000)).unwrap();
    link.queue(Class::Gossip, 1, None, bytes(1000)).unwrap();
    assert_eq!(link.queue(Class::Gossip, 2, None, bytes(20_000)), Err(SendError::Full));
    assert_eq!(link.dropped(), 0);
    assert_eq!(drain(&link).len(), 2);
}

#[test]
fn the_largest_message_finds_room_in_an_empty_queue_in_every_class() {
    for class in [Class::Control, Class::Blocks, Class::Gossip] {
        let link = Link::default();
        link.queue(class, 0, None, bytes(crate::session::MAX_PAYLOAD)).unwrap();
        assert_eq!(drain(&link).len(), 1);
        assert_eq!(link.queued(), 0);
    }
}

/// Empty messages cost something too.
#[test]
fn empty_messages_are_bounded() {
    let link = Link::default();
    let sent =
        (0..1_000_000).take_while(|_| link.queue(Class::Blocks, 0, None, Bytes::new()).is_ok());
    assert_eq!(sent.count(), MAX_QUEUED / ENTRY);
}

#[test]
fn senders_that_wait_are_told_of_the_end() {
    let (link, (bell, waker)) = (Link::default(), bell());
    link.queue(Class::Blocks, 0, None, bytes(MAX_QUEUED)).unwrap();
    assert!(poll(&link, &waker).is_pending());
    link.shut();
    assert_eq!(bell.rings(), 1);
    assert_eq!(poll(&link, &waker), Poll::Ready(Err(SendError::Closed)));
    assert_eq!(link.queue(Class::Blocks, 0, None, Bytes::new()), Err(SendError::Closed));
    assert_eq!(link.queued(), 0);
}

/// A waker that uses the link while it is called, as an executor does that runs tasks in place.
struct Reentrant(std::sync::OnceLock<Arc<Link>>, AtomicU32);

impl std::task::Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Relaxed);
        if let Some(link) = self.0.get() {
            let _ = link.dropped();
        }
    }
}

#[test]
fn no_waker_is_called_under_the_lock() {
    let link = Arc::new(Link::default());
    let reentrant = Arc::new(Reentrant(std::sync::OnceLock::new(), AtomicU32::new(0)));
    let _ = reentrant.0.set(Arc::clone(&link));
    let waker = Waker::from(Arc::clone(&reentrant));
    let sleeps = || assert!(link.sleep(&waker, link.attend(), true));
    sleeps();
    drop(link.hold());
    sleeps();
    link.probe();
    link.take_probe();
    link.queue(Class::Blocks, 0, None, bytes(MAX_QUEUED)).unwrap();
    assert!(poll(&link, &waker).is_pending());
    sleeps();
    assert!(link.queue(Class::Control, 0, None, bytes(MAX_QUEUED)).is_err());
    link.shut();
    assert_eq!(reentrant.1.load(Relaxed), 4);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Send(u8, usize),
    Order(u8),
    Hold,
    Release,
    Attend,
    Take,
    Sleep,
    Block,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u8..3, prop_oneof![0usize..100, 1_000_000usize..9_000_000])
            .prop_map(|(class, size)| Step::Send(class, size)),
        (0u8..4).prop_map(Step::Order),
        Just(Step::Hold),
        Just(Step::Release),
        Just(Step::Attend),
        Just(Step::Take),
        Just(Step::Sleep),
        Just(Step::Block),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// In any order of sends, orders, looks and sleeps: a task that sleeps either knows all that is
    /// wanted of it, or its bell has rung; a sender that waits is woken when there is room; and the
    /// accounts are right.
    #[test]
    fn nothing_is_slept_over(steps in steps()) {
        let (link, (bell, waker)) = (Arc::new(Link::default()), bell());
        let (sender_bell, sender) = self::bell();
        let mut seen = link.attend();
        let (mut asleep_since, mut blocked, mut waits_since) = (None, false, None);
        let mut holds = Vec::new();
        for step in steps {
            match step {
                Step::Send(class, size) => {
                    let class = [Class::Control, Class::Blocks, Class::Gossip][usize::from(class)];
                    if link.queue(class, 0, None, bytes(size)) == Err(SendError::Full)
                        && poll(&link, &sender).is_pending()
                    {
                        waits_since = Some(sender_bell.rings());
                    }
                }
                Step::Order(0) => link.admit(),
                Step::Order(1) => link.close(DisconnectReason::Requested),
                Step::Order(2) => link.begin_handshake(),
                Step::Order(_) => link.end_handshake(),
                Step::Hold => holds.push(link.hold()),
                Step::Release => drop(holds.pop()),
                // The task runs only if it is awake or was woken.
                Step::Attend if asleep_since.is_none_or(|rings| bell.rings() > rings) || blocked => {
                    seen = link.attend();
                    asleep_since = None;
                }
                Step::Take if asleep_since.is_none() => {
                    link.take(&mut VecDeque::new(), 1, 1);
                }
                Step::Sleep | Step::Block if asleep_since.is_none() => {
                    blocked = matches!(step, Step::Block);
                    let rings = bell.rings();
                    if link.sleep(&waker, seen, blocked) {
                        asleep_since = Some(rings);
                    }
                }
                _ => {}
            }
            if let Some(rings) = asleep_since && bell.rings() == rings {
                let state = link.lock();
                let idle = state.queues.iter().all(VecDeque::is_empty);
                prop_assert!(idle || blocked, "asleep over a message");
                prop_assert!(state.close == seen.close, "asleep over a close");
                prop_assert!(state.admitted == seen.admitted, "asleep over an admission");
                prop_assert!(state.handshakes == seen.handshakes, "asleep over a handshake");
                prop_assert!(!seen.paused || link.is_paused(), "asleep over the end of a hold");
            }
            let state = link.lock();
            let [control, blocks, gossip] =
                state.queues.each_ref().map(|queue| queue.iter().map(Outgoing::cost).sum::<usize>());
            prop_assert_eq!(control + blocks + gossip, state.queued);
            prop_assert_eq!(gossip, state.gossip);
            prop_assert_eq!(state.queued, link.queued());
            prop_assert!(state.queued <= MAX_QUEUED);
            if let Some(rings) = waits_since && sender_bell.rings() == rings && asleep_since.is_none()
                && matches!(step, Step::Take)
            {
                prop_assert!(!state.has_room(), "a sender waits although there is room");
            }
        }
    }
}
