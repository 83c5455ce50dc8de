//! What `/proc` says of a process.

use std::fs;
use std::io;
use std::time::Duration;

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
    /// Time on a processor since the start, in steps of 10 ms.
    pub processor: Duration,
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
        processor: processor(id)?,
    })
}

fn processor(id: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // Behind the name: state is field 3 of proc(5), utime and stime are 14 and 15.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // SAFETY: sysconf takes no pointers.
    let in_a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(Duration::from_secs_f64(ticks as f64 / in_a_second.max(1) as f64))
}

/// The letter for what the process does: `R` runs, `S` sleeps, `T` stands still, `Z` has ended.
pub(super) fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in front of it is in parentheses and may have anything in it.
    stat.rsplit_once(") ")?.1.chars().next()
}
