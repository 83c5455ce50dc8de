//! The `chainmesh` command: what it understands, and how it ends.
//!
//! It ends with 0 when all went well, with 1 after a failure (one sentence on stderr), and with 2
//! when it was called in a wrong way.

mod bootnode;
pub(crate) mod ca;
mod crawl;
mod devnet;
mod doctor;
mod export;
mod import;
mod init;
mod key;
mod listen;
mod logging;
mod mesh;
pub(crate) mod output;
mod peers;
mod ping;
mod publish;
mod rpc;
mod run;
mod running;
mod sdk;
mod send;
pub(crate) mod signals;
mod subscribe;
mod topics;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::StdoutClosed;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "chainmesh",
    version,
    about = "The peer-to-peer network of a blockchain: a node, and tools around it",
    after_help = "\
To see it work, without any preparation:
  chainmesh devnet

To begin a network of your own, with one validator:
  chainmesh init --data-dir ./node --new-signer --chain-id 1515
  chainmesh run --data-dir ./node --validator-key ./node/validator.key
  chainmesh peers --data-dir ./node

To see a consortium, whose nodes need certificates:
  chainmesh devnet --consortium",
    max_term_width = 100,
    propagate_version = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Devnet(devnet::DevnetArgs),
    Run(Box<run::RunArgs>),
    Init(init::InitArgs),
    Bootnode(bootnode::BootnodeArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    #[command(subcommand)]
    Key(key::KeyCommand),
    Peers(peers::PeersArgs),
    Ping(Box<ping::PingArgs>),
    Crawl(Box<crawl::CrawlArgs>),
    Mesh(mesh::MeshArgs),
    Send(send::SendArgs),
    Listen(listen::ListenArgs),
    Topics(topics::TopicsArgs),
    Sub(subscribe::SubArgs),
    Pub(publish::PubArgs),
    #[command(subcommand)]
    Ca(ca::CaCommand),
    #[command(subcommand)]
    Doctor(Box<doctor::DoctorCommand>),
}

/// Carries out the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Devnet(args) => devnet::run(args),
        Command::Run(args) => run::run(*args),
        Command::Init(args) => init::run(&args),
        Command::Bootnode(args) => bootnode::run(args),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Key(command) => key::run(&command),
        Command::Peers(args) => peers::run(&args),
        Command::Ping(args) => ping::run(*args),
        Command::Crawl(args) => crawl::run(&args),
        Command::Mesh(args) => mesh::run(&args),
        Command::Send(args) => send::run(args),
        Command::Listen(args) => listen::run(args),
        Command::Topics(args) => topics::run(&args),
        Command::Sub(args) => subscribe::run(args),
        Command::Pub(args) => publish::run(args),
        Command::Ca(command) => ca::run(&command),
        Command::Doctor(command) => doctor::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has enough of it, as in `chainmesh … | head -1`.
        Err(error) if error.is::<StdoutClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// A tokio runtime for a command.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use anyhow::Context as _;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("the asynchronous runtime cannot be started")
}
