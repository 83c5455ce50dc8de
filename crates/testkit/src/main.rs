//! The `chainmesh` command as the tests run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    chainmesh_node::cli::main()
}
