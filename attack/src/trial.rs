//! One attack: how the services and a healthy client fare before, during and after it.

use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    neighbour::{Neighbour, Seen},
    target::{Process, Target},
    watch::{Peak, Sample, Watch},
};

const MIB: u64 = 1 << 20;
/// The healthy client gets each answer within this.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How much more than before a process may use of one core once an attack is over.
const IDLE_CORES: f64 = 0.25;
/// How many descriptors more than before it may have open then: connections to the database, and
/// those that the healthy client opens.
const DESCRIPTORS_MORE: u64 = 24;
/// How long the services may take to be as idle as that.
const SETTLE_MAX: Duration = Duration::from_secs(20);
/// How long an attack may take.
const TIME_MAX: Duration = Duration::from_secs(100);
const WINDOW: Duration = Duration::from_secs(1);

/// What an attack does. What it returns is for people; an error says which answer was wrong.
pub(crate) type Run = for<'a> fn(&'a Target) -> BoxFuture<'a, Result<String>>;

/// An attack.
#[derive(Debug, Clone)]
pub(crate) struct Attack {
    /// Short, as `--only` takes it.
    pub(crate) name: &'static str,
    /// In one sentence.
    pub(crate) about: &'static str,
    /// Whether it belongs to the part that takes no minute.
    pub(crate) quick: bool,
    /// By how much the memory of a process may grow, in bytes.
    pub(crate) memory_bytes: u64,
    run: Run,
}

impl Attack {
    /// With the usual bounds.
    pub(crate) fn new(name: &'static str, about: &'static str, run: Run) -> Self {
        Self {
            name,
            about,
            quick: false,
            memory_bytes: 256 * MIB,
            run,
        }
    }

    /// Belongs to the quick part.
    pub(crate) fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// With another bound of memory.
    pub(crate) fn memory_mib(mut self, mib: u64) -> Self {
        self.memory_bytes = mib * MIB;
        self
    }
}

/// What came of an attack.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What it found, for people.
    pub(crate) note: String,
    /// What did not hold.
    pub(crate) failures: Vec<String>,
    /// Of the collector and of the engine.
    pub(crate) peaks: [Peak; 2],
    /// What the healthy client saw.
    pub(crate) neighbour: Seen,
    /// How long the attack itself took.
    pub(crate) took: Duration,
}

/// Carries an attack out.
pub(crate) async fn try_out(attack: &Attack, target: &Target) -> Result<Outcome> {
    let [collector, engine] = target.processes();
    let neighbour = Neighbour::begin(target).await?;
    let before = [share(collector).await?, share(engine).await?];
    let watches = [Watch::begin(collector.pid)?, Watch::begin(engine.pid)?];
    let began = Instant::now();
    let ran = timeout(TIME_MAX, (attack.run)(target)).await;
    let took = began.elapsed();
    let mut failures = Vec::new();
    let note = match ran.unwrap_or_else(|_| Err(anyhow!("it took over {:?}", TIME_MAX))) {
        Ok(note) => note,
        Err(error) => {
            failures.push(format!("{error:#}"));
            String::new()
        }
    };
    for ((process, watch), idle) in target.processes().into_iter().zip(&watches).zip(before) {
        if let Some(failure) = settle(process, watch.before(), idle).await {
            failures.push(failure);
        }
    }
    let peaks = watches.map(Watch::end);
    let neighbour = neighbour.end().await;
    for (process, peak) in target.processes().into_iter().zip(&peaks) {
        failures.extend(broken(process, peak, attack.memory_bytes));
    }
    let (worst, what) = neighbour.worst;
    if worst > ANSWER_MAX {
        failures.push(format!("the healthy client waited {worst:.1?} for {what}"));
    }
    let unserved = neighbour.failures.iter();
    failures.extend(unserved.map(|failure| format!("the healthy client: {failure}")));
    Ok(Outcome {
        note,
        failures,
        peaks,
        neighbour,
        took,
    })
}

/// How much of a core a process uses for a second.
async fn share(process: &Process) -> Result<f64> {
    let before = Sample::of(process.pid)?;
    let began = Instant::now();
    sleep(WINDOW / 2).await;
    let after = Sample::of(process.pid)?;
    Ok((after.cpu_seconds - before.cpu_seconds) / began.elapsed().as_secs_f64())
}

/// Waits until a process is as idle as before. What is not, if it does not become so.
async fn settle(process: &Process, before: Sample, idle: f64) -> Option<String> {
    let began = Instant::now();
    loop {
        // One that has ended is reported as that.
        let cores = share(process).await.ok()?;
        let descriptors = Sample::of(process.pid).ok()?.descriptors;
        let is_idle = cores <= idle + IDLE_CORES;
        if is_idle && descriptors <= before.descriptors + DESCRIPTORS_MORE {
            return None;
        }
        if began.elapsed() > SETTLE_MAX {
            return Some(format!(
                "{} uses {cores:.2} of a core (before: {idle:.2}) and has {descriptors} \
                 descriptors open (before: {}) {SETTLE_MAX:?} after the attack",
                process.name, before.descriptors
            ));
        }
    }
}

/// What must not have happened to a process.
fn broken(process: &Process, peak: &Peak, memory_bytes: u64) -> Vec<String> {
    let mut failures = Vec::new();
    if let Some(status) = process.ended() {
        let name = process.name;
        failures.push(format!("{name} ended with {status}: {}", process.tail()));
    }
    let panics = process.panics();
    if let Some(panic) = panics.first() {
        let count = panics.len();
        failures.push(format!("{} panicked {count} times: {panic}", process.name));
    }
    if peak.growth_bytes() > memory_bytes {
        failures.push(format!(
            "{} grew by {} MiB, over {} MiB",
            process.name,
            peak.growth_bytes() / MIB,
            memory_bytes / MIB
        ));
    }
    failures
}
