//! The limits that FRED sets on the requests of a key.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How many requests a key may make before it is answered 429.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// Requests within a second. FRED: 2.
    pub per_second: usize,
    /// Requests within a minute. FRED: 120.
    pub per_minute: usize,
    /// By how much the second and the minute are shortened, so that the jitter of the network does not turn a client
    /// that paces itself exactly into one that is too fast.
    pub jitter: Duration,
    /// What the answer 429 says.
    pub body: RefusalBody,
}

/// What an answer 429 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalBody {
    /// The page of a firewall: HTML, whatever was asked for.
    Html,
    /// FRED's own error, in the form that was asked for.
    Fred,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            per_second: 2,
            per_minute: 120,
            jitter: Duration::from_millis(50),
            body: RefusalBody::Html,
        }
    }
}

/// Counts the requests of each key.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limit: RateLimit,
    /// When the requests of a key arrived, for a minute.
    arrivals: HashMap<String, VecDeque<Instant>>,
}

impl RateLimiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            arrivals: HashMap::new(),
        }
    }

    pub(crate) fn body(&self) -> RefusalBody {
        self.limit.body
    }

    /// Counts a request; false if it is one too many. Those that are refused count too.
    pub(crate) fn admit(&mut self, key: &str, now: Instant) -> bool {
        let second = Duration::from_secs(1).saturating_sub(self.limit.jitter);
        let minute = Duration::from_secs(60).saturating_sub(self.limit.jitter);
        self.arrivals.retain(|_, arrivals| {
            let expired = arrivals.partition_point(|at| now.duration_since(*at) >= minute);
            arrivals.drain(..expired);
            !arrivals.is_empty()
        });
        let arrivals = self.arrivals.entry(key.to_owned()).or_default();
        arrivals.push_back(now);
        let older = arrivals.partition_point(|at| now.duration_since(*at) >= second);
        let within_second = arrivals.len() - older;
        within_second <= self.limit.per_second && arrivals.len() <= self.limit.per_minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(limit: RateLimit, arrivals_millis: impl IntoIterator<Item = u64>) -> Vec<bool> {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(limit);
        arrivals_millis
            .into_iter()
            .map(|millis| limiter.admit("key", start + Duration::from_millis(millis)))
            .collect()
    }

    #[test]
    fn a_third_request_within_a_second_is_refused() {
        let verdicts = verdicts(RateLimit::default(), [0, 10, 940, 1891]);
        assert_eq!(verdicts, [true, true, false, true]);
    }

    #[test]
    fn two_a_second_evenly_paced_are_admitted_for_ever() {
        let paced = verdicts(RateLimit::default(), (0..500).map(|n| n * 500));
        assert!(paced.iter().all(|admitted| *admitted));
    }

    #[test]
    fn faster_than_two_a_second_is_refused_within_the_minute() {
        let limit = RateLimit {
            per_second: 10,
            ..RateLimit::default()
        };
        let verdicts = verdicts(limit, (0..130).map(|n| n * 400));
        assert_eq!(verdicts.iter().position(|admitted| !admitted), Some(120));
    }

    #[test]
    fn keys_are_counted_apart() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(RateLimit::default());
        assert!(limiter.admit("one", now) && limiter.admit("one", now));
        assert!(limiter.admit("two", now));
        assert!(!limiter.admit("one", now));
    }
}
