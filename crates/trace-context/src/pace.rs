use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Bounds how often something is traced that happens more often than anybody could look at.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    interval: Duration,
    /// When the next one may be, in nanoseconds since it began.
    next: AtomicU64,
}

impl Pace {
    /// At most one in `interval`.
    pub fn one_in(interval: Duration) -> Self {
        Self {
            began: Instant::now(),
            interval,
            next: AtomicU64::new(0),
        }
    }

    /// Whether one may be now; if so, the next may be an interval later.
    pub fn allows(&self) -> bool {
        self.allows_at(self.began.elapsed())
    }

    fn allows_at(&self, elapsed: Duration) -> bool {
        let nanoseconds =
            |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let now = nanoseconds(elapsed);
        let next = self.next.load(Ordering::Relaxed);
        let after = now.saturating_add(nanoseconds(self.interval));
        // Of those who come at the same moment, one.
        now >= next
            && self
                .next
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_an_interval() {
        let pace = Pace::one_in(Duration::from_millis(100));
        let allowed: Vec<u64> = (0..=1_000)
            .step_by(30)
            .filter(|at| pace.allows_at(Duration::from_millis(*at)))
            .collect();
        assert_eq!(allowed, [0, 120, 240, 360, 480, 600, 720, 840, 960]);
    }
}
