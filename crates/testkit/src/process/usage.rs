//! What `/proc` says of a process.

use std::fs;
use std::io;

/// What a process uses at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory (VmRSS), bytes.
    pub memory: u64,
    /// Most resident memory so far (VmHWM), bytes.
    pub most_memory: u64,
    /// Open file descriptors.
    pub files: usize,
    /// Threads.
    pub threads: u64,
}

pub(super) fn of(id: u32) -> io::Result<Usage> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let files = fs::read_dir(format!("/proc/{id}/fd"))?.count();
    Ok(Usage {
        memory: number("VmRSS") * 1024,
        most_memory: number("VmHWM") * 1024,
        files,
        threads: number("Threads"),
    })
}

/// The letter for what the process does: `R` runs, `S` sleeps, `T` stands still, `Z` has ended.
pub(super) fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in front of it is in parentheses and may have anything in it.
    stat.rsplit_once(") ")?.1.chars().next()
}
