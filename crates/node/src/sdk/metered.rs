//! How many bytes of unfinished messages the clients may have sent, all together.
//!
//! A message has up to 32 MiB, and a client has all the time it wants for it: so two thousand of
//! them could hold 64 GiB. What is above a small share of each counts against what all may have.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::secure::Stream;

/// Bytes of unfinished messages of all clients of a port. Chosen: eight of the largest.
pub(super) const UNFINISHED: usize = 256 * 1024 * 1024;
/// Bytes of an unfinished message that a client may have sent whatever the others have. Chosen: most
/// messages are below it, and 2,048 clients have 128 MiB in this way.
pub(super) const SHARE: usize = 64 * 1024;

/// There is no room for a client's large message.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error(
    "all clients of this port together have sent more than {} MiB of messages that are not whole",
    UNFINISHED >> 20
)]
pub(super) struct NoRoom;

/// What all clients of a port have sent of messages that are not whole.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicUsize);

/// The stream of one client; an error of [`NoRoom`] when its message is too much.
pub(super) struct Metered {
    inner: Box<dyn Stream>,
    meter: Arc<Meter>,
    held: usize,
    /// Something came since [`Self::has_moved`] was asked last.
    moved: bool,
}

impl Metered {
    pub(super) const fn new(inner: Box<dyn Stream>, meter: Arc<Meter>) -> Self {
        Self { inner, meter, held: 0, moved: false }
    }

    /// Whether anything came since this was asked last.
    pub(super) const fn has_moved(&mut self) -> bool {
        core::mem::replace(&mut self.moved, false)
    }

    /// So much is left of what was read, and is no whole message yet.
    pub(super) fn holds(&mut self, bytes: usize) {
        self.meter.0.fetch_add(bytes, Relaxed);
        self.meter.0.fetch_sub(self.held, Relaxed);
        self.held = bytes;
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.holds(0);
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, into))?;
        self.moved |= into.filled().len() > before;
        let held = self.held + into.filled().len() - before;
        self.holds(held);
        if held > SHARE && self.meter.0.load(Relaxed) > UNFINISHED {
            return Poll::Ready(Err(io::Error::other(NoRoom)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
