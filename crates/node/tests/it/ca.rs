//! `chainmesh ca`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{directory, fails, succeeds, text};

/// A CA and node n0 of it in `dir`; returns the directory of the CA.
fn init(dir: &Path) -> String {
    let ca = text(&dir.join("ca"));
    succeeds(&["ca", "init", "--name", "test", "--ca", &ca]);
    succeeds(&["ca", "issue", "--ca", &ca, "--name", "n0", "--out", &text(&dir.join("n0"))]);
    ca
}

fn list(ca: &str) -> Vec<Value> {
    serde_json::from_str(&succeeds(&["ca", "list", "--json", "--ca", ca])).unwrap()
}

fn of<'a>(list: &'a [Value], name: &str) -> &'a Value {
    list.iter().find(|issued| issued["name"] == name).unwrap()
}

/// The value of a line such as `id   0123`.
fn value<'a>(output: &'a str, label: &str) -> &'a str {
    output.lines().find_map(|line| line.strip_prefix(label)).unwrap().trim()
}

/// Runs openssl: its output, and whether it was content. `None` where there is no openssl, which is
/// told, and is a failure in CI.
fn openssl(arguments: &[&str]) -> Option<(String, bool)> {
    match Command::new("openssl").args(arguments).output() {
        Ok(done) => {
            let output = [done.stdout, done.stderr].concat();
            Some((String::from_utf8_lossy(&output).into_owned(), done.status.success()))
        }
        Err(error) => {
            assert!(std::env::var("CI").is_err(), "openssl: {error}");
            eprintln!("SKIP: the check by openssl, which is not here: {error}");
            None
        }
    }
}

