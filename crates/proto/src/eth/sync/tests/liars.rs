//! Liars.
