//! Text of peers, made fit for reports.

/// At most `most` characters of a peer's text, everything that is not printable ASCII escaped.
pub(crate) fn shown(text: &[u8], most: usize) -> String {
    text.escape_ascii().take(most).map(char::from).collect()
}
