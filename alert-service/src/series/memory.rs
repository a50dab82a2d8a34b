//! Rules over series and what they read, in memory; and which part of what is stored that is.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDate, Utc};
use evaluation::series::Future;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tracing::{error, info};

use super::{
    alerts::{Occasion, end_open, turn},
    book::{Book, History, Points, TAIL, TurnKind},
    clockwork::Clockwork,
    condition,
};
use crate::{
    alert::Writer,
    emission::Cause,
    rule::COMBINATION,
    store::{self, SeriesHead, StoredPoint, StoredSeries, WatchedRule},
};

/// The memory, shared by who consumes and who watches the clock. Whoever locks it locks the head of series in the
/// database afterwards, never before.
pub(crate) type SharedMemory = Arc<Mutex<Memory>>;

const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// What is evaluated, and of which state of the database it is.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) book: Book,
    pub(crate) clockwork: Clockwork,
    /// `None` while it is being changed: what is dropped halfway is not to be trusted.
    position: Option<SeriesHead>,
    /// Rules were loaded once.
    is_loaded: Arc<AtomicBool>,
    history: History,
}

/// Rows of points, by series.
pub(super) fn by_series(points: Vec<StoredPoint>) -> BTreeMap<String, Points> {
    let mut series: BTreeMap<String, Points> = BTreeMap::new();
    for point in points {
        let vintage = Future {
            known_from: point.known_from,
            value: point.value,
        };
        let points = &mut series.entry(point.series_id).or_default().points;
        points.push((point.date, vintage));
    }
    series
}

impl Memory {
    /// With nothing in it yet.
    pub(crate) fn new(history: History) -> Self {
        Self {
            history,
            book: Book::new(history),
            ..Self::default()
        }
    }

