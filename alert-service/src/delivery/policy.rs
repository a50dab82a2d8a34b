//! What follows from the outcome of an attempt. Pure: time and randomness are given.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{channel::Outcome, context::Context};

/// Greylisting servers refuse for a minute or more.
const MAIL_PAUSE_MIN: TimeDelta = TimeDelta::seconds(60);
/// Two to the power of this is more than any bound allows.
const DOUBLINGS_MAX: u32 = 20;

/// How often and how long it is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Bound of the pause after the first failed attempt; twice as much after each further one.
    pub(crate) retry_base: Duration,
    /// It grows no further.
    pub(crate) retry_max: Duration,
    /// After so many failed attempts in a row a destination is paused, and then tried one at a time.
    pub(crate) failures_max: i32,
    /// Longest pause of a failing destination.
    pub(crate) pause_max: Duration,
}

/// The attempt whose outcome it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) channel_kind: &'a str,
    /// With this one.
    pub(crate) attempts: u32,
    pub(crate) unknown_attempts: u32,
    pub(crate) deadline: DateTime<Utc>,
}

/// What becomes of the delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// The channel took it over.
    Sent { receipt: Option<String> },
    /// Refused for good.
    Failed { error: String },
    /// Its time is over.
    GivenUp { error: String },
    /// Another attempt.
    Again {
        not_before: DateTime<Utc>,
        reason: String,
        /// Whether this one counts.
        counts: bool,
        is_unknown: bool,
    },
}

/// What becomes of the destination and the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    /// The destination works.
    Works,
    /// An attempt failed.
    Fails,
    /// It asks for a pause.
    Pauses {
        until: DateTime<Utc>,
        reason: String,
    },
    /// Nothing that is sent by this channel can succeed.
    Disables {
        reason: String,
    },
    /// The channel leads elsewhere.
    Moves {
        to: String,
    },
}

impl Policy {
    /// What follows from an outcome.
    pub(crate) fn next(
        &self,
        attempt: &Attempt<'_>,
        outcome: Outcome,
        context: &Context,
    ) -> (Next, Effect) {
        let now = context.now();
        match outcome {
            Outcome::Accepted { receipt } => (Next::Sent { receipt }, Effect::Works),
            Outcome::Slower { pause, reason } => {
                let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::days(1));
                let until = now + pause;
                let error =
                    || format!("the destination asked for pauses until the deadline: {reason}");
                let next = match until < attempt.deadline {
                    true => again(until, &reason, false, false),
                    false => Next::GivenUp { error: error() },
                };
                (next, Effect::Pauses { until, reason })
            }
            Outcome::Failed { reason } => {
                (self.retry(attempt, reason, false, context), Effect::Fails)
            }
            // A webhook tells repeated messages by their id; elsewhere one repetition is enough.
            Outcome::Unknown { reason }
                if attempt.unknown_attempts > 0 && attempt.channel_kind != "webhook" =>
            {
                let error = format!("it is not known whether it arrived, twice: {reason}");
                (Next::GivenUp { error }, Effect::Fails)
            }
            Outcome::Unknown { reason } => {
                (self.retry(attempt, reason, true, context), Effect::Fails)
            }
            Outcome::Refused {
                reason,
                disables_channel,
            } => {
                let effect = match disables_channel {
                    true => Effect::Disables {
                        reason: reason.clone(),
                    },
                    false => Effect::None,
                };
                (Next::Failed { error: reason }, effect)
            }
            Outcome::Moved { to } => {
                let next = again(now, "the destination has another address", true, false);
                (next, Effect::Moves { to })
            }
        }
    }

    fn retry(
        &self,
        attempt: &Attempt<'_>,
        reason: String,
        is_unknown: bool,
        context: &Context,
    ) -> Next {
        let bound = doubled(self.retry_base, attempt.attempts, self.retry_max);
        let pause = context.up_to(bound);
        let pause = match attempt.channel_kind {
            "mail" => pause.max(MAIL_PAUSE_MIN),
            _ => pause,
        };
        let not_before = context.now() + pause;
        match not_before < attempt.deadline {
            true => again(not_before, &reason, true, is_unknown),
            false => Next::GivenUp { error: reason },
        }
    }

    /// How long a destination is paused that has failed so many times in a row; `None` if it is not.
    pub(crate) fn pause(&self, failures: i32, context: &Context) -> Option<TimeDelta> {
        let over = u32::try_from(failures - self.failures_max).ok()?;
        let bound = doubled(self.retry_base, over + 1, self.pause_max);
        // Half of it is sure, so that it is a pause.
        let half = bound / 2;
        Some(TimeDelta::from_std(half).unwrap_or_default() + context.up_to(half))
    }
}

