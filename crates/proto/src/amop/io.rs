//! What the broker is told and what it says, in words that fit both generations of SDKs.

use bytes::Bytes;
use chainmesh_wire::amop::AmopError;
use chainmesh_wire::amop::channel::{TopicVerdict, VerifyTopic};

use super::{AmopFailure, Message};
use crate::mesh::{AmopEvent, AmopSend, Rate};

/// Most RPC calls of one connection that wait for their answers. Chosen: SDKs wait for most of their
/// calls.
pub const MAX_CALLS: usize = 1_024;

/// Names a session with an SDK; the driver counts them and never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SdkSession(pub u64);

/// Which protocol an SDK speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SdkKind {
    /// The channel protocol of 2.x.
    Channel,
    /// The WebSocket protocol of 3.x.
    WebSocket,
}

/// To how many subscribers a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AmopCast {
    /// To one, who answers.
    Unicast,
    /// To all, who do not.
    Multicast,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An SDK may speak. If one of the same identity left a moment ago, it has its topics again.
    Opened {
        /// The session.
        session: SdkSession,
        /// Which protocol it speaks.
        kind: SdkKind,
        /// Who it is, such as the key of its certificate; empty: nobody knows.
        identity: Bytes,
    },
    /// A session is over; nothing comes from it any more.
    Closed {
        /// The session.
        session: SdkSession,
    },
    /// An SDK tells all topics that it follows. Not answered.
    Subscribe {
        /// The session.
        session: SdkSession,
        /// The whole list; it replaces what it followed before.
        topics: Vec<String>,
    },
    /// What should be a list of topics is none. What it followed before holds; the third time
    /// ([`MAX_BAD_LISTS`](super::MAX_BAD_LISTS)) its session ends.
    BadList {
        /// The session.
        session: SdkSession,
        /// What is wrong with it.
        error: AmopError,
    },
    /// An SDK has a message for subscribers. [`Output::Done`] tells the end, with the same seq.
    Publish {
        /// The session.
        session: SdkSession,
        /// For one or for all.
        cast: AmopCast,
        /// What it says.
        message: Message,
    },
    /// A subscriber answers an [`Output::Push`].
    Answer {
        /// The session.
        session: SdkSession,
        /// The push's seq.
        seq: Bytes,
        /// The subscriber's answer, or the code with which it refuses.
        result: Result<Bytes, i32>,
    },
    /// A publisher's verdict on a subscriber of a private topic.
    Verdict {
        /// The session.
        session: SdkSession,
        /// The verdict.
        verdict: TopicVerdict,
    },
    /// A push found no room in the session's queue, which is full: until [`Input::Room`] the session
    /// gets no unicasts and misses multicasts, and after
    /// [`SLOW_TIMEOUT`](super::SLOW_TIMEOUT) it is cut.
    Refused {
        /// The session.
        session: SdkSession,
        /// The push's seq.
        seq: Bytes,
    },
    /// There is room again in a session's queue.
    Room {
        /// The session.
        session: SdkSession,
    },
    /// Something from the mesh.
    Mesh(AmopEvent),
    /// Other limits hold from now on.
    SetLimits {
        /// How much each session may publish.
        session: Rate,
        /// How much all sessions together may publish.
        all: Rate,
    },
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Give a message to a subscriber.
    Push {
        /// The session.
        session: SdkSession,
        /// Whether it has to answer.
        cast: AmopCast,
        /// What it says. Its seq is the one to be used, and to be named in the answer; empty only in
        /// a multicast over WebSocket.
        message: Message,
    },
    /// Tell a publisher how its message ended. A multicast ends at once.
    Done {
        /// The session.
        session: SdkSession,
        /// For one or for all: WebSocket SDKs are told of the first only.
        cast: AmopCast,
        /// The message as it was published, its seq included.
        message: Message,
        /// The answer's data (of a multicast: empty), or why there is none.
        result: Result<Bytes, AmopFailure>,
    },
    /// Ask a publisher's SDK whether a subscriber may have a private topic. Only sessions of
    /// [`SdkKind::Channel`] are asked.
    Verify {
        /// The session.
        session: SdkSession,
        /// The seq to be used.
        seq: Bytes,
        /// What is asked.
        question: VerifyTopic,
    },
    /// End a session. [`Input::Closed`] follows all the same.
    Close {
        /// The session.
        session: SdkSession,
        /// Why.
        fault: SdkFault,
    },
    /// Give this to the mesh.
    Mesh(AmopSend),
    /// Tell an SDK that its list of topics was refused whole, and the old one holds. 2.x has no words
    /// for it.
    ListRefused {
        /// The session.
        session: SdkSession,
        /// Why.
        error: AmopError,
    },
    /// Something to be told.
    Notice(AmopNotice),
}

/// Why the broker, or the machine of its connection, ends a session with an SDK. The SDK is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdkFault {
    /// It does not read what is sent to it.
    #[error("it does not read: its queue was full for {} s", super::SLOW_TIMEOUT.as_secs())]
    TooSlow,
    /// Its lists of topics cannot be read.
    #[error("its lists of topics cannot be read, the last one: {0}")]
    BadLists(AmopError),
    /// What it sends is no frame or message, or none that is allowed here.
    #[error(transparent)]
    Message(#[from] AmopError),
    /// It says nothing.
    #[error("nothing came from it for {0} s")]
    Silent(u64),
    /// It did not begin as the protocol has it.
    #[error("its first message is no handshake")]
    NoHandshake,
    /// It sends faster than its calls are answered.
    #[error("more than {0} of its calls wait for an answer")]
    TooManyCalls(usize),
}

/// Something that the log should tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmopNotice {
    /// An SDK has the topics again that it followed before it left.
    Restored {
        /// The session.
        session: SdkSession,
        /// How many topics.
        topics: usize,
    },
    /// A list of topics could not be read; the old one holds.
    BadList {
        /// The session.
        session: SdkSession,
        /// What is wrong with it.
        error: AmopError,
    },
    /// A list of topics is beyond a limit and was refused whole; the old one holds.
    TooManyTopics {
        /// The session.
        session: SdkSession,
        /// Topics or bytes in the list, or in all with it.
        count: usize,
        /// Topics or bytes allowed.
        limit: usize,
    },
    /// A message is above a limit, and its publisher was told (over WebSocket: of unicasts only).
    OverLimit {
        /// The publisher's session.
        session: SdkSession,
    },
    /// A session answered a request that another one was asked: dropped.
    ForeignAnswer {
        /// The session that answered.
        session: SdkSession,
        /// One that was asked.
        asked: SdkSession,
    },
    /// A session answered what nobody asked it, or too late: dropped. Go's SDK answers multicasts.
    UnknownAnswer {
        /// The session.
        session: SdkSession,
    },
    /// A session judged a subscriber about whom it was not asked: dropped.
    UnknownVerdict {
        /// The session.
        session: SdkSession,
    },
    /// So many notices about a session were left out, since it caused too many.
    LeftOut {
        /// The session.
        session: SdkSession,
        /// How many.
        count: u64,
    },
    /// A session does not keep up.
    Slow {
        /// The session.
        session: SdkSession,
    },
    /// A publisher has judged a subscriber of a private topic.
    Judged {
        /// The publisher's session.
        session: SdkSession,
        /// What it says; the text is the SDK's, escape it before it is shown.
        verdict: TopicVerdict,
    },
}
