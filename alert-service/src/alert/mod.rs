//! How alerts begin and end, with their deliveries and what is emitted of both, in the caller's transaction.

mod act;
mod end;
mod plan;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use self::plan::{Counts, Outgoing, Plan};
use crate::{
    calm::{Preferences, Traits},
    context::Context,
    emission::{Cause, Emissions},
    message::About,
    rule::{severity_name, severity_of},
    store::{self, Alert, NewAlert, NewChange, NewDelivery, StoredRule},
    suppression::{Reason, RuleState, of_rule},
};

/// What alerts begin and end with.
pub(crate) struct Writer<'a> {
    pub(crate) connection: &'a mut PgConnection,
    pub(crate) context: &'a Context,
    pub(crate) now: DateTime<Utc>,
    /// How long a delivery is tried.
    pub(crate) patience: TimeDelta,
    pub(crate) emissions: &'a mut Emissions,
    pub(crate) done: &'a mut Done,
}

/// What was done, for counting once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// States that alerts came to.
    pub(crate) alerts: Vec<&'static str>,
    pub(crate) suppressed: Vec<Reason>,
    /// Deliveries that wait to be sent.
    pub(crate) pending: u64,
    /// Events of which no rule wants to know.
    pub(crate) unmatched: u64,
}

/// Something that a rule makes an alert of.
#[derive(Debug)]
pub(crate) struct Begun<'a> {
    pub(crate) fingerprint: &'a str,
    pub(crate) severity: &'a str,
    pub(crate) title: &'a str,
    pub(crate) message: &'a str,
    pub(crate) labels: &'a std::collections::BTreeMap<String, String>,
    pub(crate) started_at: DateTime<Utc>,
    /// When the event was stored by its log.
    pub(crate) caused_at: Option<DateTime<Utc>>,
    pub(crate) is_too_old: bool,
    pub(crate) cause: &'a Cause,
}

/// How an alert ends.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    /// Whether it did not happen.
    pub(crate) is_withdrawn: bool,
    pub(crate) at: DateTime<Utc>,
    pub(crate) caused_at: Option<DateTime<Utc>>,
    pub(crate) cause: &'a Cause,
}

const DAY: TimeDelta = TimeDelta::days(1);

fn about<'a>(alert: &'a Alert, rule_name: &'a str) -> About<'a> {
    About {
        alert_id: &alert.id,
        rule_id: &alert.rule_id,
        rule_name,
        severity: severity_of(&alert.severity),
        title: &alert.title,
        message: &alert.message,
        labels: &alert.labels.0,
        started_at: alert.started_at,
    }
}

fn traits(alert: &Alert) -> Traits<'_> {
    Traits {
        rule_id: &alert.rule_id,
        fingerprint: &alert.fingerprint,
        severity: &alert.severity,
        labels: &alert.labels.0,
    }
}

