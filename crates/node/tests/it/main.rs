//! The `chainmesh` command from outside: real processes, real files, real sockets.

mod book;
mod ca;
mod devnet;
mod doctor;
mod files;
mod fit;
mod init;
mod ipc;
mod judged;
mod key;
mod mesh;
mod probe;
mod rpc;
mod run;
mod sdk;
mod support;
mod usage;
