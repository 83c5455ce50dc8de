//! Nodes on loopback, seen from outside: through [`P2pConfig`], [`P2pHandle`] and modules only.

mod echo;
mod sessions;
mod support;
