//! How the command is called, and what it says when it is called in a wrong way.

use crate::support::{fails, succeeds};

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        ["devnet"].as_slice(),
        &["run"],
        &["import"],
        &["export"],
        &["key", "new"],
        &["key", "show"],
        &["peers"],
        &["mesh"],
        &["send"],
        &["listen"],
    ] {
        // No terminal is at the other end, so lines are 100 wide, unless they are written shorter.
        let help = succeeds(&[command, &["--help"]].concat());
        let example = format!("  chainmesh {} --", command.join(" "));
        assert!(help.contains(&example), "{command:?} has no example:\n{help}");
        let examples = help.split("\nExample").nth(1).unwrap();
        let long = examples.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "the examples of {command:?} do not fit into a terminal");
    }
}

#[test]
fn bad_flags_are_usage_errors() {
    for (arguments, said) in [
        (["devnet", "--nodes", "0"].as_slice(), "--nodes"),
        (&["devnet", "--nodes", "101"], "--nodes"),
        (&["devnet", "--period", "0"], "--period"),
        (&["devnet", "--chain", "x.rlp"], "--genesis"),
        (&["devnet", "--genesis", "x.json"], "--chain"),
        (&["devnet", "--no-such-flag"], "--no-such-flag"),
        (&["run", "--bootnode", "enode://1234@127.0.0.1:1"], "--bootnode"),
        (&["run", "--bootnode", "enr:-IS4QHCYrYZ"], "--bootnode"),
        (&["run", "--nat", "stun"], "--nat"),
        (&["run", "--nat", "extip:1.2.3.4", "--external-ip", "1.2.3.4"], "--nat"),
        (&["run", "--port", "65536"], "--port"),
        (&["run", "--listen", "localhost"], "--listen"),
        (&["import", "chain.rlp"], "--data-dir"),
        (&["export", "--data-dir", "x"], "FILE"),
        (&["key", "new"], "--data-dir"),
        (&["key", "new", "--data-dir", "x", "--out", "y"], "--out"),
        (&["peers"], "--data-dir"),
        (&["no-such-command"], "no-such-command"),
        (&[], "Usage"),
    ] {
        let error = fails(2, arguments);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[cfg(not(feature = "upnp"))]
#[test]
fn a_program_without_port_mapping_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    for choice in ["any", "upnp", "pmp", "pmp:192.168.0.1"] {
        let error = fails(1, &["bootnode", "--data-dir", data, "--port", "0", "--nat", choice]);
        assert!(error.contains("--nat") && error.contains("cargo feature `upnp`"), "{error}");
    }
}

#[test]
fn a_bad_log_filter_is_told() {
    let error = fails(1, &["devnet", "--duration", "1", "--log", "a=b=c"]);
    assert!(error.contains("--log"), "{error}");
}
