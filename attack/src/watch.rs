//! What a process takes, as `/proc` says: memory, processor, descriptors.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);
/// `USER_HZ`, the same on every Linux that the programs run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process takes at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Resident memory.
    pub(crate) memory_bytes: u64,
    /// Processor time since it began.
    pub(crate) cpu_seconds: f64,
    /// Open descriptors.
    pub(crate) descriptors: u64,
}

impl Sample {
    /// Of a process that runs.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name may hold spaces, and ends with the last bracket.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
        };
        let (user, system) = ticks(11).zip(ticks(12)).context("no times in stat")?;
        Ok(Self {
            memory_bytes: status(pid, "VmRSS:")?,
            cpu_seconds: (user + system) / TICKS_PER_SECOND,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
        })
    }
}

/// A line of `/proc/PID/status`, which counts in KiB.
fn status(pid: u32, key: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("no such line in status")? * 1024)
}

/// The most that a process took while it was watched.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Peak {
    /// Resident memory, where it began and the most.
    pub(crate) memory_bytes: (u64, u64),
    /// The most open descriptors.
    pub(crate) descriptors: u64,
    /// Processor time from the begin to the end.
    pub(crate) cpu_seconds: f64,
}

impl Peak {
    /// By how much the memory grew at the most.
    pub(crate) fn growth_bytes(&self) -> u64 {
        self.memory_bytes.1.saturating_sub(self.memory_bytes.0)
    }
}

/// Watches a process from a thread of its own, which a busy attacker does not delay.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    before: Sample,
    stop: Arc<AtomicBool>,
    descriptors: Arc<AtomicU64>,
    memory: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins.
    pub(crate) fn begin(pid: u32) -> Result<Self> {
        // The kernel's own peak begins anew, where it lets us.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        let before = Sample::of(pid)?;
        let stop = Arc::new(AtomicBool::new(false));
        let descriptors = Arc::new(AtomicU64::new(before.descriptors));
        let memory = Arc::new(AtomicU64::new(before.memory_bytes));
        let (stopped, most, most_memory) = (stop.clone(), descriptors.clone(), memory.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(sample) = Sample::of(pid) {
                    most.fetch_max(sample.descriptors, Ordering::Relaxed);
                    let peak = status(pid, "VmHWM:").unwrap_or_default();
                    most_memory.fetch_max(peak.max(sample.memory_bytes), Ordering::Relaxed);
                }
                thread::sleep(SAMPLE_INTERVAL);
            }
        });
        Ok(Self {
            pid,
            before,
            stop,
            descriptors,
            memory,
            thread,
        })
    }

    /// Where it began.
    pub(crate) fn before(&self) -> Sample {
        self.before
    }

    /// Ends. Of a process that has ended, what was seen until then.
    pub(crate) fn end(self) -> Peak {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        let now = Sample::of(self.pid).unwrap_or(self.before);
        Peak {
            memory_bytes: (
                self.before.memory_bytes,
                self.memory.load(Ordering::Relaxed),
            ),
            descriptors: self.descriptors.load(Ordering::Relaxed),
            cpu_seconds: now.cpu_seconds - self.before.cpu_seconds,
        }
    }
}
