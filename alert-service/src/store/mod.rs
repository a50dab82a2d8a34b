//! The tables of the alert service. All SQL of this crate is here.
//!
//! Statements on behalf of a caller take the [`Tenant`]s whose rows it may touch.

mod alerts;
mod calm;
mod changes;
mod channels;
mod claims;
mod combinations;
mod deliveries;
mod destinations;
mod external;
mod outcomes;
mod removal;
mod rules;
mod series;

use sqlx::migrate::Migrator;

pub(crate) use alerts::{
    Alert, AlertFilter, NewAlert, alert, alerts, alerts_by_cause, alerts_of_date, insert_alert,
    last_notified, lock_alert, open_alerts, open_alerts_of_rules, open_fingerprints,
    set_alert_state, set_notified,
};
pub(crate) use calm::{
    NewSilence, Silence, SilenceFilter, begun_since, carried, change_silence, chat_channels,
    end_escalations, insert_silence, last_of_group, lease_bot, linked, linked_alerts, lock_carrier,
    lock_preferences, lock_silence, members, name_channel, open_alerts_of_channel,
    open_alerts_with, preferences, promote, put_preferences, release_grouped, silence, silences,
    silences_at, take_update,
};
pub(crate) use changes::{Change, NewChange, changes_of, insert_change, is_untouched, log_ids};
pub(crate) use channels::{
    Channel, ChannelDraft, channel, channels, channels_of, delete_channel, insert_channel,
    lock_channel, rules_with_channel, update_channel,
};
pub(crate) use claims::{Claimed, Free, claim, give_back_expired};
pub(crate) use combinations::{
    has_rule_turns, holding_rules, rules_to_use, set_uses, take_rule_turns, turn_rule, turn_users,
    users_of, uses_of,
};
pub(crate) use deliveries::{
    Delivery, DeliveryFilter, NewDelivery, deliveries, deliveries_of_alert, discard,
    insert_delivery, pending_by_state, retry, supersede, suppress_pending_of_channel,
};
pub(crate) use destinations::{note_failure, note_success, overdue_since, pause, paused_count};
pub(crate) use external::{
    Remembered, answer_request, external_rules, has_begun_since, open_alerts_of_tenant,
    remember_request,
};
pub(crate) use outcomes::{Again, Finished, disable_channel, finish, move_channel, try_again};
pub(crate) use removal::{forget_requests, remove_ended_alerts, remove_ended_silences};
pub(crate) use rules::{
    RuleChange, RuleFilter, StoredRule, change_rule, count_expressions, delete_rule, insert_rule,
    lock_rule, matching_rules, rule, rules_of_ids, set_triggered, shown_rules,
};
pub(crate) use series::{
    SeriesHead, StoredPoint, StoredSeries, WatchedRule, edit_series_rule, edited_rules,
    forget_edits, last_points, lock_series_head, move_series_head, points_after, points_of_years,
    series_after, series_head, series_ids, series_of_ids, store_points, store_series,
    unknown_series, was_committed, watched_rules,
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

/// Brings the tables to this version, in the schema that a pool connects to.
pub(crate) static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("alert_service_migrations"),
    ..sqlx::migrate!("../migrations/alert-service")
};
