//! Whether and when a message is sent, by what its owner prefers.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Writer, traits};
use crate::{
    calm::{Choice, Grouping, Limits, Preferences, group_key},
    channel::Severity,
    message::Stored,
    rule::severity_of,
    store::{self, Alert, Channel},
    suppression::Reason,
};

const QUIET_HOURS: &str = "quiet hours";
const GROUP: &str = "others of its group may come";
const DIGEST: &str = "it is sent with the next digest";
/// What all that a digest has is in.
const DIGEST_KEY: &str = "digest";
const ESCALATION: &str = "it is sent unless somebody acknowledges the alert";

/// A message that is to be stored.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) channel_id: &'a str,
    pub(super) channel_kind: &'a str,
    pub(super) destination: &'a str,
    pub(super) kind: &'a str,
    /// 0, or the number of the escalation.
    pub(super) step: i32,
    pub(super) plan: Plan,
    pub(super) message: &'a Stored,
    pub(super) caused_at: Option<DateTime<Utc>>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) suppressed_by: Option<Reason>,
    /// The silence, alert or delivery that is the reason.
    pub(super) suppressor: Option<String>,
    /// `None`: it is due at once.
    pub(super) not_before: Option<DateTime<Utc>>,
    pub(super) wait_reason: Option<&'static str>,
    pub(super) group_key: Option<String>,
}

/// Why one message stands for several.
#[derive(Debug, Clone, Copy)]
enum Collected<'a> {
    /// The channel gets digests, the next one then.
    Digest(DateTime<Utc>),
    Group(&'a Grouping),
}

/// How many messages about beginnings were sent in the last hour and day.
#[derive(Debug, Default)]
pub(super) struct Counts {
    is_loaded: bool,
    by_channel: HashMap<String, (u32, u32)>,
}

impl Counts {
    fn of(&self, channel_id: &str) -> (u32, u32) {
        self.by_channel.get(channel_id).copied().unwrap_or_default()
    }

    fn of_all(&self) -> (u32, u32) {
        let counts = self.by_channel.values();
        counts.fold((0, 0), |sum, (hour, day)| (sum.0 + hour, sum.1 + day))
    }

    fn add(&mut self, channel_id: &str) {
        let (hour, day) = self.by_channel.entry(channel_id.to_owned()).or_default();
        *hour += 1;
        *day += 1;
    }
}

impl Plan {
    pub(super) fn suppressed(reason: Reason, suppressor: Option<String>) -> Self {
        Self {
            suppressed_by: Some(reason),
            suppressor,
            ..Self::default()
        }
    }

    /// A message of an escalation: neither grouped nor limited.
    pub(super) fn escalation(alert: &Alert, preferences: &Preferences, at: DateTime<Utc>) -> Self {
        Self {
            not_before: Some(at),
            wait_reason: Some(ESCALATION),
            ..Self::default()
        }
        .after_quiet_hours(alert, preferences, at)
    }

    /// Whether somebody will read of the alert.
    pub(super) fn will_be_known(&self) -> bool {
        matches!(self.suppressed_by, None | Some(Reason::Grouped))
    }

    /// The same, once the quiet hours are over that a time is in. What is critical does not wait.
    fn after_quiet_hours(
        mut self,
        alert: &Alert,
        preferences: &Preferences,
        at: DateTime<Utc>,
    ) -> Self {
        let quiet = preferences.quiet_hours.as_ref();
        let until = quiet.filter(|_| !is_critical(alert));
        if let Some(until) = until.and_then(|quiet| quiet.until(at)) {
            self.not_before = Some(until);
            self.wait_reason = Some(QUIET_HOURS);
        }
        self
    }
}

fn is_critical(alert: &Alert) -> bool {
    severity_of(&alert.severity) == Severity::Critical
}

