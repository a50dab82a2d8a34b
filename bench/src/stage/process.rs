//! What processes cost, from `/proc`.

use std::fs;

use crate::load::clock::now_us;

/// The kernel counts CPU time in hundredths of a second on every usual build of Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// CPU seconds so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) server: f64,
    pub(crate) client: f64,
    /// Everything else on the machine: the database, and whatever disturbs.
    pub(crate) rest: f64,
}

impl Cpu {
    /// Of the server with this process id, of this process, and of the rest.
    pub(crate) fn now(server_pid: u32) -> Self {
        let (server, client) = (cpu_seconds(server_pid), cpu_seconds(std::process::id()));
        Self {
            server,
            client,
            rest: machine_seconds() - server - client,
        }
    }

    /// What was used since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            server: self.server - before.server,
            client: self.client - before.client,
            rest: (self.rest - before.rest).max(0.0),
        }
    }
}

/// Resident memory in MiB; 0 if the process is gone.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1_024.0
}

/// User and system time of a process and of its children that have ended, in seconds; 0 if it is
/// gone.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the name, which may hold spaces; the fields after it are 3, 4, …
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(4);
    ticks.flat_map(str::parse::<f64>).sum::<f64>() / TICKS_A_SECOND
}

/// CPU time of all cores that was not idle, counted from an arbitrary time.
pub(crate) fn machine_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut lines = stat.lines();
    let all = lines.next().unwrap_or_default();
    let cores = lines.take_while(|line| line.starts_with("cpu")).count();
    let idle = all.split_whitespace().skip(4).take(2);
    let idle = idle.flat_map(str::parse::<f64>).sum::<f64>() / TICKS_A_SECOND;
    now_us() as f64 / 1e6 * cores as f64 - idle
}

/// Cores, their model, and how busy the machine was lately: figures of a busy one say little.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!("{cores} cores ({model}), load average {load} at the start")
}
