//! The face towards SDKs of 3.x.
