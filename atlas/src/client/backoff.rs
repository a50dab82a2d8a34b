//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(15);

/// Exponential backoff with full jitter: many clients that lost the same server come back spread
/// out, and not in waves.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// To be called when an attempt had success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause before the next attempt; `chance` is uniform in 0 to 1.
    pub(crate) fn next(&mut self, chance: f64) -> Duration {
        let bound = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> = (0..100).map(|_| backoff.next(1.0)).collect();
        assert_eq!(bounds[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(bounds[99], LONGEST);
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(0.5), FIRST / 2);
    }
}
