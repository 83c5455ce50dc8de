//! What waits to be sent, and what waits to be answered.

use std::sync::Mutex;

use super::*;
use crate::session::{Class, MAX_HOLDS, MAX_QUEUED, SendError};

fn open(recorder: &Recorder) -> Raw {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![recorder.module("t", 1, 8)]);
    raw.greet(5, &[("t", 1)]);
    raw
}

fn codes(raw: &mut Raw) -> Vec<u64> {
    core::iter::from_fn(|| raw.next()).map(|message| message.code - 0x10).collect()
}

#[test]
fn control_goes_before_blocks_and_blocks_before_gossip() {
    let recorder = Recorder::default();
    let mut raw = open(&recorder);
    let peer = recorder.context("t");
    for (class, code) in [
        (Class::Gossip, 5),
        (Class::Blocks, 3),
        (Class::Control, 1),
        (Class::Gossip, 6),
        (Class::Blocks, 4),
        (Class::Control, 2),
    ] {
        peer.send_as(class, code, payload(10)).unwrap();
    }
    raw.wait(Duration::ZERO);
    assert_eq!(codes(&mut raw), [1, 2, 3, 4, 5, 6]);
}

/// An urgent message overtakes what is queued, not what is sealed already: at most 64 KiB, and
/// the batch that was taken from the queue at once.
#[test]
fn an_urgent_message_does_not_wait_for_the_queue() {
    let recorder = Recorder::default();
    let mut raw = open(&recorder);
    let peer = recorder.context("t");
    raw.side.writable = false;
    for _ in 0..200 {
        peer.send_as(Class::Gossip, 0, random(10_000)).unwrap();
    }
    raw.wait(Duration::ZERO);
    peer.send_as(Class::Control, 7, Bytes::new()).unwrap();
    raw.side.writable = true;
    raw.wait(Duration::ZERO);
    let codes = codes(&mut raw);
    assert_eq!(codes.len(), 201);
    let at = codes.iter().position(|code| *code == 7).unwrap();
    assert!(at < 20, "{at} messages before it");
}

fn random(size: usize) -> Bytes {
    use rand_core::{Rng, SeedableRng};
    let mut bytes = vec![0; size];
    rand_chacha::ChaCha8Rng::seed_from_u64(size as u64).fill_bytes(&mut bytes);
    bytes.into()
}

/// Found by reading: while the network took nothing and something was queued, the driver was told
/// to go around again, for ever.
#[test]
fn a_driver_sleeps_while_the_network_takes_nothing() {
    let recorder = Recorder::default();
    let mut raw = open(&recorder);
    let peer = recorder.context("t");
    raw.side.writable = false;
    for _ in 0..100 {
        peer.send(0, random(10_000)).unwrap();
    }
    // Panics if it does not sleep.
    raw.wait(Duration::ZERO);
    assert!(raw.side.output.len() < 80 * 1024, "{} bytes sealed ahead", raw.side.output.len());
    // More messages do not wake it: there is nothing that it could do.
    let rings = raw.side.bell.rings();
    peer.send(0, payload(10)).unwrap();
    peer.send_as(Class::Gossip, 0, payload(10)).unwrap();
    assert_eq!(raw.side.bell.rings(), rings);
    // Orders do.
    raw.side.link().close(DisconnectReason::Requested);
    assert_eq!(raw.side.bell.rings(), rings + 1);
}

#[test]
fn gossip_drops_the_oldest_when_the_queue_is_full() {
    let recorder = Recorder::default();
    let mut raw = open(&recorder);
    let peer = recorder.context("t");
    raw.side.writable = false;
    raw.wait(Duration::ZERO);
    let megabyte = random((1 << 20) - 64);
    for number in 0..40u32 {
        peer.send_as(Class::Gossip, number % 8, megabyte.slice(number as usize..)).unwrap();
        assert!(peer.queued() <= MAX_QUEUED);
    }
    assert!(raw.side.link().dropped() >= 23, "{}", raw.side.link().dropped());
    raw.side.writable = true;
    raw.wait(Duration::ZERO);
    let sizes: Vec<_> = core::iter::from_fn(|| raw.next())
        .map(|message| megabyte.len() - message.payload.len())
        .collect();
    assert_eq!(*sizes.last().unwrap(), 39, "the newest is there");
    assert!(sizes.is_sorted(), "in order");
    assert_eq!(sizes.len() as u64 + raw.side.link().dropped(), 40);
}

