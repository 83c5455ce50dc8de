//! Modules: messages of every size, both ways, over every kind of session.

use chainmesh_net::{Bytes, SendError, SessionKind};

use crate::support::{connected, disconnected, next_answer, next_peer, node};

async fn round_trips(kind: SessionKind) {
    let (a, mut seen_a) = node(1, |config| config.session = kind).await;
    let boot = a.enode().unwrap();
    let (b, mut seen_b) = node(2, |config| {
        config.session = kind;
        config.boot_nodes.push(boot);
    })
    .await;
    let to_b = next_peer(&mut seen_a).await;
    let to_a = next_peer(&mut seen_b).await;
    assert_eq!((to_a.id(), to_b.id()), (a.local_id, b.local_id));
    assert!(to_a.is_dialled() && !to_b.is_dialled());
    for (peer, seen) in [(&to_a, &mut seen_b), (&to_b, &mut seen_a)] {
        for size in [0, 1, 15, 16, 17, 1000, 70_000, 1_000_000, 16_000_000] {
            // Half of it repeats, half does not: both ways of packing are used.
            let message: Bytes = (0..size)
                .map(|at: u32| if at < size / 2 { 7 } else { at.wrapping_mul(2_654_435_761) as u8 })
                .collect();
            peer.send(0, message.clone()).unwrap();
            assert_eq!(next_answer(seen).await, message, "{size}");
        }
    }
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test]
async fn messages_of_every_size_over_rlpx() {
    round_trips(SessionKind::Rlpx).await;
}

#[tokio::test]
async fn messages_of_every_size_over_tls() {
    round_trips(SessionKind::Tls).await;
}

#[tokio::test]
async fn messages_of_every_size_in_the_clear() {
    round_trips(SessionKind::Clear).await;
}

#[tokio::test]
async fn what_no_session_carries_is_refused_at_once() {
    let (a, mut seen_a) = node(1, |_| {}).await;
    let boot = a.enode().unwrap();
    let (_b, _seen_b) = node(2, |config| config.boot_nodes.push(boot)).await;
    let peer = next_peer(&mut seen_a).await;
    let large = Bytes::from(vec![0; 17 << 20]);
    assert_eq!(peer.send(0, large), Err(SendError::TooLarge(17 << 20)));
    assert_eq!(peer.send(3, Bytes::new()), Err(SendError::Code { code: 3, count: 3 }));
}

#[tokio::test]
async fn an_error_of_a_module_ends_the_session() {
    let (a, mut seen_a) = node(1, |_| {}).await;
    let mut events = a.subscribe();
    let boot = a.enode().unwrap();
    let (b, _seen_b) = node(2, |config| config.boot_nodes.push(boot)).await;
    let peer = next_peer(&mut seen_a).await;
    assert_eq!(connected(&mut events).await, b.local_id);
    peer.send(2, Bytes::new()).unwrap();
    assert_eq!(disconnected(&mut events).await, b.local_id);
    assert_eq!(peer.ready().await, Err(SendError::Closed));
    assert_eq!(peer.send(0, Bytes::new()), Err(SendError::Closed));
    // The boot node is dialled again.
    assert_eq!(connected(&mut events).await, b.local_id);
}

/// More than the kernel takes at once waits in the queue. A connection that could not write went
/// around for ever, because something was queued, and kept its whole thread from anything else.
#[tokio::test]
async fn a_full_queue_does_not_keep_the_connection_awake() {
    const COUNT: usize = 900;
    let (a, mut seen_a) = node(1, |_| {}).await;
    let boot = a.enode().unwrap();
    let (_b, mut seen_b) = node(2, |config| config.boot_nodes.push(boot)).await;
    let peer = next_peer(&mut seen_a).await;
    let message: Bytes =
        (0..64 * 1024_u32).map(|at| at.wrapping_mul(2_654_435_761) as u8).collect();
    let mut full = 0;
    for _ in 0..COUNT {
        while peer.send(1, message.clone()) == Err(SendError::Full) {
            full += 1;
            peer.ready().await.unwrap();
        }
    }
    assert!(full > 0, "the queue was never full");
    for _ in 0..COUNT {
        assert_eq!(next_answer(&mut seen_b).await, message);
    }
}
