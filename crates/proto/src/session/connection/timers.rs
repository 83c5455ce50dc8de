//! When a connection is to be woken, and what has become of it by then.

use super::{CloseCause, Connection, FULL_CHECK, FULL_WRITE_TIMEOUT, Stage, WRITE_TIMEOUT};
use crate::time::{Instant, earliest};

impl Connection {
    /// When [`Connection::handle_timeout`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Open(open) => {
                let deadline = (!open.established).then_some(self.deadline);
                // While reading is paused by us, silence is not the peer's fault.
                let idle = (!self.orders.paused).then(|| self.last_received + open.pulse.idle);
                let write = (self.unwritten > 0).then(|| self.next_look_at_writer());
                earliest(earliest(deadline, idle), earliest(write, open.next_tick()))
            }
            Stage::Proving(..) if !self.greeted => Some(self.deadline.min(self.speak_at)),
            Stage::Closing => Some(self.closing_until),
            Stage::Closed => None,
            _ => Some(self.deadline),
        }
    }

    /// When it is to be looked at whether the peer takes what is sent to it.
    fn next_look_at_writer(&self) -> Instant {
        let next = (self.written_at + FULL_WRITE_TIMEOUT).max(self.writer_seen + FULL_CHECK);
        next.min(self.written_at + WRITE_TIMEOUT)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.writer_seen = now;
        match &mut self.stage {
            Stage::Open(open) => {
                if !open.established && now >= self.deadline {
                    return self.close(CloseCause::HandshakeTimeout, now);
                }
                if !self.orders.paused && now >= self.last_received + open.pulse.idle {
                    let silent = open.pulse.idle;
                    return self.close(CloseCause::IdleTimeout(silent), now);
                }
                let patience = if self.link.is_full() { FULL_WRITE_TIMEOUT } else { WRITE_TIMEOUT };
                if self.unwritten > 0 && now >= self.written_at + patience {
                    return self.close(CloseCause::SlowReader, now);
                }
                open.tick(now, &mut self.pending);
            }
            Stage::Closing if now >= self.closing_until => {
                self.pending.clear();
                self.stage = Stage::Closed;
            }
            Stage::Closing | Stage::Closed => {}
            _ if now >= self.deadline => self.close(CloseCause::HandshakeTimeout, now),
            Stage::Proving(..) if now >= self.speak_at => {
                if let Stage::Proving(mut session, peer) =
                    core::mem::replace(&mut self.stage, Stage::Closed)
                {
                    self.say_hello(&mut session);
                    self.stage = Stage::Proving(session, peer);
                }
            }
            _ => {}
        }
    }
}