    /// Whether rules were loaded, to be asked without a lock.
    pub(crate) fn loaded(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_loaded)
    }

    /// Where it stands; `None` if it is to be made anew.
    pub(crate) fn position(&self) -> Option<SeriesHead> {
        self.position
    }

    /// Begins a change that may be dropped halfway.
    pub(crate) fn changing(&mut self) {
        self.position = None;
    }

    /// It is that of a head now.
    pub(crate) fn changed(&mut self, head: SeriesHead) {
        self.position = Some(head);
    }

    /// Makes it agree with the database at a head that is locked, but for edits of rules. Nothing is notified: who wrote
    /// what it lacks has done that.
    pub(crate) async fn agree(
        &mut self,
        connection: &mut PgConnection,
        head: SeriesHead,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let position = self.position.take();
        // Edits since then may be forgotten.
        let position = position.filter(|position| position.edit >= head.forgotten_edit);
        let position = match position {
            // The same transaction, of which a part may have been undone.
            Some(position) if position.changed_by == head.changed_by => {
                Some(position).filter(|position| position.sequence == head.sequence)
            }
            // Others have moved on, or what it was changed by was undone.
            Some(position) => store::was_committed(connection, position.changed_by)
                .await?
                .then_some(position),
            None => None,
        };
        match position {
            Some(position) => {
                if position.sequence != head.sequence {
                    self.take_points_after(connection, position.sequence)
                        .await?;
                }
                // Those that are not settled yet are settled by the caller.
                if position.edit != head.edit {
                    self.take_edits_after(connection, position.edit, now)
                        .await?;
                }
                if position.changed_by != head.changed_by {
                    let silences = self.clockwork.silences();
                    self.note_open(connection, &silences).await?;
                }
                self.position = Some(head);
            }
            None => self.make_anew(connection, head, now).await?,
        }
        Ok(())
    }

    async fn take_points_after(
        &mut self,
        connection: &mut PgConnection,
        sequence: i64,
    ) -> Result<(), sqlx::Error> {
        let series = store::series_after(connection, sequence).await?;
        let mut points = by_series(store::points_after(connection, sequence).await?);
        for stored in series {
            let mut points = points.remove(&stored.id).unwrap_or_default();
            points.reached = Some(stored.reached);
            if self.book.is_cut(&stored.id) {
                // Of such a series the end is read again, whatever was withdrawn.
                let id = std::slice::from_ref(&stored.id);
                self.load(connection, id, Some(0)).await?;
            } else {
                self.book.observe(&stored.id, &points, NaiveDate::MAX);
            }
            self.clockwork.hear(&stored.id, stored.seen_at);
        }
        Ok(())
    }

    async fn take_edits_after(
        &mut self,
        connection: &mut PgConnection,
        edit: i64,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let edited = store::edited_rules(connection, edit).await?;
        if edited.is_empty() {
            return Ok(());
        }
        for rule in &edited {
            self.book.remove(rule);
            self.clockwork.remove(rule);
        }
        let rules = store::watched_rules(connection, Some(&edited)).await?;
        self.put_all(connection, &rules, now).await?;
        self.note_open(connection, &edited).await
    }

    async fn make_anew(
        &mut self,
        connection: &mut PgConnection,
        head: SeriesHead,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let began = Instant::now();
        *self = Self {
            is_loaded: Arc::clone(&self.is_loaded),
            ..Self::new(self.history)
        };
        for series in store::series_after(connection, -1).await? {
            self.clockwork.hear(&series.id, series.seen_at);
        }
        let rules = store::watched_rules(connection, None).await?;
        self.put_all(connection, &rules, now).await?;
        let silences = self.clockwork.silences();
        self.note_open(connection, &silences).await?;
        self.position = Some(head);
        self.is_loaded.store(true, Ordering::Relaxed);
        info!(
            rules = rules.len(),
            seconds = began.elapsed().as_secs_f64(),
            "rules over series are loaded"
        );
        Ok(())
    }

    async fn note_open(
        &mut self,
        connection: &mut PgConnection,
        rules: &[String],
    ) -> Result<(), sqlx::Error> {
        for alert in store::open_alerts_of_rules(connection, rules).await? {
            self.clockwork.note_open(&alert.rule_id);
        }
        Ok(())
    }

    async fn put_all(
        &mut self,
        connection: &mut PgConnection,
        rules: &[WatchedRule],
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let mut compiled = Vec::with_capacity(rules.len());
        let (mut whole, mut ends) = (Vec::new(), Vec::new());
        for rule in rules {
            match condition::watched(&rule.condition.0) {
                Ok(watched) => {
                    let (needs_whole, needs_end) = self.book.lacks(&watched);
                    whole.extend(needs_whole);
                    ends.extend(needs_end);
                    compiled.push((rule, watched));
                }
                Err(problems) => error!(id = rule.id, ?problems, "a stored rule cannot be read"),
            }
        }
        for series in [&mut whole, &mut ends] {
            series.sort_unstable();
            series.dedup();
        }
        ends.retain(|series| whole.binary_search(series).is_err());
        self.load(connection, &ends, Some(0)).await?;
        self.load(connection, &whole, None).await?;
        let mut said_at = Instant::now();
        for (rule, watched) in compiled {
            // The session ends if nothing is said for some seconds.
            if said_at.elapsed() > KEEP_ALIVE {
                store::series_head(&mut *connection).await?;
                said_at = Instant::now();
            }
            self.clockwork.put(&rule.id, &watched, rule.updated_at, now);
            if let Err(problem) = self.book.put(&rule.id, &watched) {
                error!(id = rule.id, %problem, "a stored rule cannot be compiled");
            }
        }
        Ok(())
    }

    /// Loads series: whole, or their ends with so many more observations than are needed.
    async fn load(
        &mut self,
        connection: &mut PgConnection,
        series: &[String],
        end: Option<usize>,
    ) -> Result<(), sqlx::Error> {
        if series.is_empty() {
            return Ok(());
        }
        let reached: BTreeMap<_, _> = store::series_of_ids(connection, series)
            .await?
            .into_iter()
            .map(|stored| (stored.id, stored.reached))
            .collect();
        let stored = match end {
            Some(more) => {
                let of_each = i64::try_from(2 * TAIL + more).unwrap_or(i64::MAX);
                store::last_points(connection, series, of_each).await?
            }
            None => {
                let years = i32::try_from(self.history.years).unwrap_or(i32::MAX);
                store::points_of_years(connection, series, years).await?
            }
        };
        let mut points = by_series(stored);
        for id in series {
            let mut points = points.remove(id).unwrap_or_default();
            points.reached = reached.get(id).copied();
            self.book.load(id, points, end.is_none());
        }
        Ok(())
    }

    /// Reads the ends of series again whose latest observations are about to be withdrawn.
    pub(crate) async fn prepare(
        &mut self,
        connection: &mut PgConnection,
        series: &str,
        points: &Points,
    ) -> Result<(), sqlx::Error> {
        let withdrawn = points.points.iter();
        let withdrawn = withdrawn.filter(|(_, vintage)| vintage.value.is_none());
        let count = withdrawn.count();
        if count > 0 && self.book.reads(series) && self.book.is_cut(series) {
            self.load(connection, &[series.to_owned()], Some(count))
                .await?;
        }
        Ok(())
    }

    /// Begins and ends alerts of rules that were edited: what holds has an alert open, and nothing else has. It agrees
    /// with the database already.
    pub(crate) async fn settle(
        &mut self,
        writer: &mut Writer<'_>,
        head: SeriesHead,
        oldest: NaiveDate,
    ) -> Result<(), sqlx::Error> {
        if head.edit == head.settled_edit {
            return Ok(());
        }
        let cause = Cause::default();
        let occasion = Occasion {
            cause: &cause,
            at: writer.now,
            caused_at: None,
            is_too_old: false,
            oldest,
        };
        let edited = store::edited_rules(writer.connection, head.settled_edit).await?;
        let rules = store::watched_rules(writer.connection, Some(&edited)).await?;
        let fingerprints: BTreeMap<_, _> = rules
            .iter()
            .filter_map(|rule| {
                let watched = condition::watched(&rule.condition.0).ok()?;
                Some((&*rule.id, watched.fingerprint()))
            })
            .collect();
        for rule in &edited {
            // Of a rule that was about something else, or is no more.
            let fingerprint = fingerprints.get(&**rule);
            let note = match fingerprint {
                Some(_) => "the rule was changed",
                None => "the rule was deleted, or is about something else now",
            };
            // What it is as a combination of rules is looked at elsewhere.
            let is_other = |of: &str| {
                of != COMBINATION && fingerprint.is_none_or(|fingerprint| of != fingerprint)
            };
            end_open(writer, rule, note, &occasion, is_other).await?;
        }
        let now = edited.iter().filter_map(|rule| self.book.now(rule));
        let now: Vec<_> = now
            .filter(|turn| matches!(turn.kind, TurnKind::Began | TurnKind::Ended))
            .collect();
        turn(writer, &now, &occasion).await
    }
}

/// What an event brought, as it is stored.
pub(crate) fn stored_points(series: &str, points: &Points) -> Vec<StoredPoint> {
    let points = points.points.iter();
    let stored = points.map(|(date, vintage)| StoredPoint {
        series_id: series.to_owned(),
        date: *date,
        known_from: vintage.known_from,
        value: vintage.value,
    });
    stored.collect()
}

/// That a series was heard of.
pub(crate) fn heard(series: &str, points: &Points, at: DateTime<Utc>) -> StoredSeries {
    StoredSeries {
        id: series.to_owned(),
        reached: points.reached.unwrap_or(NaiveDate::MIN),
        seen_at: at,
    }
}
