//! One connection, as long as it lives: what the application orders goes out, what comes goes to its
//! subscription. All of it happens in one place, so nothing needs a lock.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::counters::count;
use crate::driver::{Driver, PRECISION, Pending};
use crate::error::{Lost, PublishError};
use crate::face::{AnswerTo, Incoming, Protocol, Refusal};
use crate::shared::{Control, Order, ReplyOrder, What};
use crate::subscription::{Kind, Message, Queued};

/// Bytes that wait to be written above which nothing more is taken from the application.
const WRITING: usize = 256 * 1024;
/// Messages that are read before something else has its turn.
const READING: usize = 64;

/// How it ended.
pub(crate) enum Ended {
    /// The connection was lost.
    Lost(Lost),
    /// The application has dropped the client.
    Dropped,
    /// The application has closed the client, and waits for the end.
    Closed(oneshot::Sender<()>),
}

/// A place in the queue of a subscription, as soon as there is one.
pub(crate) type Place = Pin<Box<dyn Future<Output = Option<mpsc::OwnedPermit<Queued>>> + Send>>;

/// What a connection needs besides what outlives it.
struct Session {
    /// Nothing is read, because the application is slow.
    paused: bool,
    /// Something came since the last look.
    heard: bool,
    heard_at: Instant,
    next_beat: Instant,
}

impl Driver {
    /// Speaks until the connection is lost or nobody wants it any more.
    pub(crate) async fn session<P: Protocol>(&mut self, face: &mut P) -> Ended {
        let now = Instant::now();
        let mut session = Session {
            paused: false,
            heard: true,
            heard_at: now,
            next_beat: now + self.config.heartbeat.max(PRECISION),
        };
        // Even when there are none: a node remembers the topics of whoever has our certificate.
        self.tell_topics(face);
        self.confirm_with_beat(face);
        let mut timer = pin!(sleep_until(session.next_beat));
        poll_fn(|cx| self.poll_session(face, &mut session, timer.as_mut(), cx)).await
    }

