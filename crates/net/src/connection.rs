//! The task of one connection: the socket at one end, the connection machine at the other.
//!
//! All of it is one future that is polled by hand: whatever wakes it (bytes, room to write, a
//! message to send, an order, a timer), it goes once around until nothing moves any more. Nothing
//! on the way of a message is a channel or another task. Buffers exist only while there is
//! something in them, so an idle connection holds no memory but its keys.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::{Buf, BytesMut};
use chainmesh_proto::peers::ConnectionId;
use chainmesh_proto::session::connection::{Connection, ConnectionEvent};
use chainmesh_proto::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::service::Report;

/// First read of a quiet connection. Larger reads follow when it is filled.
const MIN_READ: usize = 1024;
/// Largest read at once: more than this does not stay in the second-level cache.
const MAX_READ: usize = 256 * 1024;

/// After a Disconnect, bytes that were on their way are read and thrown away for so long, and so
/// many at most. Closing at once would let the kernel answer them with a reset, and the peer would
/// lose our Disconnect (and its reason).
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Runs a connection to its end, telling `reports` what happens on it.
pub(crate) async fn run(
    conn: ConnectionId,
    connection: Connection,
    stream: TcpStream,
    clock: Clock,
    reports: mpsc::Sender<(ConnectionId, Report)>,
) {
    let mut pump = Pump {
        connection,
        stream,
        clock,
        input: BytesMut::new(),
        output: BytesMut::new(),
        step: MIN_READ,
        timer: None,
        ended: false,
    };
    while let Some(event) = core::future::poll_fn(|context| pump.poll(context)).await {
        if reports.send((conn, Report::Event(event))).await.is_err() {
            return;
        }
    }
    if !pump.ended {
        linger(pump.stream).await;
    }
}

async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let discard = async {
        // On the heap: an array would be in the task of every connection, from its beginning.
        let mut scrap = vec![0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut scrap).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, discard).await;
}

struct Pump {
    connection: Connection,
    stream: TcpStream,
    clock: Clock,
    input: BytesMut,
    output: BytesMut,
    step: usize,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// The network closed the connection; there is nobody to linger for.
    ended: bool,
}

impl Pump {
    /// The next event of the connection; `None` when it is over and everything was written.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        let mut now = self.clock.now();
        for round in 0_u32.. {
            // A few rounds take microseconds; the clock costs as much as a small message's copy.
            if round % 8 == 7 {
                now = self.clock.now();
            }
            self.connection.attend(now);
            if !self.input.is_empty() && !self.connection.is_reading_paused() {
                self.connection.receive(now, &mut self.input);
            }
            if let Some(event) = self.connection.poll() {
                return Poll::Ready(Some(event));
            }
            // In this order an answer leaves in the round in which its question came.
            let mut moved = self.read(context, now);
            moved |= self.write(context);
            if let Some(event) = self.connection.poll() {
                return Poll::Ready(Some(event));
            }
            // What the peer did not take until its time was over is left behind.
            if self.connection.is_finished() {
                return Poll::Ready(None);
            }
            moved = moved || self.time(context, now);
            if !moved && self.connection.sleep(context.waker()) {
                break;
            }
        }
        self.release();
        Poll::Pending
    }

    /// Seals and writes until there is nothing to send or the kernel takes no more.
    fn write(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        loop {
            let more = self.connection.transmit(&mut self.output);
            if self.output.is_empty() {
                return moved;
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.output) {
                Poll::Pending => return moved,
                Poll::Ready(Ok(written @ 1..)) => {
                    moved = true;
                    self.output.advance(written);
                    self.connection.transmitted(written);
                    if self.output.is_empty() && !more {
                        return moved;
                    }
                }
                Poll::Ready(Ok(_)) => return self.network_closed(None),
                Poll::Ready(Err(error)) => return self.network_closed(Some(error.kind())),
            }
        }
    }

    /// Reads once, and lets the connection have what came.
    fn read(&mut self, context: &mut Context<'_>, now: Instant) -> bool {
        if self.connection.is_reading_paused() || self.ended {
            return false;
        }
        if self.input.capacity() - self.input.len() < self.step / 2 {
            self.input.reserve(self.connection.wanted(self.input.len(), self.step));
        }
        let room = self.input.capacity() - self.input.len();
        match pin!(self.stream.read_buf(&mut self.input)).poll(context) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => self.network_closed(None),
            Poll::Ready(Ok(read)) => {
                if read == room {
                    self.step = (self.step * 2).min(MAX_READ);
                } else if read < self.step / 4 {
                    self.step = (self.step / 2).max(MIN_READ);
                }
                self.connection.received(now, read);
                self.connection.receive(now, &mut self.input);
                true
            }
            Poll::Ready(Err(error)) => self.network_closed(Some(error.kind())),
        }
    }

    fn network_closed(&mut self, error: Option<std::io::ErrorKind>) -> bool {
        self.ended = true;
        self.output.clear();
        self.connection.network_closed(error);
        true
    }

    /// Lets the connection see that time has passed, and arms the timer. A deadline that moves
    /// away is not followed each time: the timer fires at the old one, and is armed again then.
    fn time(&mut self, context: &mut Context<'_>, now: Instant) -> bool {
        let Some(deadline) = self.connection.poll_timeout() else { return false };
        if deadline <= now {
            self.connection.handle_timeout(now);
            return true;
        }
        let at = self.clock.at(deadline);
        let (armed, sleep) = match &mut self.timer {
            Some((armed, sleep)) => {
                if deadline < *armed {
                    sleep.as_mut().reset(at);
                    *armed = deadline;
                }
                (armed, sleep)
            }
            None => {
                let (armed, sleep) =
                    self.timer.insert((deadline, Box::pin(tokio::time::sleep_until(at))));
                (armed, sleep)
            }
        };
        if sleep.as_mut().poll(context).is_ready() {
            // Too early for the deadline as it is now: armed anew.
            sleep.as_mut().reset(at);
            *armed = deadline;
            return sleep.as_mut().poll(context).is_ready();
        }
        false
    }

    fn release(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.input = BytesMut::new();
        }
        if self.output.is_empty() && self.output.capacity() > 0 {
            self.output = BytesMut::new();
        }
    }
}
