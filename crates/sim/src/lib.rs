//! Runs the protocol machines in virtual time.
