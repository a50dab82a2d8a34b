//! The tables of the alert service. All SQL of this crate is here.
//!
//! Statements on behalf of a caller take the [`Tenant`]s whose rows it may touch.

mod alerts;
mod changes;
mod channels;
mod claims;
mod deliveries;
mod destinations;
mod outcomes;
mod rules;
mod series;

use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
};

pub(crate) use alerts::{
    Alert, AlertFilter, NewAlert, alert, alerts, alerts_by_cause, alerts_of_date, insert_alert,
    last_notified, lock_alert, open_alerts, open_alerts_of_rules, open_fingerprints,
    set_alert_state, set_notified,
};
pub(crate) use changes::{Change, NewChange, changes_of, insert_change, log_ids};
pub(crate) use channels::{
    Channel, ChannelDraft, channel, channels, channels_of, delete_channel, insert_channel,
    lock_channel, rules_with_channel, update_channel,
};
pub(crate) use claims::{Claimed, Free, claim, give_back_expired};
pub(crate) use deliveries::{
    Delivery, DeliveryFilter, NewDelivery, deliveries, deliveries_of_alert, discard,
    insert_delivery, pending_by_state, retry, supersede, suppress_pending_of_channel,
};
pub(crate) use destinations::{note_failure, note_success, pause, paused_count};
pub(crate) use outcomes::{Again, Finished, disable_channel, finish, move_channel, try_again};
pub(crate) use rules::{
    RuleChange, StoredRule, change_rule, delete_rule, insert_rule, lock_rule, matching_rules, rule,
    rules, rules_of_ids, set_triggered,
};
pub(crate) use series::{
    SeriesHead, StoredPoint, StoredSeries, WatchedRule, edit_series_rule, edited_rules,
    last_points, lock_series_head, move_series_head, points_after, series_after, series_head,
    series_ids, series_of_ids, store_points, store_series, unknown_series, was_committed,
    watched_rules,
};

/// Whose rows a statement may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenant<'a> {
    /// Those of one tenant.
    One(&'a str),
    /// Those of all.
    All,
}

impl<'a> Tenant<'a> {
    /// For `$n::text is null or tenant = $n`.
    fn name(self) -> Option<&'a str> {
        match self {
            Self::One(name) => Some(name),
            Self::All => None,
        }
    }
}

static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("alert_service_migrations"),
    ..sqlx::migrate!("../migrations/alert-service")
};

/// Brings the tables to this version, in the schema that `pool` connects to.
///
/// # Errors
/// If a migration fails, or the database is of a newer version.
pub(crate) async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    event_log::run_migrations(pool, &MIGRATOR).await
}
