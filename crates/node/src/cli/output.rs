//! What people and scripts read: stdout for results, stderr for the rest. Neither panics when
//! nobody reads any more.

use std::io::{self, ErrorKind, Write};

/// Nobody reads our stdout any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(crate) struct StdoutClosed;

/// Writes a line to stdout.
///
/// # Errors
/// [`StdoutClosed`], or the system's reason.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("cannot write to stdout")),
    }
}

/// Tells people something on stderr. Whether somebody reads it does not matter.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says on stderr why the command failed.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("error: {}", sentence(error)));
}

/// An error with its causes, as one sentence. Causes that the text before tells already are left
/// out.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A number of bytes for people: `999 B`, `1.5 kB`, `12 MB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let digits = usize::from(unit != "B" && value < 9.95);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A number with its thousands apart: `12 345 678`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A hash for people: its first four and last four digits.
pub(crate) fn short_hash(hash: &alloy_primitives::B256) -> String {
    let digits = alloy_primitives::hex::encode(hash);
    format!("{}…{}", digits.get(..4).unwrap_or_default(), digits.get(60..).unwrap_or_default())
}

/// A time span for people: `4.2 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn duration(span: std::time::Duration) -> String {
    match span.as_secs() {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds @ ..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        seconds => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests;
