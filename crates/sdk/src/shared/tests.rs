use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Wake;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{ACKNOWLEDGEMENTS, ReplyOrder, Shared};
use crate::face::AnswerTo;

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn reply() -> ReplyOrder {
    let to = AnswerTo::WebSocket(Bytes::new());
    ReplyOrder { connection: 1, to, topic: Bytes::new(), payload: Bytes::new() }
}

#[test]
fn whoever_stopped_reading_is_woken_once_there_is_room() {
    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    let shared = Shared::new(100, mpsc::channel(1).0);
    shared.waker.register(&Arc::clone(&wakes).into());
    shared.charge(60);
    assert!(shared.has_room());
    // One message may be above the limit.
    shared.charge(500);
    assert!(!shared.has_room());
    shared.release(60);
    assert_eq!(wakes.0.load(SeqCst), 0, "there is no room yet");
    shared.release(500);
    assert_eq!(wakes.0.load(SeqCst), 1);
    assert!(shared.has_room());
}

#[test]
fn acknowledgements_find_room_when_the_queue_is_full_and_are_bounded() {
    let (replies, _end) = mpsc::channel(1);
    let shared = Shared::new(100, replies);
    for _ in 0..ACKNOWLEDGEMENTS + 3 {
        shared.reply_now(reply());
    }
    assert_eq!(shared.take_left().len(), ACKNOWLEDGEMENTS);
    assert_eq!(shared.counting.read().replies_lost, 2, "one is in the queue");
    assert!(shared.take_left().is_empty());
}