    fn poll_session<P: Protocol>(
        &mut self,
        face: &mut P,
        session: &mut Session,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Ended> {
        self.shared.waker.register(cx.waker());
        loop {
            let mut moved = match self.poll_application(face, cx) {
                Ok(moved) => moved,
                Err(ended) => return Poll::Ready(ended),
            };
            let full = face.waiting() >= WRITING;
            if let Poll::Ready(Err(lost)) = face.poll_flush(cx) {
                return Poll::Ready(Ended::Lost(lost));
            }
            moved |= full && face.waiting() < WRITING;
            match self.poll_incoming(face, session, cx) {
                Ok(more) => moved |= more,
                Err(lost) => return Poll::Ready(Ended::Lost(lost)),
            }
            // What has a deadline now is looked after in time.
            if !self.pending.is_empty() || !self.unconfirmed.is_empty() {
                let soon = Instant::now() + PRECISION;
                if timer.deadline() > soon {
                    timer.as_mut().reset(soon);
                }
            }
            while timer.as_mut().poll(cx).is_ready() {
                moved = true;
                match self.tick(face, session) {
                    Ok(next) => timer.as_mut().reset(next),
                    Err(lost) => return Poll::Ready(Ended::Lost(lost)),
                }
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// Takes what the application wants; whether it was something.
    fn poll_application<P: Protocol>(
        &mut self,
        face: &mut P,
        cx: &mut Context<'_>,
    ) -> Result<bool, Ended> {
        let (mut moved, mut closed) = (false, None);
        while let Poll::Ready(Some(control)) = self.controls.poll_recv(cx) {
            moved = true;
            match control {
                Control::Subscribe { topic, queue, deadline, done } => {
                    if self.follow(topic, queue, deadline, done) {
                        self.tell_topics(face);
                    }
                    self.confirm_with_beat(face);
                }
                Control::Close(done) => closed = Some(done),
            }
        }
        if self.shared.take_dropped() && self.topics.sweep() {
            moved = true;
            self.tell_topics(face);
        }
        for left in self.shared.take_left() {
            moved = true;
            self.reply(face, left);
        }
        // What was said before the goodbye is written before it.
        let most = if closed.is_some() { usize::MAX } else { WRITING };
        while face.waiting() < most {
            let Poll::Ready(Some(reply)) = self.replies.poll_recv(cx) else { break };
            moved = true;
            self.reply(face, reply);
        }
        let mut dropped = false;
        while face.waiting() < most && !dropped {
            let order = match self.held.pop_front() {
                Some(order) => order,
                None => match self.orders.poll_recv(cx) {
                    Poll::Ready(Some(order)) => order,
                    Poll::Ready(None) => {
                        dropped = true;
                        continue;
                    }
                    Poll::Pending => break,
                },
            };
            moved = true;
            self.carry_out(face, order);
        }
        match (closed, dropped) {
            (None, false) => Ok(moved),
            (Some(done), _) => {
                leave(face);
                Err(Ended::Closed(done))
            }
            (None, true) => {
                leave(face);
                Err(Ended::Dropped)
            }
        }
    }

    fn carry_out<P: Protocol>(&mut self, face: &mut P, order: Order) {
        let Order { what, deadline, done, share } = order;
        let number = self.fresh();
        let (sent, answered) = match what {
            What::Publish { kind, topic, payload } => {
                let answered = kind == Kind::Unicast || face.answers_multicast();
                (face.publish(number, kind, topic, payload), answered)
            }
            What::Call(body) => (face.call(number, body), true),
        };
        match sent {
            Err(error) => {
                let _ = done.send(Err(error.into()));
            }
            Ok(()) => {
                count(&self.shared.counting.published);
                if answered {
                    self.pending.insert(number, Pending { deadline, done, _share: share });
                } else {
                    let _ = done.send(Ok(Bytes::new()));
                }
            }
        }
    }

    fn reply<P: Protocol>(&self, face: &mut P, reply: ReplyOrder) {
        let ReplyOrder { connection, to, topic, payload } = reply;
        let counting = &self.shared.counting;
        // One that is too long for the protocol is lost, too: somebody else is asked.
        if connection == self.connection && face.answer(to, &topic, payload).is_ok() {
            count(&counting.replied);
        } else {
            count(&counting.replies_lost);
        }
    }

    fn tell_topics<P: Protocol>(&self, face: &mut P) {
        // The list was looked at when the last topic was added.
        let _ = face.subscribe(&self.topics.list());
    }

    /// Subscriptions are confirmed by the answer to a sign of life that comes behind them.
    fn confirm_with_beat<P: Protocol>(&mut self, face: &mut P) {
        if self.unconfirmed.iter().all(|one| one.number.is_some()) {
            return;
        }
        let number = self.fresh();
        face.beat(number);
        for one in &mut self.unconfirmed {
            one.number.get_or_insert(number);
        }
    }

    /// Reads, as long as the application takes it; whether it was something.
    fn poll_incoming<P: Protocol>(
        &mut self,
        face: &mut P,
        session: &mut Session,
        cx: &mut Context<'_>,
    ) -> Result<bool, Lost> {
        let mut moved = false;
        for _ in 0..READING {
            if !self.may_read(cx) {
                if !core::mem::replace(&mut session.paused, true) {
                    count(&self.shared.counting.pauses);
                }
                return Ok(moved);
            }
            session.paused = false;
            let Poll::Ready(incoming) = face.poll_receive(cx)? else { return Ok(moved) };
            moved = true;
            session.heard = true;
            self.came(incoming);
        }
        Ok(moved)
    }

    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some((place, _)) = self.parked.front_mut() {
            let Poll::Ready(place) = place.as_mut().poll(cx) else { return false };
            if let (Some(place), Some((_, message))) = (place, self.parked.pop_front()) {
                drop(place.send(message));
            }
        }
        self.shared.has_room()
    }

    fn came(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Answer { number, result } => match self.pending.remove(&number) {
                Some(pending) => {
                    let _ = pending.done.send(result.map_err(refused));
                }
                None => count(&self.shared.counting.late),
            },
            Incoming::Message { kind, seq, topic, payload } => {
                self.deliver((kind, seq), &topic, payload);
            }
            Incoming::Alive(Some(number)) => {
                for one in self.unconfirmed.extract_if(.., |one| one.number == Some(number)) {
                    let _ = one.done.send(Ok(()));
                }
            }
            Incoming::Alive(None) | Incoming::Unused => {}
            Incoming::Unreadable => count(&self.shared.counting.unreadable),
        }
    }

    fn deliver(&mut self, (kind, seq): (Kind, AnswerTo), topic: &Bytes, payload: Bytes) {
        // It was left a moment ago; who does not answer is not asked for long.
        let Some(followers) = self.topics.of(topic) else { return };
        self.sequence += 1;
        let numbers = (self.sequence, self.connection);
        let name = Arc::clone(&followers.name);
        for queue in followers.receivers(kind) {
            let waits = (kind == Kind::Unicast).then(|| seq.clone());
            let shared = Arc::clone(&self.shared);
            let message = Message::new(Arc::clone(&name), payload.clone(), numbers, shared, waits);
            match queue.try_send(Queued::new(message)) {
                // Whoever waits for a place comes first.
                Err(mpsc::error::TrySendError::Full(message)) => {
                    let queue = queue.clone();
                    let place = async move { queue.reserve_owned().await.ok() };
                    self.parked.push_back((Box::pin(place), message));
                }
                // Of a subscription that was dropped nothing is answered.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }

    /// Signs of life, and what has waited too long. When it is wanted next.
    fn tick<P: Protocol>(&mut self, face: &mut P, session: &mut Session) -> Result<Instant, Lost> {
        let now = Instant::now();
        // Who does not read cannot say who is silent.
        if session.paused || core::mem::take(&mut session.heard) {
            session.heard_at = now;
        } else if now.saturating_duration_since(session.heard_at) >= self.config.silence {
            return Err(Lost::Silent(self.config.silence));
        }
        if now >= session.next_beat {
            session.next_beat = now + self.config.heartbeat.max(PRECISION);
            let number = self.fresh();
            face.beat(number);
        }
        self.expire(None);
        let waits = !self.pending.is_empty() || !self.unconfirmed.is_empty();
        let next = if waits { now + PRECISION } else { session.next_beat };
        Ok(next.min(session.next_beat))
    }
}

/// Whoever has our certificate next is not to get what we followed.
fn leave<P: Protocol>(face: &mut P) {
    let _ = face.subscribe(&chainmesh_wire::amop::Subscription::default());
}

/// What a node's refusal means. Codes: `chainmesh_wire::amop::channel::ResultCode` (2.x) and
/// `chainmesh_wire::amop::ws::WsStatus` (3.x); 1004 is `GatewayBandwidthOverFlow` of FISCO's
/// `CommonError.h`.
fn refused(refusal: Refusal) -> PublishError {
    let Refusal { code, text } = refusal;
    match code {
        100 | 104 | 3001 | 3002 => PublishError::NoSubscriber { code },
        102 | 1000 | -4008 => PublishError::SubscriberSilent { code },
        103 | 1004 => PublishError::BandwidthLimited { code },
        _ => PublishError::Refused { code, text: crate::client::shown(&text) },
    }
}
