//! Takes the connections of a port: so many at once, for ever.

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// Time after which another connection is tried to be taken when there was no file descriptor.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes clients for ever, at most `most` at once, one more is closed. `what` says in the log what
/// they want. The connections end with this.
pub(crate) async fn accept<F, E>(
    listener: TcpListener,
    most: usize,
    what: &'static str,
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Display,
{
    let slots = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                        debug!(%address, "a client of {what} was not let in: there are too many");
                        continue;
                    };
                    let served = serve(stream);
                    connections.spawn(async move {
                        if let Err(error) = served.await {
                            debug!(%address, "a connection of {what} ended: {error}");
                        }
                        drop(slot);
                    });
                }
                Err(error) if is_of_one_connection(error.kind()) => {}
                Err(error) => {
                    warn!("no client of {what} can be let in at the moment: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn is_of_one_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(kind, ConnectionAborted | ConnectionRefused | ConnectionReset)
}
