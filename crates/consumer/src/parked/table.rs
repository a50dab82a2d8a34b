//! All SQL on `parked_events`.

use atlas_events::Event;
use chrono::{DateTime, Utc};
use prost::Message;
use sqlx::{PgConnection, PgExecutor};

use crate::{
    ParkedEvent, ParkedFilter, ParkedPage, ParkedState, SourcedEvent,
    database::{position, stored},
    parked::event::Parking,
};

struct Row {
    id: i64,
    source: String,
    handler: String,
    reason: String,
    attempts: i64,
    parked_at: DateTime<Utc>,
    attempted_at: DateTime<Utc>,
    state: String,
    encoded: Vec<u8>,
}

impl TryFrom<Row> for ParkedEvent {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let event = Event::decode(row.encoded.as_slice());
        Ok(Self {
            id: position(row.id),
            source: row.source,
            handler: row.handler,
            reason: row.reason,
            attempts: position(row.attempts),
            parked_at: row.parked_at,
            attempted_at: row.attempted_at,
            state: row
                .state
                .parse()
                .map_err(|error: String| sqlx::Error::Decode(error.into()))?,
            event: event.map_err(|error| sqlx::Error::Decode(error.into()))?,
        })
    }
}

/// PostgreSQL stores no NUL character in text.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The event for people, if JSON can express it and PostgreSQL can store that.
fn as_json(event: &Event) -> Option<serde_json::Value> {
    let text = serde_json::to_string(event).ok()?;
    // An escaped NUL; or an escaped backslash before "u0000", which is rare enough to go without.
    if text.contains("\\u0000") {
        return None;
    }
    serde_json::from_str(&text).ok()
}

/// Parks an event.
pub(crate) async fn park(
    connection: &mut PgConnection,
    service: &str,
    parking: &Parking,
) -> Result<(), sqlx::Error> {
    let SourcedEvent { source, event } = &parking.event;
    sqlx::query!(
        "insert into parked_events (service, source, event_id, position, event_type, occurred_at,
                                    encoded, input, handler, reason, attempts)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (service, source, event_id) do update
         set handler = excluded.handler, reason = excluded.reason, state = 'parked',
             attempts = parked_events.attempts + excluded.attempts, attempted_at = now()",
        service,
        &source[..],
        without_nul(&event.event_id),
        stored(event.position),
        without_nul(&parking.event.event_type()),
        parking.event.occurred_at(),
        event.encode_to_vec(),
        as_json(event),
        without_nul(&parking.handler),
        without_nul(&parking.reason),
        stored(parking.attempts),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// So many bytes of events fill a page, whatever number was asked for: each may have a MiB, and what a
/// client takes in one answer of gRPC is 4 MiB by default.
const PAGE_BYTES_MAX: i64 = 2 * 1024 * 1024;

/// A page of parked events in the order of their numbers, after one of them.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    service: &str,
    filter: &ParkedFilter,
    after_id: u64,
    count_max: u32,
) -> Result<ParkedPage, sqlx::Error> {
    let all = [
        ParkedState::Parked,
        ParkedState::Retrying,
        ParkedState::Resolved,
        ParkedState::Discarded,
    ];
    let ids = filter.ids();
    // One more than asked for tells whether there are more.
    let rows = sqlx::query!(
        r#"select id, source, handler, reason, attempts, parked_at, attempted_at, state, encoded,
                  has_more as "has_more!"
           from (
               select *,
                      row_number() over (order by id) as row,
                      lead(id) over (order by id) is not null as has_more,
                      sum(octet_length(encoded)) over (order by id rows unbounded preceding)
                          - octet_length(encoded) as bytes_before
               from (
                   select *
                   from parked_events
                   where service = $1 and id > $2 and state = any($3)
                       and ($4::bigint[] is null or id = any($4))
                       and ($5::text is null or source = $5)
                       and ($6::text is null or event_type = $6)
                       and ($7::text is null or strpos(lower(reason), lower($7)) > 0)
                       and ($8::timestamptz is null or parked_at >= $8)
                       and ($9::timestamptz is null or parked_at < $9)
                   order by id
                   limit $10::bigint + 1
               ) as wanted
           ) as counted
           where row <= $10 and bytes_before < $11
           order by id"#,
        service,
        stored(after_id),
        &filter.states(&all, &all),
        ids.as_deref(),
        filter.source.as_deref(),
        filter.event_type.as_deref(),
        filter.reason_contains.as_deref(),
        filter.parked_since,
        filter.parked_before,
        i64::from(count_max),
        PAGE_BYTES_MAX,
    )
    .fetch_all(executor)
    .await?;
    let has_more = rows.last().is_some_and(|row| row.has_more);
    let events = rows.into_iter().map(|row| {
        ParkedEvent::try_from(Row {
            id: row.id,
            source: row.source,
            handler: row.handler,
            reason: row.reason,
            attempts: row.attempts,
            parked_at: row.parked_at,
            attempted_at: row.attempted_at,
            state: row.state,
            encoded: row.encoded,
        })
    });
    let events = events.collect::<Result<_, _>>()?;
    Ok(ParkedPage { events, has_more })
}

