//! Notifications of Alertmanager's webhook, version 4, and of those who send the same, such as Grafana.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{External, fingerprint_of};

/// What rules compare as the source.
pub(crate) const SOURCE: &str = "alertmanager";
/// The one version that there is.
pub(crate) const VERSION: &str = "4";

/// A group of alerts; fields that are not named here are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notification {
    /// `4`.
    #[schema(example = "4")]
    pub(crate) version: String,
    /// How many alerts of the group the sender left out (`max_alerts`). They stay as they are.
    #[serde(default)]
    pub(crate) truncated_alerts: u64,
    /// At most 1,000. Each says itself whether it fires.
    pub(crate) alerts: Vec<NotifiedAlert>,
}

/// One alert of a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotifiedAlert {
    pub(crate) status: Status,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// `summary` becomes the title, `description` or `message` the text; `runbook_url` is added to it.
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) starts_at: Option<DateTime<Utc>>,
    /// Year 1: open.
    #[serde(default)]
    pub(crate) ends_at: Option<DateTime<Utc>>,
    /// A hash of the labels if absent.
    #[serde(default)]
    pub(crate) fingerprint: Option<String>,
}

/// Whether an alert fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It does.
    Firing,
    /// It does not any more.
    Resolved,
}

impl NotifiedAlert {
    /// The alert, as alerts of all sources are.
    pub(crate) fn external(self) -> External {
        let annotation = |name: &str| {
            let text = self.annotations.get(name).map(|text| text.trim());
            text.filter(|text| !text.is_empty())
        };
        let label = |name: &str| self.labels.get(name).map(String::as_str);
        let title = annotation("summary")
            .or_else(|| label("alertname"))
            .unwrap_or("Alert");
        let text = annotation("description").or_else(|| annotation("message"));
        let runbook = annotation("runbook_url").map(|url| format!("Runbook: {url}"));
        let lines: Vec<_> = text.into_iter().chain(runbook.as_deref()).collect();
        let severity = label("severity").filter(|severity| !severity.is_empty());
        let fingerprint = self.fingerprint.as_deref();
        let fingerprint = fingerprint.filter(|fingerprint| !fingerprint.is_empty());
        let is_firing = self.status == Status::Firing;
        External {
            source: SOURCE.to_owned(),
            fingerprint: fingerprint.map_or_else(|| fingerprint_of(&self.labels), str::to_owned),
            severity: severity.unwrap_or("info").to_owned(),
            title: title.to_owned(),
            message: lines.join("\n"),
            is_firing,
            started_at: set(self.starts_at),
            // Of one that fires it is when it would be taken for resolved.
            ended_at: set(self.ends_at).filter(|_| !is_firing),
            labels: self.labels,
        }
    }
}

/// The sender's zero time means that there is none.
fn set(at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    at.filter(|at| at.year() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(json: serde_json::Value) -> External {
        serde_json::from_value::<NotifiedAlert>(json)
            .unwrap()
            .external()
    }

    #[test]
    fn an_alert_is_read_as_alertmanager_writes_it() {
        let found = alert(serde_json::json!({
            "status": "firing",
            "labels": {"alertname": "Down", "severity": "critical"},
            "annotations": {"summary": "It is down", "description": "No answer.", "runbook_url": "docs#down"},
            "startsAt": "2026-11-28T12:00:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph",
            "fingerprint": "c6fe5f4d2c9b2f1d"
        }));
        assert_eq!(found.source, "alertmanager");
        assert_eq!(found.fingerprint, "c6fe5f4d2c9b2f1d");
        assert_eq!(found.severity, "critical");
        assert_eq!(found.title, "It is down");
        assert_eq!(found.message, "No answer.\nRunbook: docs#down");
        assert!(found.is_firing && found.started_at.is_some() && found.ended_at.is_none());
    }

    #[test]
    fn what_is_missing_is_made_of_what_is_there() {
        let found = alert(serde_json::json!({
            "status": "resolved", "labels": {"alertname": "Down"}, "startsAt": "0001-01-01T00:00:00Z",
            "endsAt": "2026-11-28T12:00:00+01:00"
        }));
        assert_eq!((&*found.title, &*found.severity), ("Down", "info"));
        assert_eq!(found.fingerprint.len(), 16);
        assert_eq!(found.started_at, None);
        assert_eq!(found.ended_at, "2026-11-28T11:00:00Z".parse().ok());
        assert!(!found.is_firing);
    }
}
