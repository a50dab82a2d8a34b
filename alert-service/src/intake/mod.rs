//! The handler of consumed events: rules make alerts of crossings, transitions and observations.

mod observations;
mod statement;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use consumer::{BoxError, Handler, HandlerError, SourcedEvent};
use event_log::{EventLog, Uncommitted};
use sqlx::PgConnection;
use tokio::sync::Notify;
use uuid::Uuid;

use self::statement::{Beginning, Statement};
use crate::{
    SERVICE,
    alert::{Begun, Done, Ending, Writer},
    context::Context,
    emission::{Cause, Emissions},
    message::{TEXT_CHARS_MAX, TITLE_CHARS_MAX},
    rule::Subject,
    series::{self, SharedMemory},
    store::{self, StoredRule},
    telemetry,
};

/// Which crossings and transitions are too old to be notified of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// Since they occurred.
    pub(crate) event_max: TimeDelta,
    /// Since what they evaluated was observed.
    pub(crate) observation_max: TimeDelta,
}

/// Makes alerts of events.
#[derive(Debug)]
pub(crate) struct Intake {
    log: EventLog,
    context: Context,
    ages: Ages,
    patience: TimeDelta,
    /// Rules over series.
    memory: SharedMemory,
    /// Wakes whoever sends.
    wake: Arc<Notify>,
    done: Done,
    appended: Option<Uncommitted>,
}

