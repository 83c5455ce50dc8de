//! What is held back, and for how long; nothing is lost or changes its place.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;

/// What has arrived, without waiting for more.
async fn arrived(stream: &mut DuplexStream) -> usize {
    let mut into = vec![0; 1024 * 1024];
    tokio::select! {
        biased;
        read = stream.read(&mut into) => read.unwrap(),
        () = core::future::ready(()) => 0,
    }
}

#[tokio::test]
async fn small_writes_leave_with_the_flush_and_no_buffer_stays() {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut stream = Gather::new(near);
    stream.write_all(b"before it begins").await.unwrap();
    assert_eq!(arrived(&mut far).await, 16);
    stream.begin();
    stream.write_all(&[1; 1000]).await.unwrap();
    stream.write_all(&[2; 1000]).await.unwrap();
    assert_eq!(arrived(&mut far).await, 0);
    stream.flush().await.unwrap();
    assert_eq!(arrived(&mut far).await, 2000);
    assert_eq!(stream.held.capacity(), 0);
}

#[tokio::test]
async fn no_more_than_its_measure_is_held_and_what_is_larger_is_not_copied() {
    let (near, mut far) = tokio::io::duplex(1024 * 1024);
    let mut stream = Gather::new(near);
    stream.begin();
    stream.write_all(&[1; MOST]).await.unwrap();
    assert_eq!(arrived(&mut far).await, 0);
    stream.write_all(&[2]).await.unwrap();
    assert_eq!(arrived(&mut far).await, MOST);
    stream.write_all(&[3; MOST + 1]).await.unwrap();
    assert_eq!(arrived(&mut far).await, 1 + MOST + 1);
}

#[tokio::test]
async fn the_end_takes_along_what_waits() {
    let (near, mut far) = tokio::io::duplex(1024);
    let mut stream = Gather::new(near);
    stream.begin();
    stream.write_all(b"the last words").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    far.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"the last words");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written and flushed when, through a pipe that takes little at a time.
    #[test]
    fn all_bytes_arrive_in_order(
        writes in prop::collection::vec((0..3 * MOST, any::<bool>()), 0..12),
        pipe in 1..5000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole: Vec<u8> = (0..writes.iter().map(|(size, _)| size).sum::<usize>())
            .map(|at| (at % 251) as u8)
            .collect();
        let got = runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(pipe);
            let sender = async {
                let mut stream = Gather::new(near);
                stream.begin();
                let mut rest = whole.as_slice();
                for (size, flush) in &writes {
                    let (now, later) = rest.split_at(*size);
                    rest = later;
                    stream.write_all(now).await.unwrap();
                    if *flush {
                        stream.flush().await.unwrap();
                    }
                }
                stream.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let (_, read) = tokio::join!(sender, far.read_to_end(&mut got));
            read.unwrap();
            got
        });
        prop_assert!(got == whole);
    }
}
