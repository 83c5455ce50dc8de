//! Nodes on loopback, seen from outside: through [`P2pConfig`], [`P2pHandle`] and modules only.

mod chain;
mod conduct;
mod consortium;
mod discovery;
mod echo;
mod eth;
mod fit;
mod gossip;
mod mesh;
mod pex;
mod reach;
mod sessions;
mod support;
