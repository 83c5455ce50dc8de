//! What a receiver finds that is slower than those who send to it.

use chainmesh_identity::PeerId;
use chainmesh_proto::mesh::{Cast, Delivery};
use chainmesh_wire::mesh::ModuleId;

use super::*;

fn message(number: u8, size: usize) -> Message {
    let delivery = Delivery {
        gateway: PeerId::from_slice(&[number; 64]).unwrap(),
        source: bytes::Bytes::new(),
        cast: Cast::Broadcast,
        group: bytes::Bytes::new(),
        module: ModuleId(1),
        uuid: bytes::Bytes::new(),
        payload: vec![number; size].into(),
    };
    Message::new(delivery, None)
}

#[test]
fn the_oldest_is_dropped_and_counted() {
    let inbox = Inbox::default();
    for number in 0..=255 {
        inbox.push(message(number, INBOX_BYTES / 4));
    }
    assert_eq!(inbox.missed(), 252);
    let rest: Vec<u8> = core::iter::from_fn(|| inbox.try_next()).map(|m| m.payload[0]).collect();
    assert_eq!(rest, [252, 253, 254, 255]);
    assert_eq!(inbox.lock().bytes, 0);
}

#[test]
fn empty_messages_are_bounded_too() {
    let inbox = Inbox::default();
    (0..INBOX_MESSAGES + 3).for_each(|_| inbox.push(message(1, 0)));
    assert_eq!(inbox.missed(), 3);
    assert_eq!(core::iter::from_fn(|| inbox.try_next()).count(), INBOX_MESSAGES);
}

#[test]
fn a_message_that_is_too_large_for_the_queue_is_taken_alone() {
    let inbox = Inbox::default();
    inbox.push(message(1, 10));
    inbox.push(message(2, INBOX_BYTES + 1));
    assert_eq!(inbox.missed(), 1);
    assert_eq!(inbox.try_next().unwrap().payload.len(), INBOX_BYTES + 1);
    assert!(inbox.try_next().is_none());
}

#[tokio::test]
async fn what_waits_at_the_end_is_still_given_out() {
    let inbox = Inbox::default();
    inbox.push(message(1, 1));
    inbox.end();
    inbox.push(message(2, 1));
    assert_eq!(inbox.next().await.unwrap().payload, [1_u8].as_slice());
    assert!(inbox.next().await.is_none());
    assert!(inbox.next().await.is_none());
}
