//! What happens without an event: edits of rules take effect, times come, series stay away.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use consumer::ConsumerStatus;
use event_log::{EventLog, LogError};
use sqlx::{PgConnection, PgPool, PgTransaction};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    alerts::{Occasion, begin, close},
    book::{Turn, TurnKind},
    clockwork::Due,
    condition,
    memory::{Memory, SharedMemory},
};
use crate::{
    alert::{Done, Writer},
    context::Context,
    emission::{Cause, Emissions},
    store, telemetry,
};

/// So many rules are looked at in one transaction.
const DUE_MAX: usize = 1_000;

/// Looks at the clock and at edits.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) pool: PgPool,
    pub(crate) log: EventLog,
    pub(crate) context: Context,
    pub(crate) memory: SharedMemory,
    pub(crate) patience: TimeDelta,
    /// Observations before that are not notified of.
    pub(crate) observation_max: TimeDelta,
    /// Wakes whoever sends.
    pub(crate) wake: Arc<Notify>,
    pub(crate) poll_interval: Duration,
    pub(crate) status: ConsumerStatus,
}

/// Why nothing could be done now.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("what is emitted breaks the contract: {0}")]
    Contract(#[from] atlas_events::Violation),
}

impl Watch {
    /// Watches until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let watching = async {
            loop {
                let looked =
                    async { Ok::<_, WatchError>(self.look().await? | self.combine().await?) };
                match looked.await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => {
                        warn!(%error, "rules over series cannot be watched; trying again")
                    }
                }
                sleep(self.poll_interval).await;
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    /// Whether all that is stored by the sources is processed: before that a series may seem silent that is not.
    fn has_caught_up(&self) -> bool {
        let mut sources = self.status.sources().into_iter();
        // Of a log without events nothing is processed either.
        sources.all(|source| source.lag_events.or(source.head_position) == Some(0))
    }

    /// Does what is to be done now. Gives whether there may be more.
    async fn look(&self) -> Result<bool, WatchError> {
        let mut memory = self.memory.lock().await;
        let now = self.context.now();
        let stored = store::series_head(&self.pool).await?;
        let is_edited = stored.edit != stored.settled_edit
            || memory
                .position()
                .is_none_or(|position| position.edit != stored.edit);
        let with_silences = memory.clockwork.has_due_silences(now) && self.has_caught_up();
        if !is_edited && !with_silences && !memory.clockwork.has_due_times(now) {
            return Ok(false);
        }
        let mut transaction = self.pool.begin().await?;
        let head = store::lock_series_head(&mut transaction).await?;
        memory.agree(&mut transaction, head, now).await?;
        memory.changing();
        let (mut emissions, mut done) = (Emissions::default(), Done::default());
        let mut writer = Writer {
            connection: &mut transaction,
            context: &self.context,
            now,
            patience: self.patience,
            emissions: &mut emissions,
            done: &mut done,
        };
        let oldest = (now - self.observation_max).date_naive();
        memory.settle(&mut writer, head, oldest).await?;
        let has_more = strike(&mut memory, &mut writer, with_silences).await?;
        let moved = store::move_series_head(writer.connection, head.sequence).await?;
        self.commit(transaction, emissions, &done).await?;
        memory.changed(moved);
        Ok(has_more)
    }

    /// Commits what was changed, together with what is emitted of it.
    pub(super) async fn commit(
        &self,
        mut transaction: PgTransaction<'_>,
        emissions: Emissions,
        done: &Done,
    ) -> Result<(), WatchError> {
        let appended = match emissions.is_empty() {
            true => None,
            false => {
                let drafts = emissions.drafts(&self.context, &self.log.acceptance())?;
                Some(self.log.append_in(&mut transaction, drafts).await?)
            }
        };
        transaction.commit().await?;
        if let Some(appended) = appended {
            appended.committed();
        }
        telemetry::count(done);
        if done.pending > 0 {
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// Begins the alerts of rules that are due. Gives whether there may be more.
async fn strike(
    memory: &mut Memory,
    writer: &mut Writer<'_>,
    with_silences: bool,
) -> Result<bool, sqlx::Error> {
    let now = writer.now;
    for count in 0..=DUE_MAX {
        if count == DUE_MAX {
            return Ok(true);
        }
        let time = memory.clockwork.take_time(now);
        let silence = match with_silences {
            true => memory.clockwork.take_silence(now),
            false => None,
        };
        if time.is_none() && silence.is_none() {
            break;
        }
        if let Some(due) = time {
            begin_due(writer, &due, true).await?;
        }
        if let Some(due) = silence {
            begin_due(writer, &due, false).await?;
        }
    }
    Ok(false)
}

async fn begin_due(writer: &mut Writer<'_>, due: &Due, is_time: bool) -> Result<(), sqlx::Error> {
    let rules = store::rules_of_ids(writer.connection, &[due.rule.to_string()]).await?;
    let Some(mut rule) = rules.into_iter().next() else {
        return Ok(());
    };
    let Ok(watched) = condition::watched(&rule.definition.0.condition) else {
        return Ok(());
    };
    let fingerprint = watched.fingerprint();
    let key = (&*due.rule, &*fingerprint);
    let date = shown(due.at);
    // Another instance has, or this one before it was restarted.
    if has_begun(writer.connection, key, &date).await? {
        return Ok(());
    }
    let cause = Cause::default();
    let occasion = Occasion {
        cause: &cause,
        at: if is_time { due.at } else { writer.now },
        caused_at: None,
        is_too_old: false,
        oldest: chrono::NaiveDate::MIN,
    };
    let turn = Turn {
        rule: Arc::clone(&due.rule),
        kind: TurnKind::Began,
        date: due.at.date_naive(),
        value: None,
        threshold: None,
        is_old: false,
    };
    begin(writer, &mut rule, &watched, (&turn, &date), &occasion).await?;
    if is_time {
        close(writer, &due.rule, &occasion).await?;
    }
    Ok(())
}

async fn has_begun(
    connection: &mut PgConnection,
    key: (&str, &str),
    date: &str,
) -> Result<bool, sqlx::Error> {
    let begun = store::alerts_of_date(connection, key, date).await?;
    Ok(!begun.is_empty())
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
