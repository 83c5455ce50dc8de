//! What a client has done so far.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What a client has done so far.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same, while it is counted.
        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counting {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Messages that came for a subscription.
    received,
    /// Messages that were handed to a node.
    published,
    /// Replies and acknowledgements that were handed to a node.
    replied,
    /// Replies that could not be given: the connection over which the question came was lost, or
    /// the reply was too long.
    replies_lost,
    /// Times that reading was stopped because the application did not take its messages.
    pauses,
    /// Connections that were made.
    connections,
    /// Answers that nobody waited for any more.
    late,
    /// Frames and messages that could not be understood and were passed over.
    unreadable,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
