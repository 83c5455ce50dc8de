//! Text from peers, made fit for logs, terminals and reports.

use core::fmt::{self, Write};

/// Stands where a text was cut. A text that was made fit before keeps it.
const CUT: char = '…';
/// Characters of a peer's text that are shown.
const SHOWN: usize = 64;

/// Shows a text that a peer chose: at most 64 characters, everything that is not printable
/// escaped.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

/// As [`Escaped`], with so many characters.
#[derive(Debug, Clone, Copy)]
pub struct EscapedTo<'a>(pub &'a str, pub usize);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        EscapedTo(self.0, SHOWN).fmt(f)
    }
}

impl fmt::Display for EscapedTo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, character) in self.0.chars().enumerate() {
            if at == self.1 {
                return f.write_char(CUT);
            }
            let printable = character.is_alphanumeric() || character.is_ascii_graphic();
            if printable || [' ', CUT].contains(&character) {
                f.write_char(character)?;
            } else {
                write!(f, "{}", character.escape_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

/// At most `most` characters of a peer's text, everything that is not printable ASCII escaped.
pub(crate) fn shown(text: &[u8], most: usize) -> String {
    text.escape_ascii().take(most).map(char::from).collect()
}
