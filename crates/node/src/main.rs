//! The `chainmesh` command.
fn main() {}
