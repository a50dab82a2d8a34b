//! What keeps messages back: silences, preferences, groups, limits.

mod bots;
mod groups;
mod limits;
mod preferences;
mod silences;

pub(crate) use bots::{chat_channels, lease_bot, open_alerts_of_channel, take_update};
pub(crate) use groups::{
    carried, last_of_group, linked, linked_alerts, lock_carrier, members, promote, release_grouped,
};
pub(crate) use limits::{begun_since, end_escalations, open_alerts_with};
pub(crate) use preferences::{lock_preferences, name_channel, preferences, put_preferences};
pub(crate) use silences::{
    NewSilence, Silence, SilenceFilter, change_silence, insert_silence, lock_silence, silence,
    silences, silences_at,
};
