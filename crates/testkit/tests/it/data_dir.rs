//! Row 19: two processes, one data directory.

use std::time::Duration;

use chainmesh_testkit::fleet::{Fleet, Transport};
use chainmesh_testkit::process;
use chainmesh_testkit::row::Row;

#[test]
fn row_19_a_second_process_on_a_data_directory_is_refused() {
    let fleet = Fleet::builder(Transport::Rlpx, 2).start();
    let row = Row::new(19, "two processes, one data directory", fleet.bed());
    let first = &fleet.nodes[1].process;
    let data_dir = first.data_dir().to_str().unwrap();
    let (output, took) = process::run(&["run", "--data-dir", data_dir, "--port", "0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    row.below("exit", took, Duration::from_secs(1));
    row.equals("exit code", output.status.code().unwrap_or(-1), 1);
    let named = said.contains(&format!("in use by process {}", first.id()));
    println!("{said}");
    row.equals("names the other process", named, true);
    // The first one has not noticed: it still answers, and is still where it was.
    assert!(fleet.is_meshed());
}
