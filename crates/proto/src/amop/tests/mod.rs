//! Tests of the broker from outside: nodes (a mesh and a broker each) in a network of virtual time,
//! with SDKs that speak frames and messages as they are on the wire.

mod bad_input;
mod channel;
mod delivery;
mod diagrams;
mod grace;
mod limits;
mod module;
mod network;
mod private;
mod properties;
mod quiet;
mod sdk;
mod seqs;
mod two_generations;
mod ws;
