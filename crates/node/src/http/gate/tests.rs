//! Host names and origins as browsers send them.

use super::{Hosts, Origins};

#[test]
fn hosts_are_names_of_this_machine() {
    let hosts = Hosts::default();
    for host in [
        "localhost",
        "LOCALHOST:8545",
        "localhost.:1",
        "127.0.0.1",
        "127.0.0.1:8545",
        "[::1]",
        "[::1]:8545",
        "10.0.0.7:8545",
    ] {
        assert!(hosts.admit(host), "{host}");
    }
    for host in [
        "",
        ":8545",
        "evil.example",
        "evil.example:8545",
        "localhost.evil.example",
        "[::1",
        "[::1]evil.example",
        "127.0.0.1.evil.example",
    ] {
        assert!(!hosts.admit(host), "{host}");
    }
    let named = Hosts::new(["Node.Example"]);
    assert!(named.admit("node.example:1") && !named.admit("localhost"));
    assert!(Hosts::new(["*"]).admit("evil.example"));
}

#[test]
fn origins_are_none_unless_they_are_named() {
    let none = Origins::default();
    for origin in ["http://localhost", "null", "", "https://app.example", "*"] {
        assert!(!none.admit(origin), "{origin}");
    }
    let one = Origins::new(["https://App.example/"]);
    assert!(one.admit("https://app.example"));
    for origin in ["http://app.example", "https://app.example:444", "https://app.example.evil"] {
        assert!(!one.admit(origin), "{origin}");
    }
    assert!(Origins::new(["*"]).admit("https://any.example"));
}
