use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Channel, ChatId, Destination};

/// How many keys are remembered before those that no longer count are dropped.
const KEYS_MAX: usize = 10_000;

/// How often a destination, or a part of it, takes messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    /// What is counted.
    key: String,
    /// One message in this time, on average.
    interval: Duration,
    /// How many may come at once after a rest.
    burst: u32,
}

impl Limit {
    fn new(key: &impl ToString, interval: Duration, burst: u32) -> Self {
        Self {
            key: key.to_string(),
            interval,
            burst,
        }
    }
}

/// The published limits of the services behind a channel. Whoever goes beyond them is refused for a
/// while, and in the end disabled. Limits of webhooks and mail servers are unknown.
pub(super) fn limits(channel: &Channel, destination: &Destination) -> Vec<Limit> {
    let second = Duration::from_secs(1);
    match channel {
        Channel::Slack {} => vec![Limit::new(destination, second, 1)],
        Channel::Ntfy { .. } => vec![Limit::new(destination, 5 * second, 60)],
        Channel::Telegram { chat_id, .. } => {
            let (chat, is_group) = match chat_id {
                ChatId::Number(number) => (format!("{destination}/{number}"), *number < 0),
                ChatId::Name(name) => (format!("{destination}/{name}"), true),
            };
            let mut limits = vec![
                Limit::new(destination, second / 30, 30),
                Limit::new(&chat, second, 1),
            ];
            if is_group {
                limits.push(Limit::new(&format!("{chat}/minute"), 3 * second, 20));
            }
            limits
        }
        Channel::Webhook { .. } | Channel::Mail { .. } | Channel::Log {} => Vec::new(),
    }
}

/// Keeps limits within this process.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the messages so far would have been sent one interval after another.
    used_until: Mutex<HashMap<String, DateTime<Utc>>>,
}

impl Pace {
    /// How long a message must wait. It is counted if that is at most `wait_max`, and else not.
    pub(super) fn reserve(
        &self,
        limits: &[Limit],
        now: DateTime<Utc>,
        wait_max: Duration,
    ) -> Duration {
        // A thread that panicked has left times behind, which are right each for itself.
        let mut used_until = self
            .used_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waits = limits.iter().map(|limit| {
            let used_until = used_until.get(&limit.key).copied().unwrap_or(now);
            let rest = limit.interval * limit.burst.saturating_sub(1);
            (used_until - delta(rest) - now)
                .to_std()
                .unwrap_or_default()
        });
        let wait = waits.max().unwrap_or_default();
        if wait > wait_max {
            return wait;
        }
        if used_until.len() >= KEYS_MAX {
            used_until.retain(|_, until| *until > now);
        }
        for limit in limits {
            let until = used_until.entry(limit.key.clone()).or_insert(now);
            *until = (*until).max(now) + delta(limit.interval);
        }
        wait
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    const WAIT_MAX: Duration = Duration::from_secs(2);

    fn wait_millis(pace: &Pace, limits: &[Limit], millis: i64) -> u128 {
        pace.reserve(limits, at(millis), WAIT_MAX).as_millis()
    }

    #[test]
    fn one_a_second_queues_up_to_the_longest_wait() {
        let pace = Pace::default();
        let limits = limits(&Channel::Slack {}, &Destination::new("slack:x"));
        let waits = [0, 0, 0, 0].map(|millis| wait_millis(&pace, &limits, millis));
        // The fourth would wait for 3 s: it is not counted, and asks again later.
        assert_eq!(waits, [0, 1000, 2000, 3000]);
        assert_eq!(wait_millis(&pace, &limits, 1500), 1500);
        assert_eq!(wait_millis(&pace, &limits, 9000), 0);
    }

    #[test]
    fn a_chat_that_is_full_leaves_the_other_chats_of_the_bot() {
        let pace = Pace::default();
        let bot = Destination::new("telegram:1");
        let chat = |number| {
            let chat_id = ChatId::Number(number);
            let channel = Channel::Telegram {
                chat_id,
                message_thread_id: None,
            };
            limits(&channel, &bot)
        };
        let group = (0..30).filter(|second| wait_millis(&pace, &chat(-5), second * 1000) == 0);
        // 20 at once and one each 3 s; one a second is asked for.
        assert_eq!(group.count(), 29);
        assert_eq!(wait_millis(&pace, &chat(6), 30_000), 0);
        assert_eq!(wait_millis(&pace, &chat(6), 30_000), 1000);
        let at_once = (7..37).filter(|number| wait_millis(&pace, &chat(*number), 60_000) == 0);
        assert_eq!(at_once.count(), 30);
        assert!(wait_millis(&pace, &chat(99), 60_000) > 0);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_its_share(
            gaps in prop::collection::vec(0_i64..3000, 1..80),
            interval_seconds in 1_u64..4,
            burst in 1_u32..6,
        ) {
            let pace = Pace::default();
            let limits = [Limit::new(&"k", Duration::from_secs(interval_seconds), burst)];
            let (mut millis, mut sent) = (0, Vec::new());
            for gap in gaps {
                millis += gap;
                let wait = i64::try_from(wait_millis(&pace, &limits, millis)).unwrap();
                if wait <= 2000 {
                    sent.push(millis + wait);
                }
            }
            let interval = i64::try_from(interval_seconds * 1000).unwrap();
            for (index, start) in sent.iter().enumerate() {
                for (count, end) in sent[index..].iter().enumerate() {
                    let share = i64::from(burst) + (end - start) / interval;
                    prop_assert!(i64::try_from(count).unwrap() < share);
                }
            }
        }
    }
}
