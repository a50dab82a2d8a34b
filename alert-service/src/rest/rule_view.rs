//! Rules as REST reads and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alerts::ChangeView;
use crate::{rule::Rule, store::StoredRule};

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RuleView {
    pub(super) id: String,
    /// Name of the token that made it.
    pub(super) owner: String,
    pub(super) rule: Rule,
    /// `active`, `paused`, or `triggered`: it was to notify once, and has.
    pub(super) state: String,
    /// Nothing is notified until then.
    pub(super) snoozed_until: Option<DateTime<Utc>>,
    /// What an update is to name.
    pub(super) version: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    /// Its newest changes, the oldest of them first; of one rule only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) history: Vec<ChangeView>,
}

/// A page of rules.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RulePage {
    /// By id.
    pub(super) rules: Vec<RuleView>,
    /// What to give as `after` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// A rule as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleUpdate {
    /// The version that it is made from.
    pub(super) version: i64,
    pub(super) rule: Rule,
}

/// Until when a rule is quiet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SnoozeRequest {
    /// At most 366 days ahead; a time in the past ends a snooze.
    pub(super) until: DateTime<Utc>,
    /// For those who come after.
    #[serde(default)]
    pub(super) note: String,
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
