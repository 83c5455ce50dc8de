//! What the network decides, as state machines: no IO, no clock, no ambient randomness.
//!
//! Every machine has the same verbs, and both drivers (`net` on sockets, `sim` in virtual time)
//! know only these: `new(config, seed)`, `handle(now, input)`, `poll()` until it is empty,
//! `poll_timeout()`, `handle_timeout(now)`, `snapshot()`. Time is what the driver says
//! ([`time::Instant`]), randomness comes from the driver's seed.
//!
//! | module | decides |
//! |---|---|
//! | [`discovery`] | who else is there, and who of them is believed |
//! | [`peers`] | whom to dial, whom to let in, which connection to keep |
//! | [`session`] | who is at the other end, and what the bytes mean |
//! | [`mesh`] | how a consortium's members find, reach and know each other |
//! | [`amop`] | who gets a message on a topic |
//! | [`module`] | how applications hook in |
//! | [`eth`] | what of the chain is asked for, served and announced |

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod amop;
pub mod discovery;
pub mod eth;
pub mod mesh;
pub mod module;
pub mod peers;
pub mod session;
pub mod text;
pub mod time;
pub(crate) mod timers;
