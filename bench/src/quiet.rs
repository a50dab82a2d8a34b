//! Waiting for a quiet machine: figures of one on which others work say little.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{progress, stage::process::machine_seconds};

/// How long it must be quiet.
const WINDOW: Duration = Duration::from_secs(2);
/// How much of one core all processes together may use meanwhile.
const BUSY_MAX: f64 = 0.1;

/// Waits before measurements, if asked, and counts how many began without quiet.
pub(crate) struct Quiet {
    wait_max: Option<Duration>,
    measurements: u32,
    disturbed: u32,
}

impl Quiet {
    /// Waits at most so long before each measurement; not at all if not given.
    pub(crate) fn new(wait_max_seconds: Option<u64>) -> Self {
        Self {
            wait_max: wait_max_seconds.map(Duration::from_secs),
            measurements: 0,
            disturbed: 0,
        }
    }

    /// Waits until the machine has been quiet for a while.
    pub(crate) async fn wait(&mut self) {
        self.measurements += 1;
        let Some(wait_max) = self.wait_max else {
            return;
        };
        let deadline = Instant::now() + wait_max;
        loop {
            let before = machine_seconds();
            sleep(WINDOW).await;
            let busy = (machine_seconds() - before) / WINDOW.as_secs_f64();
            if busy <= BUSY_MAX {
                return;
            }
            if Instant::now() >= deadline {
                progress(&format!(
                    "the machine is not quiet: {busy:.2} cores are busy"
                ));
                self.disturbed += 1;
                return;
            }
        }
    }

    /// What is to be known of it beside the figures.
    pub(crate) fn summary(&self) -> String {
        match self.wait_max {
            None => "the machine was measured as it was, without waiting for quiet".to_owned(),
            Some(_) => format!(
                "{} of {} measurements began on a machine that others used",
                self.disturbed, self.measurements
            ),
        }
    }
}
