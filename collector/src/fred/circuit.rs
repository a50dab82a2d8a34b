//! Stops asking a source that does not answer, and probes now and then whether it does again.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use atlas_events::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use metrics::gauge;

/// Whether a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// It is; this many calls in a row have failed.
    Closed {
        /// Calls in a row.
        failures: u32,
    },
    /// It is not before this time, at which one call may probe.
    Open {
        /// When to probe.
        until: DateTime<Utc>,
    },
    /// One call probes; others are not made.
    HalfOpen,
}

#[derive(Clone)]
pub(crate) struct Circuit(Arc<Inner>);

struct Inner {
    failures_max: u32,
    cool_down: TimeDelta,
    clock: Clock,
    state: Mutex<CircuitState>,
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Circuit").field(&self.state()).finish()
    }
}

impl Circuit {
    pub(crate) fn new(failures_max: u32, cool_down: Duration, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            failures_max,
            cool_down: TimeDelta::from_std(cool_down).unwrap_or(TimeDelta::days(1)),
            clock,
            state: Mutex::new(CircuitState::Closed { failures: 0 }),
        }))
    }

    pub(crate) fn state(&self) -> CircuitState {
        *self.lock()
    }

    /// Whether a call would be let through now.
    pub(crate) fn admits(&self) -> bool {
        match self.state() {
            CircuitState::Closed { .. } => true,
            CircuitState::Open { until } => self.0.clock.now() >= until,
            CircuitState::HalfOpen => false,
        }
    }

    /// Lets a call through, or returns how long to wait.
    pub(crate) fn admit(&self) -> Result<Call, Duration> {
        let mut state = self.lock();
        let now = self.0.clock.now();
        let probes = match *state {
            CircuitState::Closed { .. } => false,
            CircuitState::Open { until } if now >= until => {
                *state = CircuitState::HalfOpen;
                true
            }
            CircuitState::Open { until } => return Err((until - now).to_std().unwrap_or_default()),
            CircuitState::HalfOpen => return Err(Duration::ZERO),
        };
        report_state(*state);
        Ok(Call {
            circuit: self.clone(),
            probes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, CircuitState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through. Dropped without an outcome, it counts as never made.
#[derive(Debug)]
pub(crate) struct Call {
    circuit: Circuit,
    probes: bool,
}

impl Call {
    pub(crate) fn succeeded(mut self) {
        self.probes = false;
        self.set(CircuitState::Closed { failures: 0 });
    }

    pub(crate) fn failed(mut self) {
        let inner = &self.circuit.0;
        let until = inner.clock.now() + inner.cool_down;
        let next = match self.circuit.state() {
            _ if self.probes => CircuitState::Open { until },
            CircuitState::Closed { failures } if failures + 1 < inner.failures_max => {
                CircuitState::Closed {
                    failures: failures + 1,
                }
            }
            CircuitState::Closed { .. } => CircuitState::Open { until },
            open => open,
        };
        self.probes = false;
        self.set(next);
    }

    fn set(&self, state: CircuitState) {
        *self.circuit.lock() = state;
        report_state(state);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.probes {
            let until = self.circuit.0.clock.now();
            self.set(CircuitState::Open { until });
        }
    }
}

fn report_state(state: CircuitState) {
    let value = match state {
        CircuitState::Closed { .. } => 0.0,
        CircuitState::HalfOpen => 1.0,
        CircuitState::Open { .. } => 2.0,
    };
    gauge!("fredcollector_source_circuit_state", "source" => "fred").set(value);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn circuit() -> (Circuit, Arc<AtomicI64>) {
        let seconds = Arc::new(AtomicI64::new(0));
        let source = Arc::clone(&seconds);
        let clock = Clock::from_fn(move || {
            DateTime::from_timestamp(source.load(Ordering::SeqCst), 0).unwrap()
        });
        (Circuit::new(2, Duration::from_secs(60), clock), seconds)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let (circuit, _) = circuit();
        circuit.admit().unwrap().failed();
        circuit.admit().unwrap().succeeded();
        circuit.admit().unwrap().failed();
        assert!(circuit.admits());
        circuit.admit().unwrap().failed();
        assert_eq!(circuit.admit().unwrap_err(), Duration::from_secs(60));
    }

    #[test]
    fn one_probe_after_the_cool_down_decides() {
        let (circuit, seconds) = circuit();
        circuit.admit().unwrap().failed();
        circuit.admit().unwrap().failed();
        seconds.store(60, Ordering::SeqCst);
        let probe = circuit.admit().unwrap();
        assert!(
            !circuit.admits(),
            "a second call while the probe is under way"
        );
        probe.failed();
        assert_eq!(circuit.admit().unwrap_err(), Duration::from_secs(60));
        seconds.store(120, Ordering::SeqCst);
        circuit.admit().unwrap().succeeded();
        assert_eq!(circuit.state(), CircuitState::Closed { failures: 0 });
    }

    #[test]
    fn a_probe_that_is_dropped_leaves_the_next_one_to_probe() {
        let (circuit, seconds) = circuit();
        circuit.admit().unwrap().failed();
        circuit.admit().unwrap().failed();
        seconds.store(60, Ordering::SeqCst);
        drop(circuit.admit().unwrap());
        assert!(circuit.admits());
    }
}
