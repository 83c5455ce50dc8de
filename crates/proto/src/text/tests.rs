//! What people see of texts that others chose.

use super::{Escaped, EscapedTo};

#[test]
fn what_a_terminal_would_obey_is_escaped_and_long_texts_are_cut() {
    assert_eq!(Escaped("a\u{1b}[2Jb\n").to_string(), "a\\u{1b}[2Jb\\n");
    assert_eq!(EscapedTo("0123456789", 4).to_string(), "0123…");
    assert_eq!(Escaped("\u{202e}txt").to_string(), "\\u{202e}txt");
}

/// Reasons are cut when they go into the address book, and escaped again when they are shown: they ended
/// with `\\u{2026}`.
#[test]
fn a_text_that_was_made_fit_before_stays_as_it_is() {
    let once = EscapedTo("genesis 0x3bc86456… (ours 0xfee40db3…), and so on", 40).to_string();
    assert_eq!(EscapedTo(&once, 150).to_string(), once);
}
