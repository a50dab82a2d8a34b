//! How alerts end.

use std::collections::HashMap;

use super::{
    Ending, Writer, about,
    plan::{Outgoing, Plan},
};
use crate::{
    calm::Preferences,
    store::{self, Alert, Delivery},
    suppression::Reason,
};

/// What is known of the messages of an alert when it ends.
struct Notified {
    /// Those that were to be sent, or to be sent as part of another, and are not any more.
    superseded: Vec<String>,
    /// Whether the message was or is being sent that stands for a grouped one, by the id of that.
    carried: HashMap<String, bool>,
}

impl Notified {
    fn is_superseded(&self, delivery: &Delivery) -> bool {
        self.superseded.contains(&delivery.id)
    }

    fn may_be_known(&self, delivery: &Delivery) -> bool {
        matches!(&*delivery.state, "sent" | "sending")
            || self.carried.get(&delivery.id).copied().unwrap_or(false)
    }

    /// For each channel the message about the beginning that its reader knows best. Where nothing but an escalation
    /// was to come, there is none.
    fn heads(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let rank =
            |delivery: &Delivery| match (self.may_be_known(delivery), self.is_superseded(delivery))
            {
                (true, _) => 2,
                (false, true) => 1,
                (false, false) => 0,
            };
        let mut heads: Vec<Delivery> = Vec::new();
        let firing = deliveries
            .into_iter()
            .filter(|delivery| delivery.kind == "firing")
            .filter(|one| one.step == 0 || one.attempts > 0 || self.may_be_known(one));
        for delivery in firing {
            match heads.last_mut() {
                Some(head) if head.channel_id == delivery.channel_id => {
                    if rank(&delivery) > rank(head) {
                        *head = delivery;
                    }
                }
                _ => heads.push(delivery),
            }
        }
        heads
    }
}

impl Writer<'_> {
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
        store::turn_users(self.connection, &alert.rule_id).await?;
        // Whoever decides about messages of this owner waits for it: else a message could be given the place of another
        // while its own alert ends elsewhere, and stand for others that are then never sent.
        let preferences = store::lock_preferences(self.connection, &alert.tenant).await?;
        let notified = self.supersede(&alert).await?;
        let rule = store::rule(&mut *self.connection, store::Tenant::All, &alert.rule_id).await?;
        let rule_name = rule.map(|rule| rule.definition.0.name).unwrap_or_default();
        let deliveries = store::deliveries_of_alert(&mut *self.connection, &alert.id).await?;
        for head in notified.heads(deliveries) {
            self.deliver_end(&alert, (&rule_name, &preferences), &head, &notified, ending)
                .await?;
        }
        Ok(alert)
    }

    /// What waits of an alert that has ended is not sent. If it was to stand for messages of other alerts, one of
    /// these takes its place.
    async fn supersede(&mut self, alert: &Alert) -> Result<Notified, sqlx::Error> {
        let mut superseded = store::supersede(self.connection, &alert.id, self.now).await?;
        for delivery in &superseded {
            if let Some(next) = store::promote(self.connection, &delivery.id).await? {
                self.emissions.delivery(&next);
                self.done.pending += 1;
            }
        }
        // The messages that were to stand for those of this alert do without them, if they were not attempted yet.
        superseded.extend(store::release_grouped(self.connection, &alert.id).await?);
        for delivery in &superseded {
            self.done.suppressed.push(Reason::Superseded);
            self.emissions.delivery(delivery);
        }
        let carried = store::carried(self.connection, &alert.id).await?;
        Ok(Notified {
            superseded: superseded.into_iter().map(|one| one.id).collect(),
            carried: carried.into_iter().collect(),
        })
    }

    /// Creates the delivery about the end of an alert, for the channel of one about its beginning.
    async fn deliver_end(
        &mut self,
        alert: &Alert,
        (rule_name, preferences): (&str, &Preferences),
        firing: &Delivery,
        notified: &Notified,
        ending: &Ending<'_>,
    ) -> Result<(), sqlx::Error> {
        let was_superseded = notified.is_superseded(firing);
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
        let reason = match (
            notified.may_be_known(firing),
            was_superseded,
            ending.is_withdrawn,
        ) {
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
        let plan = match reason {
            Some(reason) => Plan::suppressed(reason, None),
            None => {
                self.plan_in_group(alert, &firing.channel_id, kind, preferences)
                    .await?
            }
        };
        let outgoing = Outgoing {
            channel_id: &firing.channel_id,
            channel_kind: &firing.channel_kind,
            destination: &destination,
            kind,
            step: 0,
            plan,
            message: &message,
            caused_at: ending.caused_at,
        };
        self.deliver(alert, outgoing).await
    }
}
