use std::{fmt, sync::Arc, time::Duration};

/// Pauses between attempts: exponential with full jitter, that is, each is drawn evenly from zero to
/// a bound which doubles with every failure. Many clients that failed together thus come back
/// spread out.
#[derive(Clone)]
pub struct Backoff {
    /// Bound of the first pause.
    pub first_max: Duration,
    /// No pause is longer.
    pub max: Duration,
    /// Numbers drawn evenly from 0 (inclusive) to 1 (exclusive).
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Backoff {
    /// Pauses of up to `first_max`, growing to up to `max`.
    pub fn new(first_max: Duration, max: Duration) -> Self {
        Self {
            first_max,
            max,
            random: Arc::new(rand::random::<f64>),
        }
    }

    /// The pause after a number of failures in a row; 0 counts as 1.
    pub fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.first_max.saturating_mul(1 << doublings).min(self.max);
        bound.mul_f64((self.random)().clamp(0.0, 1.0))
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("first_max", &self.first_max)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(random: f64, failures: u32, milliseconds: u64) {
        let backoff = Backoff {
            random: Arc::new(move || random),
            ..Backoff::new(Duration::from_millis(100), Duration::from_secs(1))
        };
        assert_eq!(
            backoff.pause(failures),
            Duration::from_millis(milliseconds),
            "{random} {failures}"
        );
    }

    #[test]
    fn pauses_are_drawn_from_zero_to_a_bound_that_doubles() {
        check(0.0, 5, 0);
        check(0.5, 0, 50);
        check(0.5, 1, 50);
        check(0.5, 2, 100);
        check(0.5, 3, 200);
        check(0.5, 5, 500);
        check(0.5, u32::MAX, 500);
    }
}
