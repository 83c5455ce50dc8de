//! `chainmesh key`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Blocks, directory, fails, succeeds, text};

#[test]
fn a_new_key_is_saved_for_its_owner_and_never_overwritten() {
    let dir = directory();
    let data = text(&dir.path().join("node"));
    let made = succeeds(&["key", "new", "--data-dir", &data]);
    let path = dir.path().join("node/p2p_key");
    let secret = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!made.contains(secret.trim()), "the secret is shown");
    let shown = succeeds(&["key", "show", "--data-dir", &data]);
    assert_eq!(shown, made);
    let id = shown.lines().find_map(|line| line.strip_prefix("id")).unwrap().trim();
    assert_eq!(id.len(), 128);
    assert!(shown.contains(&format!("enode://{id}@127.0.0.1:30303")));

    let error = fails(1, &["key", "new", "--data-dir", &data]);
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);
}

#[test]
fn the_address_is_the_one_of_the_key() {
    // The well-known first account of development networks.
    let dir = directory();
    let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    fs::write(dir.path().join("p2p_key"), key).unwrap();
    let shown = succeeds(&["key", "show", "--data-dir", &text(dir.path())]);
    assert!(shown.contains("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"), "{shown}");
}

#[test]
fn a_damaged_key_is_told_and_left_as_it_is() {
    let dir = directory();
    let blocks = Blocks::make(1, 0);
    let data = text(dir.path());
    let path = dir.path().join("p2p_key");
    fs::write(&path, "not a key").unwrap();
    for arguments in [
        vec!["key", "show", "--data-dir", &data],
        vec!["key", "new", "--data-dir", &data],
        vec!["run", "--data-dir", &data, "--genesis", &blocks.genesis(), "--port", "0"],
    ] {
        let error = fails(1, &arguments);
        assert!(error.contains("p2p_key"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
    }
}

#[test]
fn a_missing_key_is_told_with_what_to_do() {
    let dir = directory();
    let missing = text(&dir.path().join("missing"));
    let error = fails(1, &["key", "show", "--data-dir", &missing]);
    assert!(error.contains("chainmesh key new --data-dir"), "{error}");
    assert!(!dir.path().join("missing").exists());
}