/// Marks parked events (and discarded ones, if the filter names that state) to be retried. Returns
/// their numbers.
pub(crate) async fn mark_retrying(
    executor: impl PgExecutor<'_>,
    service: &str,
    filter: &ParkedFilter,
) -> Result<Vec<u64>, sqlx::Error> {
    let applicable = [ParkedState::Parked, ParkedState::Discarded];
    let from = filter.states(&applicable, &[ParkedState::Parked]);
    mark(executor, service, filter, from, ParkedState::Retrying).await
}

/// Gives up events that are parked or retrying. Returns their numbers.
pub(crate) async fn discard(
    executor: impl PgExecutor<'_>,
    service: &str,
    filter: &ParkedFilter,
) -> Result<Vec<u64>, sqlx::Error> {
    let applicable = [ParkedState::Parked, ParkedState::Retrying];
    let from = filter.states(&applicable, &applicable);
    mark(executor, service, filter, from, ParkedState::Discarded).await
}

async fn mark(
    executor: impl PgExecutor<'_>,
    service: &str,
    filter: &ParkedFilter,
    from: Vec<String>,
    to: ParkedState,
) -> Result<Vec<u64>, sqlx::Error> {
    let ids = filter.ids();
    let marked = sqlx::query_scalar!(
        "update parked_events set state = $3
         where service = $1 and state = any($2)
             and ($4::bigint[] is null or id = any($4))
             and ($5::text is null or source = $5)
             and ($6::text is null or event_type = $6)
             and ($7::text is null or strpos(lower(reason), lower($7)) > 0)
             and ($8::timestamptz is null or parked_at >= $8)
             and ($9::timestamptz is null or parked_at < $9)
         returning id",
        service,
        &from,
        to.as_str(),
        ids.as_deref(),
        filter.source.as_deref(),
        filter.event_type.as_deref(),
        filter.reason_contains.as_deref(),
        filter.parked_since,
        filter.parked_before,
    )
    .fetch_all(executor)
    .await?;
    Ok(marked.into_iter().map(position).collect())
}

/// The states of records.
pub(crate) async fn states(
    executor: impl PgExecutor<'_>,
    ids: &[u64],
) -> Result<Vec<ParkedState>, sqlx::Error> {
    let ids: Vec<i64> = ids.iter().map(|id| stored(*id)).collect();
    let states = sqlx::query_scalar!("select state from parked_events where id = any($1)", &ids)
        .fetch_all(executor)
        .await?;
    let parsed = states.iter().map(|state| state.parse());
    parsed
        .collect::<Result<_, String>>()
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

/// What is to be retried next, in the order of their numbers, after one of them.
pub(crate) async fn next_retrying(
    executor: impl PgExecutor<'_>,
    service: &str,
    after_id: u64,
) -> Result<Option<u64>, sqlx::Error> {
    let id = sqlx::query_scalar!(
        "select id from parked_events
         where service = $1 and state = 'retrying' and id > $2
         order by id limit 1",
        service,
        stored(after_id),
    )
    .fetch_optional(executor)
    .await?;
    Ok(id.map(position))
}

/// An event that is to be retried, which no other transaction can touch before this one ends;
/// `None` if it is no longer to be.
pub(crate) async fn lock_retrying(
    connection: &mut PgConnection,
    id: u64,
) -> Result<Option<ParkedEvent>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, source, handler, reason, attempts, parked_at, attempted_at, state, encoded
         from parked_events where id = $1 and state = 'retrying' for update",
        stored(id),
    )
    .fetch_optional(connection)
    .await?;
    row.map(ParkedEvent::try_from).transpose()
}

/// Records that a retry succeeded.
pub(crate) async fn resolve(connection: &mut PgConnection, id: u64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update parked_events
         set state = 'resolved', attempts = attempts + 1, attempted_at = now()
         where id = $1",
        stored(id),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that a retry failed for good.
pub(crate) async fn park_again(
    executor: impl PgExecutor<'_>,
    id: u64,
    handler: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update parked_events
         set state = 'parked', handler = $2, reason = $3, attempts = attempts + 1,
             attempted_at = now()
         where id = $1 and state = 'retrying'",
        stored(id),
        without_nul(handler),
        without_nul(reason),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How many events wait for a decision or a retry.
pub(crate) async fn count_open(
    executor: impl PgExecutor<'_>,
    service: &str,
) -> Result<u64, sqlx::Error> {
    let open = sqlx::query_scalar!(
        r#"select count(*) as "open!" from parked_events
           where service = $1 and state in ('parked', 'retrying')"#,
        service,
    )
    .fetch_one(executor)
    .await?;
    Ok(position(open))
}
