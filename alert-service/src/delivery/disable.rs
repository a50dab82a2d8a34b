use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{
    emission::Emissions,
    store::{self, NewChange},
    suppression::Reason,
};

/// Why a channel sends nothing any more, until somebody enables it.
#[derive(Debug)]
pub(crate) struct Disabling<'a> {
    pub(crate) channel_id: &'a str,
    /// Its owner.
    pub(crate) tenant: &'a str,
    /// As its history has it.
    pub(crate) change: &'a str,
    /// `None`: an answer of the destination.
    pub(crate) by: Option<&'a str>,
    pub(crate) reason: &'a str,
}

/// Disables a channel, with what waits for it; why what was suppressed, or `None` if it is not enabled.
pub(crate) async fn disable(
    connection: &mut PgConnection,
    disabling: &Disabling<'_>,
    emissions: &mut Emissions,
    now: DateTime<Utc>,
) -> Result<Option<Vec<Reason>>, sqlx::Error> {
    let id = disabling.channel_id;
    if !store::disable_channel(connection, id, disabling.reason, now).await? {
        return Ok(None);
    }
    let change = NewChange {
        tenant: disabling.tenant,
        object: "channel",
        object_id: id,
        change: disabling.change,
        by: disabling.by,
        note: disabling.reason,
        at: now,
    };
    store::insert_change(connection, &change).await?;
    let reason = Reason::ChannelDisabled;
    let suppressed = store::suppress_pending_of_channel(connection, id, reason, now).await?;
    for row in &suppressed {
        emissions.delivery(row);
    }
    Ok(Some(vec![reason; suppressed.len()]))
}
