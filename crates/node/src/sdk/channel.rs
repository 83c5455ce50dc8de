//! A connection of the channel protocol: bytes in, one frame after the other out.
//!
//! Each frame is given to TLS by itself, head and body at once, so no record holds parts of two
//! frames: the SDKs for Go, Python and Node.js read at most one frame from a record. The records of
//! all frames that wait leave together ([`super::gather`]); without TLS the frames do.

use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use chainmesh_net::Escaped;
use chainmesh_net::amop::channel::{Channel, ChannelConfig, ChannelNotice, Input, Output};
use chainmesh_net::amop::{SdkCommand, SdkLink};
use chainmesh_proto::time::Instant;
use tokio::io::{AsyncWriteExt as _, ReadBuf};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::calls::Calls;
use super::clients::Refused;
use super::conversation::{self, Backlog, Talk};
use super::ledger::{Generation, Ledger};
use super::metered::{Metered, NoRoom};
use super::ports::End;
use super::secure::{Client, Stream};

/// Bytes read at once.
const READ: usize = 16 * 1024;
/// Frames that are written at once without TLS.
const AT_ONCE: usize = 32;

/// One connection.
struct Conversation {
    face: Channel,
    calls: Calls,
    stream: Metered,
    received: BytesMut,
    frames: Frames,
}

/// Frames that wait to be written.
#[derive(Default)]
struct Frames {
    /// Heads and bodies, and whether it is an answer.
    waiting: VecDeque<([Bytes; 2], bool)>,
    backlog: Backlog,
    /// Each is to be a write of its own.
    one_by_one: bool,
    /// TLS may hold something back.
    unflushed: bool,
}

/// Speaks with a client until one of the two ends it.
pub(super) async fn serve(
    client: Client,
    link: SdkLink,
    refused: oneshot::Receiver<Refused>,
    ledger: Arc<Ledger>,
) -> End {
    let config = ChannelConfig::new(link.session(), client.identity);
    let face = Channel::new(config, link.now());
    let frames = Frames { one_by_one: client.has_records, ..Frames::default() };
    let received = BytesMut::new();
    let stream = client.stream;
    let calls = Calls::new(ledger, Generation::Two, &link);
    let mut talk = Conversation { face, calls, stream, received, frames };
    let end = conversation::run(&mut talk, link, refused).await;
    // There is no word for why in 2.x; TLS has one for the end. Who does not read is not waited for.
    let _ = tokio::time::timeout(conversation::FAREWELL, talk.stream.shutdown()).await;
    end
}

impl Talk for Conversation {
    /// How many bytes.
    type Read = usize;

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        match ready!(poll_read(&mut self.stream, &mut self.received, cx)) {
            Ok(0) => Poll::Ready(Err(End::Client)),
            read => Poll::Ready(read.map_err(end_of)),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.frames.poll_write(&mut self.stream, cx).map_err(end_of)
    }

    fn poll_call(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let (seq, body) = ready!(self.calls.poll(cx));
        self.face.handle(now, Input::RpcAnswer { seq, body });
        Poll::Ready(())
    }

    fn is_answering(&self) -> bool {
        !self.calls.is_empty()
    }

    fn backlog(&self) -> Backlog {
        self.frames.backlog
    }

    fn came(&mut self, now: Instant, _: usize) -> Result<(), End> {
        // A frame of this length is above any limit.
        if self.received.starts_with(b"GET ") {
            return Err(End::NeedsWebSocketPort);
        }
        self.face.receive(now, &mut self.received);
        self.stream.holds(self.received.len());
        Ok(())
    }

    fn command(&mut self, now: Instant, command: SdkCommand) -> Result<(), End> {
        let input = match command {
            SdkCommand::Push(cast, message) => Input::Push(cast, message),
            SdkCommand::Done(cast, message, result) => Input::Done(cast, message, result),
            SdkCommand::Verify(seq, question) => Input::Verify(seq, question),
            // 2.x has no words for it.
            SdkCommand::ListRefused(_) => return Ok(()),
            SdkCommand::Close(fault) => return Err(End::Fault(fault)),
            SdkCommand::Ended => return Err(End::Node),
        };
        self.face.handle(now, input);
        Ok(())
    }

    fn carry_out(&mut self, link: &mut SdkLink) -> Result<(), End> {
        let mut said = Vec::new();
        let mut end = Ok(());
        while let Some(output) = self.face.poll() {
            match output {
                Output::Send { head, body, push } => self.frames.put([head, body], push.is_none()),
                Output::Broker(input) => said.push(input),
                Output::Rpc { seq, body } => {
                    if let Some(body) = self.calls.ask(link, seq.clone(), &body) {
                        self.face.handle(link.now(), Input::RpcAnswer { seq, body });
                    }
                }
                Output::Notice(notice) => tell(link, &notice),
                Output::Close(fault) => {
                    end = Err(End::Fault(fault));
                    break;
                }
            }
        }
        link.handle_all(said);
        end
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.face.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.face.handle_timeout(now);
    }
}

fn end_of(error: io::Error) -> End {
    if let Some(no_room) = error.get_ref().and_then(|inner| inner.downcast_ref::<NoRoom>()) {
        return End::NoRoom(*no_room);
    }
    match error.kind() {
        // A client of FISCO's closes without saying so in TLS.
        io::ErrorKind::UnexpectedEof => End::Client,
        _ => End::Broken(error),
    }
}

impl Frames {
    fn put(&mut self, frame: [Bytes; 2], answer: bool) {
        let size = frame.iter().map(Bytes::len).sum();
        self.backlog.add(size, answer);
        self.waiting.push_back((frame, answer));
    }

    /// Ready when something was written, all that waits if there is room; pending also when there is
    /// nothing to be written. When a part of a frame was taken, the rest of it is what is written
    /// next.
    fn poll_write(
        &mut self,
        stream: &mut dyn Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut moved = false;
        while !self.waiting.is_empty() {
            match self.write_once(stream, cx)? {
                Poll::Ready(()) => moved = true,
                Poll::Pending if moved => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.unflushed && Pin::new(stream).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        if moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn write_once(
        &mut self,
        stream: &mut dyn Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut parts = [IoSlice::new(&[]); 2 * AT_ONCE];
        let frames = self.waiting.iter().take(if self.one_by_one { 1 } else { AT_ONCE });
        for (place, part) in parts.iter_mut().zip(frames.flat_map(|(frame, _)| frame)) {
            *place = IoSlice::new(part);
        }
        let parts = parts.get(..2 * self.waiting.len()).unwrap_or(&parts);
        let parts = if self.one_by_one { parts.get(..2).unwrap_or(parts) } else { parts };
        let mut left = ready!(Pin::new(stream).poll_write_vectored(cx, parts))?;
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        while let Some((frame, answer)) = self.waiting.front_mut() {
            for part in &mut *frame {
                let of_part = left.min(part.len());
                part.advance(of_part);
                self.backlog.remove(of_part, *answer);
                left -= of_part;
            }
            if !frame.iter().all(Bytes::is_empty) {
                break;
            }
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
    let mut space = [const { MaybeUninit::uninit() }; READ];
    let mut read = ReadBuf::uninit(&mut space);
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
        ChannelNotice::LeftOut(count) => {
            warn!(sdk, count, "an SDK causes too many lines here: some were left out");
        }
        ChannelNotice::Unused(frame_type) => {
            info!(sdk, ?frame_type, "a message of an SDK is of no use here");
        }
    }
}
