//! What can be read of a log: from a cursor on, between times, by id.

use atlas_events::{Event, EventFilter};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use prost::Message;
use ulid::Ulid;

use crate::{
    EventLog, Follower, Head, LogError, RangeRead, columns, head::segments, read::find,
    telemetry::Query,
};

impl EventLog {
    /// Follows the log after a cursor (0: from the first event ever).
    ///
    /// # Errors
    /// [`LogError::BeyondHead`], [`LogError::Trimmed`], or [`LogError::Database`].
    pub async fn follow_after(
        &self,
        after: u64,
        filter: EventFilter,
    ) -> Result<Follower, LogError> {
        // A cursor that this process has seen events beyond needs no look at the last position,
        // but only the database knows what retention removed.
        let head = self.begin().await?;
        if after > head.last_position {
            return Err(LogError::BeyondHead {
                after,
                last_position: head.last_position,
            });
        }
        if after + 1 < head.first_position {
            return Err(LogError::Trimmed {
                after,
                first_position: head.first_position,
            });
        }
        Ok(Follower::new(
            self.clone(),
            after,
            head.last_position,
            filter,
        ))
    }

    /// Follows the log from the first position whose event occurred at or after `since`.
    ///
    /// # Errors
    /// [`LogError::TrimmedTime`] if retention removed events of that time, or
    /// [`LogError::Database`].
    pub async fn follow_since(
        &self,
        since: DateTime<Utc>,
        filter: EventFilter,
    ) -> Result<Follower, LogError> {
        let head = self.begin().await?;
        let after = self.cursor_at(&head, next_microsecond(since)).await?;
        Ok(Follower::new(
            self.clone(),
            after,
            head.last_position,
            filter,
        ))
    }

    /// Follows what is stored from now on.
    ///
    /// # Errors
    /// [`LogError::Database`].
    pub async fn follow_live(&self, filter: EventFilter) -> Result<Follower, LogError> {
        let head = self.begin().await?;
        let last = head.last_position;
        Ok(Follower::new(self.clone(), last, last, filter))
    }

    /// Reads the stored events that occurred at or after `since` (all if absent) and before
    /// `before` (no bound if absent).
    ///
    /// # Errors
    /// As [`EventLog::follow_since`].
    pub async fn read_between(
        &self,
        since: Option<DateTime<Utc>>,
        before: Option<DateTime<Utc>>,
        filter: EventFilter,
    ) -> Result<RangeRead, LogError> {
        let (since, before) = (since.map(next_microsecond), before.map(next_microsecond));
        let head = self.begin().await?;
        let after = match since {
            Some(since) => self.cursor_at(&head, since).await?,
            None => head.first_position - 1,
        };
        let since = since.unwrap_or(DateTime::<Utc>::MIN_UTC);
        let before = before.unwrap_or(DateTime::<Utc>::MAX_UTC);
        Ok(RangeRead::new(
            self.clone(),
            (after, head.last_position),
            (since, before),
            filter,
        ))
    }

    /// The head for somebody who begins to read.
    async fn begin(&self) -> Result<Head, LogError> {
        self.0.shared_head.read(self).await
    }

    async fn cursor_at(&self, head: &Head, since: DateTime<Utc>) -> Result<u64, LogError> {
        check_kept_since(head, since)?;
        let cursor = {
            let mut reader = self.readers().connect().await?;
            let (first, last) = (head.first_position, head.last_position);
            let seeking = segments::cursor_at(reader.ask()?, since, first, last);
            let found = self.0.metrics.timed(Query::Seek, seeking).await?;
            reader.answered();
            found
        };
        // Retention may have removed what the seek was to find since the head was read.
        check_kept_since(&self.head().await?, since)?;
        Ok(cursor)
    }

    /// The stored event with an id; `None` if the log does not hold it.
    ///
    /// # Errors
    /// [`LogError::Database`], also if what is stored cannot be decoded.
    pub async fn find(&self, event_id: Ulid) -> Result<Option<Event>, LogError> {
        let mut reader = self.readers().connect().await?;
        let finding = find::by_id(reader.ask()?, event_id);
        let found = self.0.metrics.timed(Query::Find, finding).await?;
        reader.answered();
        let Some(stored) = found else {
            return Ok(None);
        };
        let replacement = atlas_events::replacement(&stored.encoded);
        let mut event = Event::decode(replacement.as_deref().unwrap_or(&stored.encoded))
            .map_err(|error| LogError::Database(sqlx::Error::Decode(error.into())))?;
        event.position = columns::position(stored.position);
        event.recorded_at = Some(stored.recorded_at.into());
        Ok(Some(event))
    }

    /// The latest `occurred_at` of the events that a filter wants; `None` if there are none. With a
    /// filter it is that of the newest 65,536 positions, and up to a second old.
    ///
    /// # Errors
    /// [`LogError::Database`].
    pub async fn latest_occurred_at(
        &self,
        filter: &EventFilter,
    ) -> Result<Option<DateTime<Utc>>, LogError> {
        if filter.is_unfiltered() {
            return Ok(self.head().await?.latest_occurred_at);
        }
        self.0.latest.of(self, filter.clone()).await
    }
}

/// Checks that retention has kept all events since a time.
fn check_kept_since(head: &Head, since: DateTime<Utc>) -> Result<(), LogError> {
    match head.dropped_before {
        Some(kept_since) if since < kept_since => Err(LogError::TrimmedTime {
            since,
            kept_since,
            first_position: head.first_position,
        }),
        _ => Ok(()),
    }
}

/// The first whole microsecond at or after a time. Stored times are in whole microseconds, and the
/// database cuts what it is asked for down to them, which would move a bound across an event.
fn next_microsecond(time: DateTime<Utc>) -> DateTime<Utc> {
    let whole = time.trunc_subsecs(6);
    if whole == time {
        return time;
    }
    whole
        .checked_add_signed(TimeDelta::microseconds(1))
        .unwrap_or(whole)
}