impl Writer<'_> {
    /// Begins an alert of a rule, unless one of the same is open.
    pub(crate) async fn begin(
        &mut self,
        rule: &mut StoredRule,
        begun: &Begun<'_>,
    ) -> Result<(), sqlx::Error> {
        let definition = rule.definition.0.clone();
        let severity = definition
            .severity
            .unwrap_or_else(|| severity_of(begun.severity));
        let id = self.context.id(self.now).to_string();
        // What an alert says of itself counts for more than a tag.
        let mut labels = definition.tags.clone();
        labels.extend(begun.labels.clone());
        let new = NewAlert {
            id: &id,
            tenant: &rule.tenant,
            rule_id: &rule.id,
            fingerprint: begun.fingerprint,
            severity: severity_name(severity),
            title: begun.title,
            message: begun.message,
            labels: &labels,
            started_at: begun.started_at,
            cause_log_id: begun.cause.log_id,
            cause_event_id: &begun.cause.event_id,
            cause_position: begun.cause.position.cast_signed(),
            now: self.now,
        };
        let Some(alert) = store::insert_alert(self.connection, &new).await? else {
            return Ok(());
        };
        self.emissions.alert(&alert, "", begun.cause);
        self.done.alerts.push("firing");
        self.record(&alert, "firing", begun.cause).await?;
        store::turn_users(self.connection, &rule.id).await?;
        let state = self.rule_state(rule, begun.fingerprint).await?;
        let preferences = store::lock_preferences(self.connection, &rule.tenant).await?;
        let traits = traits(&alert);
        let held = match of_rule(&definition, &state, severity, begun.is_too_old, self.now) {
            Some(reason) => Some(Plan::suppressed(reason, None)),
            None => self.held_back(&alert, &preferences).await?,
        };
        let named = match definition.channels.is_empty() {
            true => preferences.routed(&traits),
            false => definition.channels.clone(),
        };
        let channels = store::channels_of(self.connection, &rule.tenant, &named).await?;
        let message = about(&alert, &definition.name).firing();
        let mut counts = Counts::default();
        let mut is_notified = false;
        for channel in &channels {
            let plan = match &held {
                Some(plan) => plan.clone(),
                None => {
                    self.plan(&alert, channel, &preferences, &mut counts)
                        .await?
                }
            };
            is_notified |= plan.will_be_known();
            let outgoing = Outgoing {
                channel_id: &channel.id,
                channel_kind: &channel.kind,
                destination: &channel.destination,
                kind: "firing",
                step: 0,
                plan,
                message: &message,
                caused_at: begun.caused_at,
            };
            self.deliver(&alert, outgoing).await?;
        }
        if held.is_none() {
            self.escalate(&alert, &definition.name, &preferences, begun.caused_at)
                .await?;
        }
        if is_notified {
            store::set_notified(self.connection, &alert.id, self.now).await?;
            if definition.once && rule.state == "active" {
                store::set_triggered(self.connection, &rule.id).await?;
                "triggered".clone_into(&mut rule.state);
            }
        }
        Ok(())
    }

    async fn rule_state(
        &mut self,
        rule: &StoredRule,
        fingerprint: &str,
    ) -> Result<RuleState, sqlx::Error> {
        let since = self.now - DAY;
        let notified = store::last_notified(self.connection, &rule.id, fingerprint, since);
        let (notified_at, count) = notified.await?;
        Ok(RuleState {
            is_paused: rule.state == "paused",
            has_triggered: rule.state == "triggered",
            snoozed_until: rule.snoozed_until,
            notified_at,
            notified_in_a_day: u32::try_from(count).unwrap_or(u32::MAX),
        })
    }

    /// Creates the messages that are sent if nobody acknowledges the alert in time. They are stored at once, so that
    /// no timer has to survive.
    async fn escalate(
        &mut self,
        alert: &Alert,
        rule_name: &str,
        preferences: &Preferences,
        caused_at: Option<DateTime<Utc>>,
    ) -> Result<(), sqlx::Error> {
        for (step, escalation) in (1..).zip(&preferences.escalations) {
            if !escalation.matchers.matches(&traits(alert)) {
                continue;
            }
            let minutes = escalation.after_minutes;
            let at = self.now + TimeDelta::minutes(minutes.into());
            let message = about(alert, rule_name).escalated(minutes);
            let ids = &escalation.channels;
            for channel in store::channels_of(self.connection, &alert.tenant, ids).await? {
                let outgoing = Outgoing {
                    channel_id: &channel.id,
                    channel_kind: &channel.kind,
                    destination: &channel.destination,
                    kind: "firing",
                    step,
                    plan: Plan::escalation(alert, preferences, at),
                    message: &message,
                    caused_at,
                };
                self.deliver(alert, outgoing).await?;
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, alert: &Alert, outgoing: Outgoing<'_>) -> Result<(), sqlx::Error> {
        let id = self.context.id(self.now).to_string();
        let plan = &outgoing.plan;
        let not_before = plan.not_before.unwrap_or(self.now);
        let new = NewDelivery {
            id: &id,
            tenant: &alert.tenant,
            alert_id: &alert.id,
            channel_id: outgoing.channel_id,
            channel_kind: outgoing.channel_kind,
            destination: outgoing.destination,
            kind: outgoing.kind,
            step: outgoing.step,
            suppressed_by: plan.suppressed_by,
            suppressor: plan.suppressor.as_deref(),
            group_key: plan.group_key.as_deref(),
            message: outgoing.message,
            not_before,
            wait_reason: plan.wait_reason,
            deadline: not_before + self.patience,
            caused_at: outgoing.caused_at,
            now: self.now,
        };
        if let Some(delivery) = store::insert_delivery(self.connection, &new).await? {
            self.emissions.delivery(&delivery);
            match plan.suppressed_by {
                Some(reason) => self.done.suppressed.push(reason),
                None => self.done.pending += 1,
            }
        }
        Ok(())
    }

    pub(crate) async fn record(
        &mut self,
        alert: &Alert,
        change: &str,
        cause: &Cause,
    ) -> Result<(), sqlx::Error> {
        let change = NewChange {
            tenant: &alert.tenant,
            object: "alert",
            object_id: &alert.id,
            change,
            by: (!cause.by.is_empty()).then_some(&*cause.by),
            note: &cause.note,
            at: self.now,
        };
        store::insert_change(self.connection, &change).await
    }
}
