//! Rules as REST reads and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{rest::alerts::ChangeView, rule::Rule, store::StoredRule};

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleView {
    pub(crate) id: String,
    /// Name of the token that made it.
    pub(crate) owner: String,
    pub(crate) rule: Rule,
    /// `paused`, `expired` or `snoozed`: nothing is notified. Else `triggered` or `acknowledged` while an alert is open,
    /// `resolved` once the one alert ended that it was to notify of, or `active`.
    pub(crate) state: String,
    /// Nothing is notified until then.
    pub(crate) snoozed_until: Option<DateTime<Utc>>,
    /// What an update is to name.
    pub(crate) version: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    /// Its newest changes, the oldest of them first; of one rule only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<ChangeView>,
}

/// A page of rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RulePage {
    /// By id.
    pub(crate) rules: Vec<RuleView>,
    /// What to give as `after` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A rule as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleUpdate {
    /// The version that it is made from.
    pub(crate) version: i64,
    pub(crate) rule: Rule,
}

/// Until when a rule is quiet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnoozeRequest {
    /// At most 366 days ahead; a time in the past ends a snooze.
    pub(crate) until: DateTime<Utc>,
    /// For those who come after; at most 2,000 characters.
    #[serde(default)]
    pub(crate) note: String,
}

impl From<StoredRule> for RuleView {
    fn from(stored: StoredRule) -> Self {
        Self {
            id: stored.id,
            owner: stored.tenant,
            rule: stored.definition.0,
            state: stored.state,
            snoozed_until: stored.snoozed_until,
            version: stored.version,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            history: Vec::new(),
        }
    }
}