#[test]
fn from_init_to_revoke() {
    let dir = directory();
    let ca = init(dir.path());
    for (file, mode) in [("ca/ca.key", 0o600), ("ca/ca.crt", 0o644), ("n0/node.key", 0o600)] {
        let found = fs::metadata(dir.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
    }
    let n1 = text(&dir.path().join("n1"));
    let issued = succeeds(&["ca", "issue", "--ca", &ca, "--name", "n1", "--out", &n1]);
    let table = succeeds(&["ca", "list", "--ca", &ca]);
    assert!(table.contains(value(&issued, "serial")), "{table}");
    let all = list(&ca);
    assert_eq!(of(&all, "n1")["id"], value(&issued, "id"));
    assert_eq!(of(&all, "n1")["state"], "valid");

    let revoked = succeeds(&["ca", "revoke", "n1", "--ca", &ca]);
    assert!(revoked.contains("revoked    node n1"), "{revoked}");
    assert_eq!(of(&list(&ca), "n1")["state"], "revoked");
    assert_eq!(of(&list(&ca), "n0")["state"], "valid");
    let again = succeeds(&["ca", "revoke", "n1", "--ca", &ca]);
    assert!(again.contains("was revoked before"), "{again}");

    let n0 = text(&dir.path().join("n0"));
    succeeds(&["ca", "export", "n0", "--ca", &ca, "--out", &n0]);
    let error = fails(1, &["ca", "export", "n1", "--ca", &ca, "--out", &n1]);
    assert!(error.contains("not revoked"), "{error}");
    let file = |name: &str| text(&dir.path().join(name));
    let verify = |node: &str| {
        let (root, lists) = (file("n0/ca.crt"), file("n0/ca.crl"));
        let arguments =
            ["verify", "-x509_strict", "-crl_check", "-CRLfile", &lists, "-CAfile", &root];
        openssl(&[&arguments[..], &[&file(node)]].concat())
    };
    if let Some((output, content)) = verify("n0/node.crt") {
        assert!(content, "{output}");
        let (output, content) = verify("n1/node.crt").unwrap();
        assert!(!content && output.contains("certificate revoked"), "{output}");
    }
}

#[test]
fn an_agency_issues_and_goes_with_all_it_issued() {
    let dir = directory();
    let ca = init(dir.path());
    let b0 = text(&dir.path().join("b0"));
    let error =
        fails(1, &["ca", "issue", "--ca", &ca, "--agency", "bank", "--name", "b0", "--out", &b0]);
    assert!(error.contains("chainmesh ca agency bank"), "{error}");
    succeeds(&["ca", "agency", "bank", "--ca", &ca]);
    succeeds(&["ca", "issue", "--ca", &ca, "--agency", "bank", "--name", "b0", "--out", &b0]);
    let (root, chain) = (format!("{b0}/ca.crt"), format!("{b0}/node.crt"));
    let verify = ["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &chain, &chain];
    if let Some((output, content)) = openssl(&verify) {
        assert!(content, "{output}");
    }
    succeeds(&["ca", "revoke", "bank", "--ca", &ca]);
    assert_eq!(of(&list(&ca), "b0")["state"], "agency revoked");
    assert_eq!(of(&list(&ca), "bank")["state"], "revoked");
    assert_eq!(of(&list(&ca), "n0")["state"], "valid");
}

#[test]
fn no_key_is_ever_overwritten() {
    let dir = directory();
    let ca = init(dir.path());
    let (ca_key, node_key) = (dir.path().join("ca/ca.key"), dir.path().join("n0/node.key"));
    let before = [fs::read(&ca_key).unwrap(), fs::read(&node_key).unwrap()];
    let error = fails(1, &["ca", "init", "--ca", &ca]);
    assert!(error.contains("exists already"), "{error}");
    let n0 = text(&dir.path().join("n0"));
    let error = fails(1, &["ca", "issue", "--ca", &ca, "--name", "n0", "--out", &n0]);
    assert!(error.contains("another key"), "{error}");
    assert_eq!(list(&ca).len(), 1, "nothing was issued for it");
    assert_eq!(before, [fs::read(&ca_key).unwrap(), fs::read(&node_key).unwrap()]);
    // A new certificate for the same key is another matter.
    let old = fs::read(dir.path().join("n0/node.crt")).unwrap();
    let key = text(&node_key);
    succeeds(&["ca", "issue", "--ca", &ca, "--name", "n0", "--out", &n0, "--key", &key]);
    assert_ne!(fs::read(dir.path().join("n0/node.crt")).unwrap(), old);
    assert_eq!(before[1], fs::read(&node_key).unwrap());
    let all = list(&ca);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["id"], all[1]["id"]);
}

#[test]
fn a_certificate_for_a_key_that_is_there_or_elsewhere() {
    let dir = directory();
    let ca = init(dir.path());
    let data = text(&dir.path().join("data"));
    let made = succeeds(&["key", "new", "--data-dir", &data]);
    let (id, key) = (value(&made, "id"), format!("{data}/p2p_key"));
    let (n1, n2) = (text(&dir.path().join("n1")), text(&dir.path().join("n2")));
    let of_key = ["ca", "issue", "--ca", &ca, "--name", "n1", "--out", &n1, "--key", &key];
    assert_eq!(value(&succeeds(&of_key), "id"), id);
    assert!(Path::new(&n1).join("node.key").exists());
    let of_id = ["ca", "issue", "--ca", &ca, "--name", "n2", "--out", &n2, "--id", id];
    assert_eq!(value(&succeeds(&of_id), "id"), id);
    assert!(!Path::new(&n2).join("node.key").exists());
    // One ID, two certificates: by ID both are revoked.
    succeeds(&["ca", "revoke", id, "--ca", &ca]);
    let all = list(&ca);
    let revoked = all.iter().filter(|issued| issued["state"] == "revoked").count();
    assert_eq!(revoked, 2);
}

#[test]
fn mistakes_are_told_and_leave_nothing() {
    let dir = directory();
    let nowhere = text(&dir.path().join("nowhere"));
    let error = fails(1, &["ca", "list", "--ca", &nowhere]);
    assert!(error.contains("chainmesh ca init"), "{error}");
    let ca = init(dir.path());
    let out = text(&dir.path().join("out"));
    for name in ["a b", "a,CN=x", "..", "a/b"] {
        let error = fails(1, &["ca", "issue", "--ca", &ca, "--name", name, "--out", &out]);
        assert!(error.contains("will not do"), "{name}: {error}");
        assert!(!Path::new(&out).exists());
        let error = fails(1, &["ca", "agency", name, "--ca", &ca]);
        assert!(error.contains("will not do"), "{name}: {error}");
    }
    assert!(!dir.path().join("ca/agencies").exists());
    let error = fails(1, &["ca", "revoke", "nobody", "--ca", &ca]);
    assert!(error.contains("was issued here"), "{error}");
    fails(2, &["ca", "init", "--ca", &nowhere, "--days", "0"]);
}
