//! Why a delivery is not sent. The first reason of the list that holds is the one that is stored.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{channel::Severity, rule::Rule};

/// Why a delivery is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// What it is about happened, or was observed, too long ago.
    TooOld,
    /// The rule has expired.
    Expired,
    /// The rule is paused.
    Paused,
    /// The rule was to notify one alert, and has.
    Once,
    /// The rule is snoozed.
    Snoozed,
    /// The rule notifies at other hours.
    InactiveHours,
    /// The rule has notified of the same just before.
    Cooldown,
    /// The rule has notified often enough today.
    DailyLimit,
    /// A silence of its owner matches it.
    Silenced,
    /// Another open alert keeps it back.
    Inhibited,
    /// The channel is disabled.
    ChannelDisabled,
    /// The channel was deleted.
    ChannelDeleted,
    /// It came in quiet hours, in which messages are dropped.
    QuietHours,
    /// Another message stands for it.
    Grouped,
    /// Its owner gets no more messages for the time.
    UserLimit,
    /// The channel gets no more messages for the time.
    ChannelLimit,
    /// Somebody acknowledged the alert before it was to be escalated.
    Acknowledged,
    /// The alert ended, or was withdrawn, before it was sent.
    Superseded,
    /// Nothing was sent of the alert that ended.
    NotNotified,
}

impl Reason {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 19] = [
        Self::TooOld,
        Self::Expired,
        Self::Paused,
        Self::Once,
        Self::Snoozed,
        Self::InactiveHours,
        Self::Cooldown,
        Self::DailyLimit,
        Self::Silenced,
        Self::Inhibited,
        Self::ChannelDisabled,
        Self::ChannelDeleted,
        Self::QuietHours,
        Self::Grouped,
        Self::UserLimit,
        Self::ChannelLimit,
        Self::Acknowledged,
        Self::Superseded,
        Self::NotNotified,
    ];

    /// As it is stored and shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::Expired => "expired",
            Self::Paused => "paused",
            Self::Once => "once",
            Self::Snoozed => "snoozed",
            Self::InactiveHours => "inactive_hours",
            Self::Cooldown => "cooldown",
            Self::DailyLimit => "daily_limit",
            Self::Silenced => "silenced",
            Self::Inhibited => "inhibited",
            Self::ChannelDisabled => "channel_disabled",
            Self::ChannelDeleted => "channel_deleted",
            Self::QuietHours => "quiet_hours",
            Self::Grouped => "grouped",
            Self::UserLimit => "user_limit",
            Self::ChannelLimit => "channel_limit",
            Self::Acknowledged => "acknowledged",
            Self::Superseded => "superseded",
            Self::NotNotified => "not_notified",
        }
    }
}

/// What a rule is now, beside its definition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RuleState {
    pub(crate) is_paused: bool,
    /// Of one that notifies once: it has.
    pub(crate) has_triggered: bool,
    pub(crate) snoozed_until: Option<DateTime<Utc>>,
    /// When it last notified of the same pattern or model.
    pub(crate) notified_at: Option<DateTime<Utc>>,
    /// How many alerts it has notified in the last 24 hours.
    pub(crate) notified_in_a_day: u32,
}

/// Why no channel gets an alert that begins; `None` if they do.
pub(crate) fn of_rule(
    rule: &Rule,
    state: &RuleState,
    severity: Severity,
    is_too_old: bool,
    now: DateTime<Utc>,
) -> Option<Reason> {
    let cooldown = TimeDelta::seconds(i64::try_from(rule.cooldown_seconds).unwrap_or(i64::MAX));
    let is_cooling = state.notified_at.is_some_and(|at| now < at + cooldown);
    let is_inactive = rule
        .active_hours
        .as_ref()
        .is_some_and(|hours| !hours.hold(now));
    let is_spent = rule
        .daily_max
        .is_some_and(|most| state.notified_in_a_day >= most);
    [
        (is_too_old, Reason::TooOld),
        (rule.expires_at.is_some_and(|at| at <= now), Reason::Expired),
        (state.is_paused, Reason::Paused),
        (rule.once && state.has_triggered, Reason::Once),
        (
            state.snoozed_until.is_some_and(|at| now < at),
            Reason::Snoozed,
        ),
        (is_inactive, Reason::InactiveHours),
        (is_cooling, Reason::Cooldown),
        (
            is_spent && severity != Severity::Critical,
            Reason::DailyLimit,
        ),
    ]
    .into_iter()
    .find_map(|(holds, reason)| holds.then_some(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(change: impl FnOnce(&mut Rule)) -> Rule {
        let json = r#"{"name":"n","condition":{"kind":"pattern"},"channels":["c"]}"#;
        let mut rule = serde_json::from_str(json).unwrap();
        change(&mut rule);
        rule
    }

    fn now() -> DateTime<Utc> {
        "2026-01-02T00:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn check(rule: &Rule, state: RuleState, expected: Option<Reason>) {
        let found = of_rule(rule, &state, Severity::Warning, false, now());
        assert_eq!(found, expected);
    }

    #[test]
    fn each_reason_holds_until_its_time_and_not_at_it() {
        let plain = rule(|_| {});
        check(&plain, RuleState::default(), None);
        let expired = rule(|r| r.expires_at = Some(now()));
        check(&expired, RuleState::default(), Some(Reason::Expired));
        let later = rule(|r| r.expires_at = Some(now() + TimeDelta::seconds(1)));
        check(&later, RuleState::default(), None);
        let snoozed = |at| RuleState {
            snoozed_until: Some(at),
            ..RuleState::default()
        };
        check(
            &plain,
            snoozed(now() + TimeDelta::seconds(1)),
            Some(Reason::Snoozed),
        );
        check(&plain, snoozed(now()), None);
        // 2026-01-02 is a Friday.
        let hours = |day: &str| {
            let json = format!(
                r#"{{"zone":"UTC","periods":[{{"days":["{day}"],"from":"00:00","to":"08:00"}}]}}"#
            );
            rule(|r| r.active_hours = serde_json::from_str(&json).unwrap())
        };
        check(&hours("fri"), RuleState::default(), None);
        let inactive = Some(Reason::InactiveHours);
        check(&hours("thu"), RuleState::default(), inactive);
        let notified = |seconds| RuleState {
            notified_at: Some(now() - TimeDelta::seconds(seconds)),
            notified_in_a_day: 2,
            ..RuleState::default()
        };
        let cooling = rule(|r| r.cooldown_seconds = 60);
        check(&cooling, notified(59), Some(Reason::Cooldown));
        check(&cooling, notified(60), None);
        let limited = rule(|r| r.daily_max = Some(2));
        check(&limited, notified(60), Some(Reason::DailyLimit));
        check(&rule(|r| r.daily_max = Some(3)), notified(60), None);
        let critical = of_rule(&limited, &notified(60), Severity::Critical, false, now());
        assert_eq!(critical, None);
        let triggered = RuleState {
            has_triggered: true,
            ..RuleState::default()
        };
        check(&rule(|r| r.once = true), triggered, Some(Reason::Once));
        check(&plain, triggered, None);
    }

    #[test]
    fn each_reason_is_documented() {
        let page = include_str!("../../docs/alerts.md");
        for reason in Reason::ALL {
            let name = format!("`{}`", reason.name());
            assert!(page.contains(&name), "{name}");
        }
    }

    #[test]
    fn no_two_reasons_have_one_name() {
        let mut names = Reason::ALL.map(Reason::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