#[test]
fn blocks_are_refused_when_the_queue_is_full_and_there_is_room_again_later() {
    let recorder = Recorder::default();
    let mut raw = open(&recorder);
    let peer = recorder.context("t");
    raw.side.writable = false;
    let megabyte = random(1 << 20);
    let sent = (0..20).take_while(|_| peer.send(0, megabyte.clone()).is_ok()).count();
    assert_eq!(sent, 15);
    assert_eq!(peer.send(0, megabyte.clone()), Err(SendError::Full));
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut ready = core::pin::pin!(peer.ready());
    let mut context = core::task::Context::from_waker(&waker);
    assert!(ready.as_mut().poll(&mut context).is_pending());
    raw.side.writable = true;
    raw.wait(Duration::ZERO);
    assert!(bell.rings() >= 1);
    assert_eq!(ready.as_mut().poll(&mut context), core::task::Poll::Ready(Ok(())));
    assert_eq!(peer.send(0, megabyte), Ok(()));
}

#[test]
fn control_messages_that_find_no_room_cut_a_slow_reader() {
    let recorder = Recorder::default();
    let mut raw = open(&recorder);
    let peer = recorder.context("t");
    raw.side.writable = false;
    while peer.send(0, random(1 << 20)).is_ok() {}
    while peer.send(0, random(1 << 10)).is_ok() {}
    assert_eq!(peer.send_as(Class::Control, 0, random(1 << 10)), Err(SendError::Closed));
    assert_eq!(peer.send(0, Bytes::new()), Err(SendError::Closed));
    raw.wait(Duration::ZERO);
    assert!(matches!(
        raw.side.events.last(),
        Some(ConnectionEvent::Closed(CloseCause::SlowReader))
    ));
    assert_eq!(recorder.closed().len(), 1);
    assert_eq!(peer.queued(), 0, "what waited is dropped");
}

/// Four requests that are answered elsewhere stop the reading; the fifth message waits.
#[test]
fn holds_pause_reading_and_their_end_wakes_it() {
    let holds = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&holds);
    let recorder = Recorder::default().on_message(move |peer, _, _| {
        keep.lock().unwrap().push(peer.hold_reading());
        Ok(())
    });
    let mut raw = open(&recorder);
    for _ in 0..MAX_HOLDS + 3 {
        raw.send(0x10, b"request");
    }
    assert_eq!(recorder.messages().len(), MAX_HOLDS);
    assert!(raw.side.machine.is_reading_paused() && !raw.side.machine.is_closing());
    assert!(!raw.side.input.is_empty());
    // Found by reading: each further call let one more message through.
    let now = raw.now;
    for _ in 0..5 {
        raw.side.machine.attend(now);
        raw.side.machine.receive(now, &mut raw.side.input);
    }
    assert_eq!(recorder.messages().len(), MAX_HOLDS);
    raw.wait(Duration::ZERO);
    let rings = raw.side.bell.rings();
    let one = holds.lock().unwrap().pop();
    drop(one);
    assert_eq!(raw.side.bell.rings(), rings + 1);
    raw.wait(Duration::ZERO);
    assert_eq!(recorder.messages().len(), MAX_HOLDS + 1);
    holds.lock().unwrap().clear();
    raw.wait(Duration::ZERO);
    assert_eq!(recorder.messages().len(), MAX_HOLDS + 3);
}

/// CVE-2023-40591 (geth before 1.12.1): each Ping cost a goroutine.
#[test]
fn cve_2023_40591_a_flood_of_pings_is_answered_within_bounds() {
    let mut raw = open(&Recorder::default());
    raw.side.writable = false;
    let mut most = 0;
    for _ in 0..20_000 {
        raw.send(code::PING, EMPTY_LIST);
        most = most.max(raw.side.output.len());
    }
    assert!(most < 65 * 1024, "{most} bytes of Pongs");
    assert_eq!(raw.side.story(), "AGE");
    raw.side.writable = true;
    raw.wait(Duration::ZERO);
    assert!(core::iter::from_fn(|| raw.next()).all(|message| message.code == code::PONG));
}

/// Many Pings in one read get one Pong.
#[test]
fn pings_that_come_together_get_one_pong() {
    let mut raw = open(&Recorder::default());
    let mut wire = BytesMut::new();
    for _ in 0..1000 {
        raw.session.write(code::PING, EMPTY_LIST, &mut wire);
    }
    raw.send_bytes(&wire);
    let pongs = core::iter::from_fn(|| raw.next()).count();
    assert_eq!(pongs, 1);
    raw.send(code::PING, EMPTY_LIST);
    assert_eq!(raw.next().map(|message| message.code), Some(code::PONG));
}
