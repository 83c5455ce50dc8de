//! Capabilities as they are shown.

use super::capabilities;

fn shown(list: &[&str]) -> String {
    capabilities(&list.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[test]
fn versions_of_one_capability_stand_together() {
    assert_eq!(shown(&["eth/66", "eth/67", "eth/68", "snap/1"]), "eth/66-68 snap/1");
    assert_eq!(shown(&["eth/66", "eth/68", "les/4"]), "eth/66 eth/68 les/4");
    assert_eq!(shown(&[]), "");
}

#[test]
fn what_a_peer_made_up_is_shown_without_harm() {
    assert_eq!(shown(&["odd", "a/b", "x/18446744073709551615"]), "x/18446744073709551615 odd a/b");
    assert_eq!(shown(&["\u{1b}[2J/1"]), "\\u{1b}[2J/1");
}
