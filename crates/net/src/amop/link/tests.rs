//! What waits for an SDK that does not read.

use super::*;

fn push(size: usize) -> SdkCommand {
    let data = vec![7; size].into();
    SdkCommand::Push(AmopCast::Unicast, Message::new(Bytes::new(), "t".into(), data))
}

fn done(size: usize) -> SdkCommand {
    let message = Message::new(Bytes::new(), "t".into(), Bytes::new());
    SdkCommand::Done(AmopCast::Unicast, message, Ok(vec![7; size].into()))
}

#[test]
fn a_full_queue_takes_no_messages_and_tells_when_there_is_room() {
    let queue = Queue::default();
    // One message may be larger than all that is allowed.
    assert!(queue.push(push(QUEUE_BYTES + 1)));
    assert!(!queue.push(push(1)));
    queue.must(done(1));
    assert_eq!(queue.pop(), (Some(push(QUEUE_BYTES + 1)), true));
    assert_eq!(queue.pop(), (Some(done(1)), false));
    assert_eq!(queue.pop(), (None, false));
    assert_eq!(queue.lock().bytes, 0);
    assert!(queue.push(push(1)));
}

#[test]
fn room_is_told_at_half_the_limit_and_once() {
    let queue = Queue::default();
    let mut taken = 0;
    while queue.push(push(QUEUE_BYTES / 8)) {
        taken += 1;
    }
    assert_eq!(taken, 8, "each counts a little more than it says");
    let told: Vec<bool> = (0..taken).map(|_| queue.pop().1).collect();
    assert_eq!(told.iter().filter(|room| **room).count(), 1, "{told:?}");
    assert_eq!(told.iter().position(|room| *room), Some(4), "{told:?}");
}

/// A task that waited for its SDK to read once did not see that it was cut.
#[tokio::test]
async fn the_end_is_seen_beside_the_queue() {
    let queue = Queue::default();
    assert!(queue.push(push(1)));
    queue.must(SdkCommand::Close(SdkFault::TooSlow));
    // The permit is there for who looks later.
    queue.over.notified().await;
    assert_eq!(queue.pop().0, Some(SdkCommand::Close(SdkFault::TooSlow)));
}

#[test]
fn a_publisher_that_does_not_read_its_answers_is_cut() {
    let queue = Queue::default();
    for _ in 0..=HARD_LIMIT / QUEUE_BYTES {
        queue.must(done(QUEUE_BYTES));
    }
    let cut = Some(SdkCommand::Close(SdkFault::TooSlow));
    assert_eq!(queue.pop().0, cut);
    queue.must(done(1));
    assert!(queue.push(push(1)), "nobody is told of a queue that ends");
    assert_eq!((queue.pop().0, queue.lock().bytes), (cut, 0));
}
