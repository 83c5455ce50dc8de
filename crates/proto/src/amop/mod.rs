//! The broker of AMOP: applications publish and subscribe by topic, through the SDKs of FISCO BCOS
//! 2.x and 3.x, at whichever node.
//!
//! [`Broker`] is one machine for both generations, and speaks in neutral terms. Its faces translate:
//! [`channel`] for SDKs of 2.x, [`ws`] for those of 3.x. Towards other nodes it speaks through
//! [`crate::mesh`] (`Input::Amop`, `Output::Amop`; in a node both stand behind one lock,
//! [`MeshModule::with_broker`](crate::mesh::MeshModule::with_broker)), 3.x in packet types 7 and 8, 2.x on links with
//! 2.x neighbours.
//!
//! # What is promised
//!
//! * A **unicast** is given to one subscriber, drawn at random: first a node among all that have the
//!   topic, our own included, then a session there. If that one fails, or is silent for
//!   [`SUBSCRIBER_TIMEOUT`], another one at the same node gets it; if the node fails or is silent for
//!   [`NODE_TIMEOUT`], another node. No session is given the same unicast twice (at most once each),
//!   but several sessions may see it when the first ones are silent.
//! * The publisher's success means that a subscriber answered: it was delivered **at least once to a
//!   live subscriber**. A failure does not mean that nobody has it, unless it is
//!   [`AmopFailure::NoSubscriber`], [`AmopFailure::OverLimit`] or [`AmopFailure::BadTopic`].
//!   Each unicast ends exactly once, within [`UNICAST_TIMEOUT`].
//! * A **multicast** is given to every session that follows the topic, once, here and at every node
//!   whose topic list has it, **at most once** each: nothing is repeated, whoever is not there or does
//!   not keep up misses it. The publisher's own session gets it too, if it follows the topic.
//! * A publisher is told before long that its unicast failed because a subscriber's session ended:
//!   that fails over at once, without a time-out.
//! * An SDK that comes back within [`GRACE`] under the same identity has its topics again before it
//!   says so. While it is away, nobody sends it anything.
//! * Order is kept from one publisher to one subscriber for multicasts over the same way.
//!
//! Where FISCO differs: its publisher's node prefers other nodes (3.x), asks nobody else after 3002, and
//! gives local subscribers messages on private topics unjudged. Between our own nodes an answer says
//! by [`CHANNEL_STATUS`] that its code is a channel code; nothing is ever repeated between nodes, so
//! that no message needs an id there.
//!
//! # What is bounded
//!
//! Topics by session and in all ([`MAX_TOPIC_BYTES`], [`MAX_NODE_TOPICS`], [`MAX_NODE_TOPIC_BYTES`]), unicasts that wait by session
//! ([`MAX_WAITING`], [`MAX_SESSION_WAITING_BYTES`]), by bytes ([`MAX_WAITING_BYTES`]) and of other nodes ([`MAX_NODE_WAITING`]),
//! requests that a subscriber has not answered ([`MAX_UNANSWERED`]), SDKs that left ([`MAX_GONE`]).
//! What is above a limit is answered (103; 1004 over WebSocket). A session whose queue is full gets no
//! unicasts, misses multicasts, and is cut after [`SLOW_TIMEOUT`]; the others do not notice.
//!
//! | file | decides |
//! |---|---|
//! | `sessions` | who follows what here, who comes back, who is too slow |
//! | `nodes` | who follows what elsewhere |
//! | `unicast`, `multicast` | who gets a message |
//! | `private` | who may get a message on a private topic |
//! | `quiet` | how often a session can make the log say something |
//! | `remote` | what other nodes ask and answer |
//! | [`channel`], [`ws`] | how SDKs say it |

pub mod channel;
mod config;
mod draw;
mod io;
mod message;
mod multicast;
mod nodes;
mod private;
mod quiet;
mod remote;
mod report;
mod sessions;
mod sink;
#[cfg(test)]
mod tests;
mod unicast;
pub mod ws;

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

pub use self::config::*;
pub use self::io::{AmopCast, AmopNotice, Input, MAX_CALLS, Output, SdkFault, SdkKind, SdkSession};
pub use self::message::{AmopFailure, CHANNEL_STATUS, Message, frame_seq};
pub use self::quiet::{NOTICE_PERIOD, NOTICES, NoticeBudget};
pub use self::report::{AmopCounters, AmopReport, SdkReport, TopicReport};
pub use self::sink::{QueueFull, SdkSink};

use self::nodes::Nodes;
use self::private::Judgements;
use self::sessions::Sessions;
use self::unicast::Unicasts;
use crate::mesh::Bucket;
use crate::time::Instant;
use crate::timers::Timers;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Whoever was asked for a unicast is silent, or its time is over.
    Unicast(u64),
    /// An SDK that left did not come back.
    Gone(u64),
    /// A session has not read for too long.
    Slow(SdkSession),
    /// Publishers of private topics have not judged.
    Verify,
}

/// The broker of one node, as a machine. See the [module](self) for what it promises.
#[derive(Debug)]
pub struct Broker {
    config: AmopConfig,
    rng: ChaCha8Rng,
    sessions: Sessions,
    nodes: Nodes,
    unicasts: Unicasts,
    judgements: Judgements,
    /// What all sessions together may publish.
    bucket: Bucket,
    timers: Timers<Timer>,
    counters: AmopCounters,
    outputs: VecDeque<Output>,
}

impl Broker {
    /// A broker without sessions. `seed` draws subscribers and makes seqs.
    #[must_use]
    pub fn new(config: AmopConfig, seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha8Rng::from_seed(seed),
            sessions: Sessions::default(),
            nodes: Nodes::default(),
            unicasts: Unicasts::default(),
            judgements: Judgements::default(),
            bucket: Bucket::new(config.limit, Instant::ZERO),
            timers: Timers::new(),
            counters: AmopCounters::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened { session, kind, identity } => self.opened(now, session, kind, identity),
            Input::Closed { session } => self.closed(now, session),
            Input::Subscribe { session, topics } => self.subscribe(now, session, topics),
            Input::BadList { session, error } => self.bad_list(now, session, error),
            Input::Publish { session, cast, message } => self.publish(now, session, cast, message),
            Input::Answer { session, seq, result } => self.answered(now, session, &seq, result),
            Input::Verdict { session, verdict } => self.judged(now, session, verdict),
            Input::Refused { session, seq } => self.refused(now, session, &seq),
            Input::Room { session } => self.room(session),
            Input::Mesh(event) => self.mesh(now, event),
            Input::SetLimits { session, all } => self.set_limits(now, session, all),
        }
    }

    /// What the driver has to do next; `None` when there is nothing.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Broker::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Unicast(id) => self.unicast_due(now, id),
                Timer::Gone(place) => self.forget_gone(place),
                Timer::Slow(session) => self.too_slow(session),
                Timer::Verify => self.verify_due(now),
            }
        }
    }

    fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn notice(&mut self, notice: AmopNotice) {
        self.output(Output::Notice(notice));
    }

    /// The same for what a session can cause as often as it likes: it has a stock of lines.
    fn notice_of(&mut self, now: Instant, session: SdkSession, notice: AmopNotice) {
        let sdk = self.sessions.open.get_mut(&session);
        let Some(left_out) = sdk.and_then(|sdk| sdk.notices.take(now)) else { return };
        self.left_out(session, left_out);
        self.notice(notice);
    }

    fn left_out(&mut self, session: SdkSession, count: u64) {
        if count > 0 {
            self.notice(AmopNotice::LeftOut { session, count });
        }
    }
}
