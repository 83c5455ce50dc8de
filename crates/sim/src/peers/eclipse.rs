//! Eclipse attacks.
