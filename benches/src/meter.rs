//! What processes have used so far: CPU time and memory, as the operating system counts them.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// CPU time spent by each process; `None` if the machine cannot measure it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// This process.
    pub(crate) client: Option<Duration>,
    /// The server.
    pub(crate) server: Option<Duration>,
}

impl Spent {
    /// The CPU time spent until now.
    pub(crate) fn until_now(server: Option<u32>) -> Self {
        Self {
            client: own_cpu(),
            server: server.and_then(cpu_of),
        }
    }

    /// The CPU time spent since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let less = |now: Option<Duration>, then: Option<Duration>| Some(now?.saturating_sub(then?));
        Self {
            client: less(self.client, earlier.client),
            server: less(self.server, earlier.server),
        }
    }
}

/// The CPU time of this process, all threads, user and system.
fn own_cpu() -> Option<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Some(Duration::new(
        u64::try_from(time.tv_sec).ok()?,
        u32::try_from(time.tv_nsec).ok()?,
    ))
}

/// The CPU time of a process, all threads, user and system, to a hundredth of a second. Linux only.
fn cpu_of(pid: u32) -> Option<Duration> {
    let ticks = ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(Duration::from_secs(1) * ticks / second)
}

/// User and system time in a line of `/proc/<pid>/stat`, in clock ticks.
fn ticks(line: &str) -> Option<u32> {
    // The program's name is in parentheses and may contain anything; these are fields 14 and 15.
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u32>().ok();
    Some(next()? + next()?)
}

/// The resident set size of a process, in MB. Linux only.
pub(crate) fn memory_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    // A kB there is 1,024 bytes.
    Some(crate::stats::count(kilobytes * 1024) / 1e6)
}

/// The machine that ran the benchmark.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The operating system and its architecture.
    pub system: String,
    /// The name of the processor, if the system reports it.
    pub processor: Option<String>,
    /// How many cores this process may use.
    pub cores: usize,
    /// The `nats-server` that was used.
    pub nats_server: String,
}

impl Machine {
    pub(crate) fn here(nats_server: String) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = info.lines().find_map(|line| line.strip_prefix("model name"));
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor.map(|name| name.trim_start_matches(['\t', ' ', ':']).to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            nats_server,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let line = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 100 0 0";
        assert_eq!(ticks(line), Some(300));
        assert_eq!(ticks("12 (x) S 1"), None);
    }

    #[test]
    fn this_process_has_used_some_time() {
        let before = Spent::until_now(Some(std::process::id()));
        let mut sum = 0_u64;
        while own_cpu() < before.client.map(|time| time + Duration::from_millis(30)) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let spent = Spent::until_now(Some(std::process::id())).since(before);
        assert!(
            spent.client.is_some_and(|time| time >= Duration::from_millis(30)),
            "{spent:?}"
        );
        if cfg!(target_os = "linux") {
            assert!(
                spent.server.is_some_and(|time| time >= Duration::from_millis(10)),
                "{spent:?}"
            );
        }
    }
}
