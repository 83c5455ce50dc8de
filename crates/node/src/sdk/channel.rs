//! A connection of the channel protocol: bytes in, one frame after the other out.
//!
//! Each frame is given to TLS by itself, head and body at once, so no record holds parts of two
//! frames: the SDKs for Go, Python and Node.js read at most one frame from a record.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use chainmesh_net::Escaped;
use chainmesh_net::amop::channel::{Channel, ChannelConfig, ChannelNotice, Input, Output};
use chainmesh_net::amop::{QUEUE_BYTES, SdkCommand, SdkLink};
use tokio::io::ReadBuf;
use tracing::{debug, info};

use super::ledger::{Generation, Ledger};
use super::ports::End;
use super::secure::{Client, Stream};

/// Bytes of frames that wait to be written above which no more are made of the link's commands.
pub(super) const WRITING: usize = 256 * 1024;
/// Bytes of answers that wait to be written above which nothing more is read from the client: who
/// does not read what it asked for has to wait with more.
pub(super) const ANSWERS: usize = 1024 * 1024;
/// Bytes read at once.
const READ: usize = 16 * 1024;

/// One connection.
struct Conversation {
    link: SdkLink,
    face: Channel,
    ledger: Arc<Ledger>,
    stream: Box<dyn Stream>,
    received: BytesMut,
    frames: Frames,
    /// Reading and writing take turns.
    reads_first: bool,
}

/// Frames that wait to be written.
#[derive(Default)]
struct Frames {
    /// Heads and bodies, and whether it is an answer.
    waiting: VecDeque<([Bytes; 2], bool)>,
    bytes: usize,
    answers: usize,
    /// TLS may hold something back.
    unflushed: bool,
}

/// What happened on the socket.
enum Moved {
    /// So many bytes came; none: the client has closed.
    Read(usize),
    /// Something was written.
    Written,
}

/// Speaks with a client until one of the two ends it.
pub(super) async fn serve(client: Client, link: SdkLink, ledger: Arc<Ledger>) -> End {
    let config = ChannelConfig::new(link.session(), client.identity);
    let face = Channel::new(config, link.now());
    let (received, frames) = (BytesMut::new(), Frames::default());
    let stream = client.stream;
    Conversation { link, face, ledger, stream, received, frames, reads_first: false }.run().await
}

impl Conversation {
    async fn run(mut self) -> End {
        loop {
            if let Err(end) = self.carry_out() {
                return end;
            }
            let takes = self.frames.bytes < WRITING;
            let reads = self.frames.answers < ANSWERS && self.link.answers() < QUEUE_BYTES;
            let deadline = self.face.poll_timeout().map(|at| self.link.at(at));
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            self.reads_first = !self.reads_first;
            let (stream, received) = (&mut self.stream, &mut self.received);
            let (frames, first) = (&mut self.frames, self.reads_first);
            tokio::select! {
                moved = core::future::poll_fn(|cx| {
                    for read in [first, !first] {
                        let moved = match read {
                            false => frames.poll_write(stream, cx).map_ok(|()| Moved::Written),
                            true if reads => poll_read(stream, received, cx).map_ok(Moved::Read),
                            true => Poll::Pending,
                        };
                        if moved.is_ready() {
                            return moved;
                        }
                    }
                    Poll::Pending
                }) => match moved {
                    Ok(Moved::Read(0)) => return End::Client,
                    Ok(Moved::Read(_)) => {
                        let now = self.link.now();
                        self.face.receive(now, &mut self.received);
                    }
                    Ok(Moved::Written) => {}
                    // A client of FISCO's closes without saying so in TLS.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return End::Client;
                    }
                    Err(error) => return End::Broken(error),
                },
                command = self.link.next(), if takes => {
                    if let Some(end) = self.command(command) {
                        return end;
                    }
                }
                last = self.link.last() => {
                    if let Some(end) = self.command(last) {
                        return end;
                    }
                }
                () = timer => self.face.handle_timeout(self.link.now()),
            }
        }
    }

    fn command(&mut self, command: SdkCommand) -> Option<End> {
        let input = match command {
            SdkCommand::Push(cast, message) => Input::Push(cast, message),
            SdkCommand::Done(cast, message, result) => Input::Done(cast, message, result),
            SdkCommand::Verify(seq, question) => Input::Verify(seq, question),
            SdkCommand::Close(fault) => return Some(End::Fault(fault)),
            SdkCommand::Ended => return Some(End::Node),
        };
        self.face.handle(self.link.now(), input);
        None
    }

    /// Does what the face wants.
    fn carry_out(&mut self) -> Result<(), End> {
        while let Some(output) = self.face.poll() {
            match output {
                Output::Send { head, body, push } => self.frames.put([head, body], push.is_none()),
                Output::Broker(input) => self.link.handle(input),
                Output::Rpc { seq, body } => {
                    let body = self.ledger.answer(Generation::Two, &body).into();
                    self.face.handle(self.link.now(), Input::RpcAnswer { seq, body });
                }
                Output::Notice(notice) => tell(&self.link, &notice),
                Output::Close(fault) => return Err(End::Fault(fault)),
            }
        }
        Ok(())
    }
}

impl Frames {
    fn put(&mut self, frame: [Bytes; 2], answer: bool) {
        let size = frame.iter().map(Bytes::len).sum();
        self.bytes += size;
        self.answers += if answer { size } else { 0 };
        self.waiting.push_back((frame, answer));
    }

    /// Ready when something was written; pending also when there is nothing to be written. When a
    /// part of a frame was taken, the rest of it is what is written next.
    fn poll_write(
        &mut self,
        stream: &mut dyn Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some((frame, answer)) = self.waiting.front_mut() else {
            if !self.unflushed {
                return Poll::Pending;
            }
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
            return Poll::Pending;
        };
        let parts = [IoSlice::new(&frame[0]), IoSlice::new(&frame[1])];
        let written = ready!(Pin::new(stream).poll_write_vectored(cx, &parts))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        let of_head = written.min(frame[0].len());
        frame[0].advance(of_head);
        let of_body = (written - of_head).min(frame[1].len());
        frame[1].advance(of_body);
        let gone = of_head + of_body;
        self.bytes -= gone;
        self.answers -= if *answer { gone } else { 0 };
        if frame.iter().all(Bytes::is_empty) {
            self.waiting.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

fn poll_read(
    stream: &mut dyn Stream,
    into: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [0; READ];
    let mut read = ReadBuf::new(&mut space);
    ready!(Pin::new(stream).poll_read(cx, &mut read))?;
    // Nothing is held for a client that says nothing.
    into.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

fn tell(link: &SdkLink, notice: &ChannelNotice) {
    let sdk = link.session().0;
    match notice {
        ChannelNotice::Handshake { version, client_type } => {
            info!(sdk, ?version, client = %Escaped(client_type), "an SDK of 2.x has said hello");
        }
        ChannelNotice::Unreadable { frame_type, error } => {
            info!(sdk, ?frame_type, "a message of an SDK cannot be read: {error}");
        }
        ChannelNotice::Unused(frame_type) => {
            debug!(sdk, ?frame_type, "a message of an SDK is of no use here");
        }
    }
}
