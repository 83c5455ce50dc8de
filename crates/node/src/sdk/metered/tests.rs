//! Large messages that do not come to their end.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A client that has sent so much, and its end of the connection.
async fn sent(meter: &Arc<Meter>, bytes: usize) -> (Metered, io::Result<usize>) {
    let (mut client, server) = tokio::io::duplex(bytes + 1);
    client.write_all(&vec![0; bytes]).await.unwrap();
    let mut stream = Metered::new(Box::new(server), Arc::clone(meter));
    let mut into = vec![0; bytes];
    let read = stream.read_exact(&mut into).await;
    (stream, read)
}

#[tokio::test]
async fn the_large_ones_are_refused_when_there_is_no_room_and_the_small_ones_are_not() {
    let meter = Arc::<Meter>::default();
    let (mut first, read) = sent(&meter, SHARE + 1).await;
    assert!(read.is_ok());
    // As if it and others had sent all that there is room for.
    first.holds(UNFINISHED);
    let (small, read) = sent(&meter, SHARE).await;
    assert!(read.is_ok(), "a small one passes");
    let (large, read) = sent(&meter, SHARE + 1).await;
    let error = read.unwrap_err();
    assert!(error.get_ref().unwrap().is::<NoRoom>(), "{error}");
    drop(large);
    // When a message is whole there is room again, and what is gone holds nothing.
    first.holds(0);
    let (large, read) = sent(&meter, SHARE + 1).await;
    assert!(read.is_ok());
    drop((first, small, large));
    assert_eq!(meter.0.load(Relaxed), 0);
}
