//! The causes that have words of their own.

use super::*;

fn label(stage: ProbeStage, cause: &CloseCause) -> &'static str {
    Finding::closed(stage, cause).label
}

#[test]
fn a_full_node_is_there_and_a_wrong_key_is_another_node() {
    let full = CloseCause::Remote(DisconnectReason::TooManyPeers);
    assert_eq!(label(ProbeStage::Hello, &full), "full");
    // Who cannot read our first packet hangs up.
    let hung_up = CloseCause::Network(None);
    assert_eq!(label(ProbeStage::Handshake, &hung_up), "wrong-key");
    // After the keys were agreed on it is something else.
    assert_eq!(label(ProbeStage::Hello, &hung_up), "broken");
    assert_eq!(label(ProbeStage::Handshake, &CloseCause::HandshakeTimeout), "silent");
}

#[test]
fn each_failed_connection_says_whose_it_is() {
    let blame = |error| Finding::no_connection(error, 30303).blame;
    assert_eq!(blame(DialError::Refused), Whose::Theirs);
    assert_eq!(blame(DialError::TimedOut), Whose::Network);
    assert_eq!(blame(DialError::NameNotFound), Whose::Ours);
    assert!(Finding::no_connection(DialError::TimedOut, 30303).next.contains("30303"));
}
