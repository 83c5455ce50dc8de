//! Calls of JSON-RPC of one client: those that take a while are carried out one after the other, and
//! nothing is read from the client meanwhile.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use chainmesh_net::amop::{NoticeBudget, SdkLink};
use tracing::info;

use super::ledger::{Answer, Generation, Ledger};

/// An answer that is being made.
pub(super) type Later = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// The calls of a client.
pub(super) struct Calls {
    ledger: Arc<Ledger>,
    generation: Generation,
    /// The seq of each, in their order. Bounded by what is read at once.
    waiting: VecDeque<(Bytes, Later)>,
    notices: NoticeBudget,
}

impl Calls {
    pub(super) fn new(ledger: Arc<Ledger>, generation: Generation, link: &SdkLink) -> Self {
        let notices = NoticeBudget::of_session(link.now());
        Self { ledger, generation, waiting: VecDeque::new(), notices }
    }

    /// The answer, if there is one at once; the others come out of [`Self::poll`].
    pub(super) fn ask(&mut self, link: &SdkLink, seq: Bytes, call: &Bytes) -> Option<Bytes> {
        match self.ledger.answer(self.generation, call) {
            Answer::Now(answer) => Some(answer),
            Answer::Refused(answer, why) => {
                if self.notices.take(link.now()).is_some() {
                    let sdk = link.session().0;
                    info!(sdk, "a call of an SDK cannot be read: {why}");
                }
                Some(answer)
            }
            Answer::Later(later) => {
                self.waiting.push_back((seq, later));
                None
            }
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next answer, with the seq of its call.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Bytes, Bytes)> {
        let Some((_, later)) = self.waiting.front_mut() else { return Poll::Pending };
        let answer = ready!(later.as_mut().poll(cx));
        match self.waiting.pop_front() {
            Some((seq, _)) => Poll::Ready((seq, answer)),
            None => Poll::Pending,
        }
    }
}
