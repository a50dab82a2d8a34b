//! Rules as REST reads and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{rest::alerts::ChangeView, rule::Rule, store::StoredRule};

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct RuleView {
    pub(in crate::rest) id: String,
    /// Name of the token that made it.
    pub(in crate::rest) owner: String,
    pub(in crate::rest) rule: Rule,
    /// `paused`, `expired` or `snoozed`: nothing is notified. Else `triggered` or `acknowledged` while an alert is open,
    /// `resolved` once the one alert ended that it was to notify of, or `active`.
    pub(in crate::rest) state: String,
    /// Nothing is notified until then.
    pub(in crate::rest) snoozed_until: Option<DateTime<Utc>>,
    /// What an update is to name.
    pub(in crate::rest) version: i64,
    pub(in crate::rest) created_at: DateTime<Utc>,
    pub(in crate::rest) updated_at: DateTime<Utc>,
    /// Its newest changes, the oldest of them first; of one rule only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::rest) history: Vec<ChangeView>,
}

/// A page of rules.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct RulePage {
    /// By id.
    pub(in crate::rest) rules: Vec<RuleView>,
    /// What to give as `after` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::rest) next: Option<String>,
}

/// A rule as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct RuleUpdate {
    /// The version that it is made from.
    pub(in crate::rest) version: i64,
    pub(in crate::rest) rule: Rule,
}

/// Until when a rule is quiet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct SnoozeRequest {
    /// At most 366 days ahead; a time in the past ends a snooze.
    pub(in crate::rest) until: DateTime<Utc>,
    /// For those who come after; at most 2,000 characters.
    #[serde(default)]
    pub(in crate::rest) note: String,
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
