//! Peer exchange: when is asked and answered, and what is taken.