impl Writer<'_> {
    /// Why no channel gets an alert that its rule would notify; `None` if they do.
    pub(super) async fn held_back(
        &mut self,
        alert: &Alert,
        preferences: &Preferences,
    ) -> Result<Option<Plan>, sqlx::Error> {
        let traits = traits(alert);
        let silences = store::silences_at(self.connection, &alert.tenant, self.now).await?;
        let silence = silences
            .into_iter()
            .find(|silence| silence.matchers.0.matches(&traits));
        if let Some(silence) = silence {
            let plan = Plan::suppressed(Reason::Silenced, Some(silence.id));
            return Ok(Some(plan));
        }
        for inhibition in &preferences.inhibitions {
            if !inhibition.target.matches(&traits) {
                continue;
            }
            let (labels, severity) = inhibition.required(&traits);
            let others = store::open_alerts_with(
                self.connection,
                (&alert.tenant, &alert.id),
                &labels,
                severity.as_deref(),
            )
            .await?;
            let source = others
                .into_iter()
                .find(|other| inhibition.holds(&super::traits(other), &traits));
            if let Some(source) = source {
                let plan = Plan::suppressed(Reason::Inhibited, Some(source.id));
                return Ok(Some(plan));
            }
        }
        Ok(None)
    }

    /// What becomes of the message of a beginning to a channel.
    pub(super) async fn plan(
        &mut self,
        alert: &Alert,
        channel: &Channel,
        preferences: &Preferences,
        counts: &mut Counts,
    ) -> Result<Plan, sqlx::Error> {
        if !channel.enabled {
            return Ok(Plan::suppressed(Reason::ChannelDisabled, None));
        }
        if is_critical(alert) {
            return Ok(Plan::default());
        }
        let quiet = preferences.quiet_hours.as_ref();
        let dropping = quiet.filter(|quiet| quiet.choice == Choice::Drop);
        if dropping.is_some_and(|quiet| quiet.until(self.now).is_some()) {
            return Ok(Plan::suppressed(Reason::QuietHours, None));
        }
        let plan = self
            .plan_in_group(alert, &channel.id, "firing", preferences)
            .await?;
        if plan.suppressed_by.is_some() {
            return Ok(plan);
        }
        let reached = self
            .reached(alert, &channel.id, preferences, counts)
            .await?;
        Ok(reached.map_or(plan, |reason| Plan::suppressed(reason, None)))
    }

    /// When a message is due by its group and by quiet hours, or the message of the group that stands for it.
    pub(super) async fn plan_in_group(
        &mut self,
        alert: &Alert,
        channel_id: &str,
        kind: &str,
        preferences: &Preferences,
    ) -> Result<Plan, sqlx::Error> {
        if kind == "correction" || is_critical(alert) {
            return Ok(Plan::default().after_quiet_hours(alert, preferences, self.now));
        }
        let digest = preferences.digests.get(channel_id);
        let next = digest.and_then(|digest| digest.next_after(self.now));
        let collected = match (next, &preferences.grouping) {
            (Some(next), _) => Collected::Digest(next),
            (None, Some(grouping)) => Collected::Group(grouping),
            (None, None) => {
                return Ok(Plan::default().after_quiet_hours(alert, preferences, self.now));
            }
        };
        let key = match collected {
            Collected::Digest(_) => DIGEST_KEY.to_owned(),
            Collected::Group(grouping) => group_key(grouping, &traits(alert)),
        };
        let group = (channel_id, &*key, kind);
        if let Some(carrier) = store::lock_carrier(self.connection, group).await? {
            return Ok(Plan::suppressed(Reason::Grouped, Some(carrier)));
        }
        let (due, wait_reason) = match collected {
            Collected::Digest(next) => (next, DIGEST),
            Collected::Group(grouping) => {
                let last = store::last_of_group(self.connection, group).await?;
                (grouping.due(last, self.now), GROUP)
            }
        };
        let plan = Plan {
            not_before: Some(due),
            wait_reason: Some(wait_reason),
            group_key: Some(key),
            ..Plan::default()
        };
        Ok(plan.after_quiet_hours(alert, preferences, due))
    }

    /// The limit that one message more would exceed; otherwise it is counted.
    async fn reached(
        &mut self,
        alert: &Alert,
        channel_id: &str,
        preferences: &Preferences,
        counts: &mut Counts,
    ) -> Result<Option<Reason>, sqlx::Error> {
        let of_channel = preferences.channel_limits.get(channel_id).copied();
        let of_channel: Limits = of_channel.unwrap_or_default();
        if preferences.limits.is_none() && of_channel.is_none() {
            return Ok(None);
        }
        if !counts.is_loaded {
            let since = (
                self.now - TimeDelta::hours(1),
                self.now - TimeDelta::days(1),
            );
            let rows = store::begun_since(self.connection, &alert.tenant, since).await?;
            counts.by_channel.extend(rows);
            counts.is_loaded = true;
        }
        let (hour, day) = counts.of_all();
        if preferences.limits.are_reached(hour, day) {
            return Ok(Some(Reason::UserLimit));
        }
        let (hour, day) = counts.of(channel_id);
        if of_channel.are_reached(hour, day) {
            return Ok(Some(Reason::ChannelLimit));
        }
        counts.add(channel_id);
        Ok(None)
    }
}
