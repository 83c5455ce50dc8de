//! Small writes that leave together, below TLS.
//!
//! TLS writes each record as soon as it is made. The frames of the channel protocol are a record
//! each, and a call of the system for each costs more than all that a node does for a message.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes above which nothing more is held back. Chosen: as the largest record of TLS.
const MOST: usize = 16 * 1024;

/// A stream whose writes wait for a flush or for [`MOST`] bytes. It has a buffer only while something
/// waits.
#[derive(Debug)]
pub(super) struct Gather<S> {
    inner: S,
    /// Nothing is held back before.
    begun: bool,
    held: BytesMut,
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    /// One that passes everything on until [`Self::begin`].
    pub(super) fn new(inner: S) -> Self {
        Self { inner, begun: false, held: BytesMut::new() }
    }

    /// From now on whoever writes flushes, too.
    pub(super) const fn begin(&mut self) {
        self.begun = true;
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        self.held = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held.len() + bytes.len() > MOST {
            ready!(self.poll_drain(cx))?;
        }
        if !self.begun || bytes.len() > MOST {
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        if self.held.is_empty() {
            self.held.reserve(MOST);
        }
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