impl Intake {
    pub(crate) fn new(
        log: EventLog,
        context: Context,
        ages: Ages,
        patience: TimeDelta,
        memory: SharedMemory,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            log,
            context,
            ages,
            patience,
            memory,
            wake,
            done: Done::default(),
            appended: None,
        }
    }

    fn is_too_old(&self, beginning: &Beginning, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let oldest = (now - self.ages.observation_max).date_naive();
        now - at > self.ages.event_max || beginning.observed.is_some_and(|day| day < oldest)
    }

    async fn take_in(
        &mut self,
        connection: &mut PgConnection,
        said: Vec<(&SourcedEvent, Vec<Statement>)>,
        emissions: &mut Emissions,
    ) -> Result<(), sqlx::Error> {
        let now = self.context.now();
        let mut rules = rules_for(connection, &said).await?;
        let mut open = open_of(connection, &said).await?;
        let events: Vec<_> = said.iter().map(|(event, _)| *event).collect();
        let logs = logs_of(connection, &events).await?;
        for (event, statements) in said {
            let cause = |note: &str| Cause {
                log_id: logs.get(&*event.source).copied(),
                event_id: event.event.event_id.clone(),
                position: event.position(),
                by: String::new(),
                note: note.to_owned(),
            };
            let (at, caused_at) = (event.occurred_at(), event.recorded_at());
            for statement in statements {
                let too_old = match &statement {
                    Statement::Begin(beginning) => self.is_too_old(beginning, at, now),
                    _ => false,
                };
                let mut writer = Writer {
                    connection: &mut *connection,
                    context: &self.context,
                    now,
                    patience: self.patience,
                    emissions: &mut *emissions,
                    done: &mut self.done,
                };
                let ending = |cause, is_withdrawn| Ending {
                    is_withdrawn,
                    at,
                    caused_at,
                    cause,
                };
                match statement {
                    Statement::Begin(beginning) => {
                        let cause = cause("");
                        let labels: BTreeMap<_, _> = beginning.labels.iter().cloned().collect();
                        let begun = Begun {
                            fingerprint: &beginning.fingerprint,
                            severity: &beginning.severity,
                            title: &atlas_events::clip(&beginning.title, TITLE_CHARS_MAX),
                            message: &atlas_events::clip(&beginning.message, TEXT_CHARS_MAX),
                            labels: &labels,
                            started_at: at,
                            caused_at,
                            is_too_old: too_old,
                            cause: &cause,
                        };
                        let subject = &beginning.subject;
                        let matching = rules
                            .iter_mut()
                            .filter(|rule| rule.definition.0.condition.matches(subject));
                        let mut is_wanted = false;
                        for rule in matching {
                            is_wanted = true;
                            writer.begin(rule, &begun).await?;
                        }
                        match is_wanted {
                            true => drop(open.insert(beginning.fingerprint)),
                            false => writer.done.unmatched += 1,
                        }
                    }
                    Statement::End { fingerprint, note } => {
                        if !open.remove(&fingerprint) {
                            continue;
                        }
                        let cause = cause(&note);
                        let alerts = store::open_alerts(writer.connection, &fingerprint).await?;
                        for alert in alerts {
                            writer.end(alert, &ending(&cause, false)).await?;
                        }
                    }
                    Statement::Withdraw { event_id, note } => {
                        let cause = cause(&note);
                        let alerts = store::alerts_by_cause(writer.connection, &event_id).await?;
                        for alert in alerts {
                            writer.end(alert, &ending(&cause, true)).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The rules that may want to know.
async fn rules_for(
    connection: &mut PgConnection,
    said: &[(&SourcedEvent, Vec<Statement>)],
) -> Result<Vec<StoredRule>, sqlx::Error> {
    let (mut patterns, mut models) = (BTreeSet::new(), BTreeSet::new());
    for statement in said.iter().flat_map(|(_, statements)| statements) {
        let Statement::Begin(beginning) = statement else {
            continue;
        };
        match &beginning.subject {
            Subject::Crossing { pattern_id, .. } => patterns.insert(pattern_id.clone()),
            Subject::Transition { model_id, .. } => models.insert(model_id.clone()),
            // Others send it over REST.
            Subject::External { .. } => continue,
        };
    }
    let mut rules = Vec::new();
    for (kind, subjects) in [("pattern", patterns), ("regime", models)] {
        if !subjects.is_empty() {
            let subjects: Vec<_> = subjects.into_iter().collect();
            rules.extend(store::matching_rules(connection, kind, &subjects).await?);
        }
    }
    Ok(rules)
}

/// Which fingerprints that events end have open alerts.
async fn open_of(
    connection: &mut PgConnection,
    said: &[(&SourcedEvent, Vec<Statement>)],
) -> Result<HashSet<String>, sqlx::Error> {
    let statements = said.iter().flat_map(|(_, statements)| statements);
    let ended = statements.filter_map(|statement| match statement {
        Statement::End { fingerprint, .. } => Some(fingerprint.clone()),
        _ => None,
    });
    let ended: Vec<_> = ended.collect();
    let open = store::open_fingerprints(connection, &ended).await?;
    Ok(open.into_iter().collect())
}

/// Identities of the logs of the sources: the checkpoint of this transaction has them.
async fn logs_of(
    connection: &mut PgConnection,
    events: &[&SourcedEvent],
) -> Result<HashMap<String, Uuid>, sqlx::Error> {
    let sources: BTreeSet<_> = events
        .iter()
        .map(|event| event.source.to_string())
        .collect();
    let sources: Vec<_> = sources.into_iter().collect();
    store::log_ids(connection, SERVICE, &sources).await
}

impl Handler for Intake {
    async fn handle(
        &mut self,
        connection: &mut PgConnection,
        events: &[SourcedEvent],
    ) -> Result<(), HandlerError> {
        self.done = Done::default();
        self.appended = None;
        let said: Vec<_> = events
            .iter()
            .filter_map(|event| {
                let statements = statement::read(event.event.payload.as_ref()?);
                (!statements.is_empty()).then_some((event, statements))
            })
            .collect();
        let mut collected = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let read = series::read(event);
            let read = read.map_err(|reason| HandlerError::permanent(index, reason))?;
            collected.extend(read.map(|read| (event, read)));
        }
        let mut emissions = Emissions::default();
        if !said.is_empty() {
            self.take_in(connection, said, &mut emissions).await?;
        }
        if !collected.is_empty() {
            // What is stored was checked when it was read: no event is to blame.
            let observed = self.observe(connection, &collected, &mut emissions).await;
            observed.map_err(HandlerError::transient)?;
        }
        if emissions.is_empty() {
            return Ok(());
        }
        let drafts = emissions
            .drafts(&self.context, &self.log.acceptance())
            .map_err(HandlerError::transient)?;
        // What is emitted keeps the contract: what the log refuses is no fault of the events at hand.
        let appended = self.log.append_in(connection, drafts).await;
        self.appended = Some(appended.map_err(HandlerError::transient)?);
        Ok(())
    }

    fn unprocessable(&self, events: &[SourcedEvent]) -> Vec<(usize, String)> {
        let refused = events.iter().enumerate();
        let refused =
            refused.filter_map(|(index, event)| Some((index, series::read(event).err()?)));
        refused.collect()
    }

    async fn reset(&mut self, connection: &mut PgConnection) -> Result<(), BoxError> {
        self.appended = None;
        let shared = Arc::clone(&self.memory);
        let mut memory = shared.lock().await;
        let head = store::lock_series_head(connection).await?;
        memory.agree(connection, head, self.context.now()).await?;
        Ok(())
    }

    fn committed(&mut self) {
        if let Some(appended) = self.appended.take() {
            appended.committed();
        }
        let done = std::mem::take(&mut self.done);
        if done.pending > 0 {
            self.wake.notify_one();
        }
        telemetry::count(&done);
    }
}
