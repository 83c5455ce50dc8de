//! Bytes to messages and back, with the limits in the types.
