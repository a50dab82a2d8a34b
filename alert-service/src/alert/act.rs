//! What people do with alerts.

use chrono::{DateTime, Utc};

use super::Writer;
use crate::{
    calm::Matchers,
    emission::Cause,
    store::{self, Alert, NewChange, NewSilence},
    suppression::Reason,
};

impl Writer<'_> {
    /// Acknowledges an alert that is locked and fires. It is not escalated any more.
    pub(crate) async fn acknowledge(
        &mut self,
        mut alert: Alert,
        cause: &Cause,
    ) -> Result<Alert, sqlx::Error> {
        store::set_alert_state(self.connection, &alert.id, "acknowledged", None).await?;
        let before = std::mem::replace(&mut alert.state, "acknowledged".to_owned());
        self.record(&alert, "acknowledged", cause).await?;
        self.emissions.alert(&alert, &before, cause);
        self.done.alerts.push("acknowledged");
        for delivery in store::end_escalations(self.connection, &alert.id, self.now).await? {
            self.emissions.delivery(&delivery);
            self.done.suppressed.push(Reason::Acknowledged);
        }
        Ok(alert)
    }

    /// Acknowledges an alert that is locked and open, and silences what its rule makes of the same pattern or model
    /// until a time. Whether it did: the silence of an id is made once.
    pub(crate) async fn snooze(
        &mut self,
        alert: Alert,
        (silence_id, until): (&str, DateTime<Utc>),
        cause: &Cause,
    ) -> Result<bool, sqlx::Error> {
        let reason = match cause.note.as_str() {
            "" => format!("snoozed: {}", alert.title),
            note => note.to_owned(),
        };
        let silence = NewSilence {
            id: silence_id,
            tenant: &alert.tenant,
            matchers: &Matchers::of_one(&alert.rule_id, &alert.fingerprint),
            reason: &reason,
            created_by: &cause.by,
            starts_at: self.now,
            ends_at: until,
            now: self.now,
        };
        if !store::insert_silence(self.connection, &silence).await? {
            return Ok(false);
        }
        let created = NewChange {
            tenant: &alert.tenant,
            object: "silence",
            object_id: silence_id,
            change: "created",
            by: Some(&cause.by),
            note: &reason,
            at: self.now,
        };
        store::insert_change(self.connection, &created).await?;
        let alert = match &*alert.state {
            "firing" => self.acknowledge(alert, cause).await?,
            _ => alert,
        };
        self.record(&alert, "snoozed", cause).await?;
        Ok(true)
    }
}
