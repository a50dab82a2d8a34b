use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgExecutor, types::Json};

use crate::message::Stored;

/// A delivery whose next attempt this process is to make.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) alert_id: String,
    pub(crate) channel_id: String,
    pub(crate) destination: String,
    pub(crate) sequence: i32,
    pub(crate) message: Json<Stored>,
    /// Set if it may stand for others.
    pub(crate) group_key: Option<String>,
    /// With this one.
    pub(crate) attempts: i32,
    pub(crate) unknown_attempts: i32,
    pub(crate) deadline: DateTime<Utc>,
    /// The number of the attempt, for whoever records what became of it.
    pub(crate) claim: i64,
    /// The channel as it is now; `None` if it was deleted.
    pub(crate) configuration: Option<Value>,
    pub(crate) sealed_secret: Option<Vec<u8>>,
    pub(crate) enabled: Option<bool>,
}

/// What may be claimed.
#[derive(Debug)]
pub(crate) struct Free<'a> {
    /// In all.
    pub(crate) slots: i64,
    /// For one destination.
    pub(crate) lane: i64,
    /// How many failures in a row leave a destination one attempt at a time.
    pub(crate) failures_max: i32,
    /// Destinations with attempts of this process under way, and how many.
    pub(crate) busy: &'a [String],
    pub(crate) busy_counts: &'a [i64],
}

/// Takes deliveries that are due: of each destination so many as its lane has room for, the longest due
/// first, and of an alert and channel the first in order only. Each costs an attempt, which is stored before it
/// is made.
///
/// The cost grows with the number of destinations, not with what waits for them.
pub(crate) async fn claim(
    database: impl PgExecutor<'_>,
    free: &Free<'_>,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> Result<Vec<Claimed>, sqlx::Error> {
    sqlx::query_as!(
        Claimed,
        r#"with recursive lanes as (
               (select destination from deliveries where state = 'pending' order by destination limit 1)
               union all
               select (select d.destination from deliveries d
                       where d.state = 'pending' and d.destination > lanes.destination
                       order by d.destination limit 1)
               from lanes where lanes.destination is not null
           ), room as (
               select lanes.destination,
                   case when coalesce(p.failures, 0) >= $5 then 1 else $4::bigint end - coalesce(busy.count, 0) as free,
                   (select min(d.not_before) from deliveries d
                    where d.state = 'pending' and d.destination = lanes.destination) as due
               from lanes
               left join destinations p on p.destination = lanes.destination
               left join unnest($6::text[], $7::bigint[]) as busy (destination, count)
                   on busy.destination = lanes.destination
               where lanes.destination is not null and (p.paused_until is null or p.paused_until <= $1)
           ), due as (
               select chosen.id
               from (select destination, free from room where free > 0 and due <= $1 order by due) as open
               cross join lateral (
                   select d.id from deliveries d
                   where d.state = 'pending' and d.destination = open.destination and d.not_before <= $1
                       and not exists (
                           select from deliveries e
                           where e.alert_id = d.alert_id and e.channel_id = d.channel_id
                               and e.sequence < d.sequence and e.state in ('pending', 'sending'))
                   order by d.not_before, d.id limit open.free
                   for update of d skip locked
               ) as chosen
               limit $3
           ), claimed as (
               update deliveries d
               set state = 'sending', attempts = d.attempts + 1, claim = d.claim + 1, lease_until = $2,
                   wait_reason = null
               from due where d.id = due.id
               returning d.*
           )
           select claimed.id as "id!", claimed.tenant as "tenant!", claimed.alert_id as "alert_id!", claimed.channel_id as "channel_id!",
               claimed.destination as "destination!", claimed.sequence as "sequence!",
               claimed.message as "message!: Json<Stored>", claimed.group_key as "group_key?",
               claimed.attempts as "attempts!",
               claimed.unknown_attempts as "unknown_attempts!", claimed.deadline as "deadline!",
               claimed.claim as "claim!", channels.configuration as "configuration?", channels.sealed_secret as "sealed_secret?",
               channels.enabled as "enabled?"
           from claimed left join channels on channels.id = claimed.channel_id"#,
        now,
        lease_until,
        free.slots,
        free.lane,
        free.failures_max,
        free.busy,
        free.busy_counts,
    )
    .fetch_all(database)
    .await
}

/// Lets deliveries be tried again whose attempts were not recorded in time; how many there were.
pub(crate) async fn give_back_expired(
    database: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update deliveries
         set state = 'pending', not_before = $1, lease_until = null,
             wait_reason = 'the instance that sent it did not record what became of it'
         where id in (
             select id from deliveries where state = 'sending' and lease_until <= $1 order by id
             limit 1000 for update skip locked)",
        now,
    )
    .execute(database)
    .await?;
    Ok(done.rows_affected())
}
