//! How alerts begin and end, with their deliveries and what is emitted of both, in the caller's transaction.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::{
    context::Context,
    emission::{Cause, Emissions},
    message::{About, Stored},
    rule::{severity_name, severity_of},
    store::{self, Alert, Delivery, NewAlert, NewChange, NewDelivery, StoredRule},
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
        let new = NewAlert {
            id: &id,
            tenant: &rule.tenant,
            rule_id: &rule.id,
            fingerprint: begun.fingerprint,
            severity: severity_name(severity),
            title: begun.title,
            message: begun.message,
            labels: begun.labels,
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
        let state = self.rule_state(rule, begun.fingerprint).await?;
        let of_rule = of_rule(&definition, &state, severity, begun.is_too_old, self.now);
        let message = about(&alert, &definition.name).firing();
        let channels =
            store::channels_of(self.connection, &rule.tenant, &definition.channels).await?;
        let mut is_notified = false;
        for channel in &channels {
            let disabled = (!channel.enabled).then_some(Reason::ChannelDisabled);
            let to = (&*channel.id, &*channel.kind, &*channel.destination);
            let reason = of_rule.or(disabled);
            self.deliver(&alert, to, "firing", reason, &message, begun.caused_at)
                .await?;
            is_notified |= reason.is_none();
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

    /// Ends an alert that is locked. Who was notified of its beginning is notified of its end.
    pub(crate) async fn end(
        &mut self,
        mut alert: Alert,
        ending: &Ending<'_>,
    ) -> Result<Alert, sqlx::Error> {
        let state = match ending.is_withdrawn {
            true => "withdrawn",
            false => "resolved",
        };
        let before = std::mem::replace(&mut alert.state, state.to_owned());
        let ended_at = alert.ended_at.unwrap_or(ending.at);
        alert.ended_at = Some(ended_at);
        store::set_alert_state(self.connection, &alert.id, state, alert.ended_at).await?;
        self.emissions.alert(&alert, &before, ending.cause);
        self.done.alerts.push(state);
        self.record(&alert, state, ending.cause).await?;
        let superseded = store::supersede(self.connection, &alert.id, self.now).await?;
        for delivery in &superseded {
            self.done.suppressed.push(Reason::Superseded);
            self.emissions.delivery(delivery);
        }
        let rule = store::rule(&mut *self.connection, store::Tenant::All, &alert.rule_id).await?;
        let rule_name = rule.map(|rule| rule.definition.0.name).unwrap_or_default();
        let deliveries = store::deliveries_of_alert(&mut *self.connection, &alert.id).await?;
        let firing = deliveries
            .iter()
            .filter(|delivery| delivery.kind == "firing");
        for delivery in firing {
            let was_superseded = superseded
                .iter()
                .any(|superseded| superseded.id == delivery.id);
            self.deliver_end(&alert, &rule_name, delivery, was_superseded, ending)
                .await?;
        }
        Ok(alert)
    }

    /// Creates the delivery about the end of an alert, for the channel of one about its beginning.
    async fn deliver_end(
        &mut self,
        alert: &Alert,
        rule_name: &str,
        firing: &Delivery,
        was_superseded: bool,
        ending: &Ending<'_>,
    ) -> Result<(), sqlx::Error> {
        let may_be_known = matches!(&*firing.state, "sent" | "sending");
        let note = &ending.cause.note;
        let about = about(alert, rule_name);
        let (kind, message) = match ending.is_withdrawn {
            true => ("correction", about.correction(ending.at, note)),
            false => {
                let note = match ending.cause.by.as_str() {
                    "" => note.clone(),
                    by if note.is_empty() => format!("resolved by {by}"),
                    by => format!("resolved by {by}, {note}"),
                };
                ("resolved", about.resolved(ending.at, &note, was_superseded))
            }
        };
        let reason = match (may_be_known, was_superseded, ending.is_withdrawn) {
            (true, _, _) | (false, true, false) => None,
            // An attempt may have reached the channel although no answer came back.
            (false, true, true) if firing.attempts > 0 => None,
            _ => Some(Reason::NotNotified),
        };
        let channel = std::slice::from_ref(&firing.channel_id);
        let channels = store::channels_of(self.connection, &alert.tenant, channel).await?;
        let (reason, destination) = match channels.first() {
            None => (
                reason.or(Some(Reason::ChannelDeleted)),
                firing.destination.clone(),
            ),
            Some(channel) if !channel.enabled => (
                reason.or(Some(Reason::ChannelDisabled)),
                channel.destination.clone(),
            ),
            Some(channel) => (reason, channel.destination.clone()),
        };
        let to = (&*firing.channel_id, &*firing.channel_kind, &*destination);
        self.deliver(alert, to, kind, reason, &message, ending.caused_at)
            .await
    }

    async fn deliver(
        &mut self,
        alert: &Alert,
        (channel_id, channel_kind, destination): (&str, &str, &str),
        kind: &str,
        suppressed_by: Option<Reason>,
        message: &Stored,
        caused_at: Option<DateTime<Utc>>,
    ) -> Result<(), sqlx::Error> {
        let id = self.context.id(self.now).to_string();
        let new = NewDelivery {
            id: &id,
            tenant: &alert.tenant,
            alert_id: &alert.id,
            channel_id,
            channel_kind,
            destination,
            kind,
            suppressed_by,
            message,
            deadline: self.now + self.patience,
            caused_at,
            now: self.now,
        };
        if let Some(delivery) = store::insert_delivery(self.connection, &new).await? {
            self.emissions.delivery(&delivery);
            match suppressed_by {
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
