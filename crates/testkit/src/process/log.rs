//! The log of a node, for people.

use std::path::Path;

/// Lines that are shown of a long log.
const LAST: usize = 60;

pub(super) fn read(path: &Path) -> String {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("{}: {error}\n", path.display()),
    }
}

/// The end of the log, each line set off from the test's own words.
pub(super) fn tail(path: &Path) -> String {
    let log = read(path);
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(LAST);
    let mut shown = String::new();
    if from > 0 {
        shown = format!("  | … {from} lines before in {}\n", path.display());
    }
    for line in &lines[from..] {
        shown += &format!("  | {line}\n");
    }
    shown
}

/// The lines that have each of these words in them.
pub(super) fn lines_with(log: &str, words: &[&str]) -> Vec<String> {
    let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
    log.lines().filter(has_all).map(str::to_owned).collect()
}
