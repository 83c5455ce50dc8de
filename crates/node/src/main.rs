//! The `chainmesh` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    chainmesh_node::cli::main()
}
