//! A node of a consortium: its certificate, whom it trusts, and how both change while it runs.
//!
//! | file | holds |
//! |---|---|
//! | `certificates.rs` | [`CertificateFiles`]: which files there are, and what is in them |
//! | `change.rs` | [`Change`]: one thing that is not as it was |
//! | `membership.rs` | [`Membership`]: files, lists and nodes as one thing that can be read again |
//! | `reload.rs` | [`Reloader`]: reads it again, and says what changed |

mod certificates;
mod change;
mod expiry;
mod membership;
mod reload;

pub use certificates::{ALLOW_LIST, CertificateFiles, DENY_LIST, FileStamp, LoadError, Loaded};
pub use change::Change;
pub(crate) use change::Shown;
pub use membership::Membership;
pub use reload::{Consortium, ReloadError, ReloadReport, Reloader, WATCH_INTERVAL};
