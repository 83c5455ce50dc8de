//! The channel protocol of FISCO BCOS 2.x (`chainmesh_wire::amop::channel`).

use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf as _, Bytes, BytesMut};
use chainmesh_wire::amop::channel::{
    ChannelVersion, Frame, FrameReader, FrameType, Heartbeat, ResultCode, Seq, TopicBody,
};
use chainmesh_wire::amop::{AmopError, Subscription};
use chainmesh_wire::mesh::EncodeError;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::{AnswerTo, Incoming, Protocol, Refusal, Seqs};
use crate::error::Lost;
use crate::stream::Stream;
use crate::subscription::Kind;

/// Bytes by which the reading buffer grows.
const READ: usize = 16 * 1024;
/// Pieces that are written at once.
const PIECES: usize = 64;

/// A connection of the channel protocol.
pub(crate) struct Channel {
    stream: Stream,
    seqs: Seqs,
    /// For heartbeats; what the handshake said.
    pub(crate) version: ChannelVersion,
    reader: FrameReader,
    received: BytesMut,
    pieces: VecDeque<Bytes>,
    waiting: usize,
    unflushed: bool,
}

impl Channel {
    pub(crate) fn new(stream: Stream, seqs: Seqs) -> Self {
        Self {
            stream,
            seqs,
            version: ChannelVersion::V1,
            reader: FrameReader::default(),
            received: BytesMut::new(),
            pieces: VecDeque::new(),
            waiting: 0,
            unflushed: false,
        }
    }

    /// Says a whole frame.
    pub(crate) fn send(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        self.put(frame.to_parts()?);
        Ok(())
    }

    fn put(&mut self, parts: [Bytes; 2]) {
        for part in parts {
            if !part.is_empty() {
                self.waiting += part.len();
                self.pieces.push_back(part);
            }
        }
    }

    /// The next frame, whatever it is.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, ReadFault>> {
        loop {
            match self.reader.read(&mut self.received).map_err(ReadFault::Frame)? {
                Some(frame) => return Poll::Ready(Ok(frame)),
                None if self.received.capacity() - self.received.len() < READ / 4 => {
                    self.received.reserve(READ);
                }
                None => {}
            }
            let read = ready!(pin!(self.stream.read_buf(&mut self.received)).poll(cx));
            if read.map_err(ReadFault::Io)? == 0 {
                return Poll::Ready(Err(ReadFault::End));
            }
        }
    }

    /// The first bytes that came and are no frame.
    pub(crate) fn beginning(&self) -> &[u8] {
        &self.received
    }

    fn incoming(&self, frame: Frame) -> Incoming {
        let kind = match frame.frame_type {
            FrameType::AmopRequest => Kind::Unicast,
            FrameType::AmopMulticast => Kind::Multicast,
            FrameType::AmopResponse | FrameType::Rpc => return self.answered(frame),
            FrameType::Heartbeat => return Incoming::Alive(self.seqs.number(&frame.seq.0)),
            _ => return Incoming::Unused,
        };
        match TopicBody::decode(frame.data) {
            Ok(TopicBody { topic, data }) => {
                Incoming::Message { kind, seq: AnswerTo::Channel(frame.seq), topic, payload: data }
            }
            Err(_) => Incoming::Unreadable,
        }
    }

    fn answered(&self, frame: Frame) -> Incoming {
        let Some(number) = self.seqs.number(&frame.seq.0) else { return Incoming::Unused };
        let result = match (frame.result, frame.frame_type) {
            (ResultCode::SUCCESS, FrameType::Rpc) => Ok(frame.data),
            (ResultCode::SUCCESS, _) => match TopicBody::decode(frame.data) {
                Ok(body) => Ok(body.data),
                Err(_) => return Incoming::Unreadable,
            },
            (code, _) => {
                let text = Bytes::from_static(code.name().as_bytes());
                Err(Refusal { code: code.0, text })
            }
        };
        Incoming::Answer { number, result }
    }
}

/// Why there is no next frame.
pub(crate) enum ReadFault {
    End,
    Io(io::Error),
    Frame(AmopError),
}

impl From<ReadFault> for Lost {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::End => Self::Ended,
            ReadFault::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Ended,
            ReadFault::Io(error) => Self::Broken(error),
            ReadFault::Frame(error) => Self::Unreadable(error),
        }
    }
}

impl Protocol for Channel {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Lost>> {
        let frame = ready!(self.poll_frame(cx));
        Poll::Ready(frame.map(|frame| self.incoming(frame)).map_err(Lost::from))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        while !self.pieces.is_empty() {
            let mut parts = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            for (part, piece) in parts.iter_mut().zip(&self.pieces) {
                *part = IoSlice::new(piece);
                count += 1;
            }
            let parts = parts.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts));
            let mut written = written.map_err(Lost::Broken)?;
            if written == 0 {
                return Poll::Ready(Err(Lost::Broken(io::ErrorKind::WriteZero.into())));
            }
            self.unflushed = true;
            self.waiting -= written;
            while let Some(piece) = self.pieces.front_mut().filter(|_| written > 0) {
                let taken = written.min(piece.len());
                piece.advance(taken);
                written -= taken;
                if piece.is_empty() {
                    self.pieces.pop_front();
                }
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(Lost::Broken)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if ready!(self.poll_flush(cx)).is_ok() {
            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        }
        Poll::Ready(())
    }

    fn waiting(&self) -> usize {
        self.waiting
    }

    fn publish(
        &mut self,
        number: u64,
        kind: Kind,
        topic: Bytes,
        payload: Bytes,
    ) -> Result<(), EncodeError> {
        let frame_type = match kind {
            Kind::Unicast => FrameType::AmopRequest,
            Kind::Multicast => FrameType::AmopMulticast,
        };
        let seq = self.seqs.of(number);
        self.put(TopicBody::new(topic, payload).to_frame_parts(frame_type, seq)?);
        Ok(())
    }

    fn answers_multicast(&self) -> bool {
        true
    }

    fn call(&mut self, number: u64, body: Bytes) -> Result<(), EncodeError> {
        self.send(&Frame::new(FrameType::Rpc, self.seqs.of(number), body))
    }

    fn answer(&mut self, to: AnswerTo, topic: &Bytes, payload: Bytes) -> Result<(), EncodeError> {
        let AnswerTo::Channel(seq) = to else { return Ok(()) };
        let body = TopicBody::new(topic.clone(), payload);
        self.put(body.to_frame_parts(FrameType::AmopResponse, seq)?);
        Ok(())
    }

    fn subscribe(&mut self, topics: &Subscription) -> Result<(), EncodeError> {
        self.send(&Frame::new(FrameType::SubscribeTopics, Seq::ZERO, topics.to_array()?))
    }

    fn beat(&mut self, number: u64) {
        let body = Heartbeat::Request.to_body(self.version);
        // Its few bytes are below every limit.
        let _ = self.send(&Frame::new(FrameType::Heartbeat, self.seqs.of(number), body));
    }
}
