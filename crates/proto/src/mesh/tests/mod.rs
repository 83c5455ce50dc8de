//! Tests of the mesh from outside: machines in a network of virtual time, and one machine whose
//! neighbours say what a test wants.

mod fisco;
mod healing;
mod limits;
mod messages;
mod module;
mod network;
mod properties;
mod routes;
mod status;
mod versions;
