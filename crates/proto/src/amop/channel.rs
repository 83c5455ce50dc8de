//! The face towards SDKs of 2.x.
