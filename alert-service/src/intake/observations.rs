//! What observations bring about.

use chrono::{DateTime, NaiveDate, Utc};
use consumer::SourcedEvent;
use sqlx::PgConnection;

use super::Intake;
use crate::{
    alert::Writer,
    emission::{Cause, Emissions},
    series::{Collected, Occasion, end_silences, heard, stored_points, turn},
    store::{self, StoredPoint},
};

impl Intake {
    /// Stores observations, evaluates the rules that read them, and begins and ends alerts.
    pub(super) async fn observe(
        &mut self,
        connection: &mut PgConnection,
        collected: &[(&SourcedEvent, Collected)],
        emissions: &mut Emissions,
    ) -> Result<(), sqlx::Error> {
        let now = self.context.now();
        let oldest = (now - self.ages.observation_max).date_naive();
        let events: Vec<_> = collected.iter().map(|(event, _)| *event).collect();
        let logs = super::logs_of(connection, &events).await?;
        let shared = std::sync::Arc::clone(&self.memory);
        let mut memory = shared.lock().await;
        let head = store::lock_series_head(connection).await?;
        memory.agree(connection, head, now).await?;
        memory.changing();
        let sequence = head.sequence + 1;
        let mut writer = Writer {
            connection,
            context: &self.context,
            now,
            patience: self.patience,
            emissions,
            done: &mut self.done,
        };
        memory.settle(&mut writer, head, oldest).await?;
        for (_, collected) in collected {
            memory
                .prepare(writer.connection, &collected.series, &collected.points)
                .await?;
        }
        store_all(writer.connection, sequence, collected, now).await?;
        for (event, collected) in collected {
            let cause = Cause {
                log_id: logs.get(&*event.source).copied(),
                event_id: event.event.event_id.clone(),
                position: event.position(),
                by: String::new(),
                note: String::new(),
            };
            let occasion = Occasion {
                cause: &cause,
                at: event.occurred_at(),
                caused_at: event.recorded_at(),
                is_too_old: now - event.occurred_at() > self.ages.event_max,
                oldest,
            };
            let ended = memory.clockwork.hear(&collected.series, now);
            end_silences(&mut writer, &ended, &occasion).await?;
            let turns = memory
                .book
                .observe(&collected.series, &collected.points, oldest);
            turn(&mut writer, &turns, &occasion).await?;
        }
        let moved = store::move_series_head(writer.connection, sequence).await?;
        memory.changed(moved);
        Ok(())
    }
}

/// Stores what a batch brings: of each date the newest vintage, as one statement writes no row twice.
async fn store_all(
    connection: &mut PgConnection,
    sequence: i64,
    collected: &[(&SourcedEvent, Collected)],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let mut points: std::collections::BTreeMap<(String, NaiveDate), StoredPoint> =
        std::collections::BTreeMap::new();
    let mut series = std::collections::BTreeMap::new();
    for (_, collected) in collected {
        for point in stored_points(&collected.series, &collected.points) {
            let key = (point.series_id.clone(), point.date);
            let kept = points.entry(key).or_insert_with(|| point.clone());
            if kept.known_from <= point.known_from {
                *kept = point;
            }
        }
        let heard = heard(&collected.series, &collected.points, now);
        let kept = series
            .entry(heard.id.clone())
            .or_insert_with(|| heard.clone());
        kept.reached = kept.reached.max(heard.reached);
    }
    let points: Vec<_> = points.into_values().collect();
    let series: Vec<_> = series.into_values().collect();
    store::store_points(connection, sequence, &points).await?;
    store::store_series(connection, sequence, &series).await
}