fn again(not_before: DateTime<Utc>, reason: &str, counts: bool, is_unknown: bool) -> Next {
    Next::Again {
        not_before,
        reason: reason.to_owned(),
        counts,
        is_unknown,
    }
}

/// `base` the first time, twice as much each further time, at most `most`.
fn doubled(base: Duration, times: u32, most: Duration) -> Duration {
    let doublings = times.saturating_sub(1).min(DOUBLINGS_MAX);
    base.saturating_mul(1 << doublings).min(most)
}

#[cfg(test)]
mod tests {
    use atlas_events::Clock;

    use super::*;

    const POLICY: Policy = Policy {
        retry_base: Duration::from_secs(1),
        retry_max: Duration::from_secs(60),
        failures_max: 5,
        pause_max: Duration::from_secs(30),
    };

    fn now() -> DateTime<Utc> {
        "2026-01-02T00:00:00Z".parse().unwrap()
    }

    /// Draws `random`.
    fn context(random: u128) -> Context {
        Context::new(Clock::from_fn(now), move || random)
    }

    fn attempt(channel_kind: &str, attempts: u32) -> Attempt<'_> {
        Attempt {
            channel_kind,
            attempts,
            unknown_attempts: 0,
            deadline: now() + TimeDelta::hours(1),
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed {
            reason: "503".to_owned(),
        }
    }

    fn waits(next: &Next) -> i64 {
        match next {
            Next::Again { not_before, .. } => (*not_before - now()).num_milliseconds(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_are_drawn_from_all_of_it() {
        // The draw is taken modulo the bound in milliseconds and one.
        for (attempts, bound) in [
            (1, 1_000),
            (2, 2_000),
            (6, 32_000),
            (7, 60_000),
            (500, 60_000),
        ] {
            let attempt = attempt("webhook", attempts);
            let longest = POLICY.next(&attempt, failed(), &context(bound)).0;
            assert_eq!(waits(&longest), i64::try_from(bound).unwrap());
            let none = POLICY.next(&attempt, failed(), &context(bound + 1)).0;
            assert_eq!(waits(&none), 0);
        }
        let mail = POLICY.next(&attempt("mail", 1), failed(), &context(0)).0;
        assert_eq!(waits(&mail), 60_000);
    }

    #[test]
    fn what_would_come_after_the_deadline_is_given_up() {
        let attempt = Attempt {
            deadline: now() + TimeDelta::milliseconds(500),
            ..attempt("webhook", 1)
        };
        let (before, _) = POLICY.next(&attempt, failed(), &context(499));
        assert_eq!(waits(&before), 499);
        let (at, _) = POLICY.next(&attempt, failed(), &context(500));
        let error = "503".to_owned();
        assert_eq!(at, Next::GivenUp { error });
        let pause = Duration::from_secs(1);
        let reason = "429".to_owned();
        let slower = Outcome::Slower { pause, reason };
        let (next, effect) = POLICY.next(&attempt, slower, &context(0));
        assert!(matches!(next, Next::GivenUp { .. }), "{next:?}");
        assert!(matches!(effect, Effect::Pauses { .. }), "{effect:?}");
    }

    #[test]
    fn an_unknown_outcome_is_repeated_once_where_no_id_tells_repetitions() {
        let unknown = || Outcome::Unknown {
            reason: "no answer".to_owned(),
        };
        for (kind, unknown_attempts, ends) in [
            ("slack", 0, false),
            ("slack", 1, true),
            ("webhook", 1, false),
        ] {
            let attempt = Attempt {
                unknown_attempts,
                ..attempt(kind, 1)
            };
            let (next, _) = POLICY.next(&attempt, unknown(), &context(0));
            assert_eq!(
                matches!(next, Next::GivenUp { .. }),
                ends,
                "{kind} {unknown_attempts}"
            );
        }
    }

    #[test]
    fn a_destination_is_paused_from_the_fifth_failure_on() {
        assert_eq!(POLICY.pause(4, &context(0)), None);
        assert_eq!(
            POLICY.pause(5, &context(0)),
            Some(TimeDelta::milliseconds(500))
        );
        assert_eq!(POLICY.pause(100, &context(0)), Some(TimeDelta::seconds(15)));
    }
}
