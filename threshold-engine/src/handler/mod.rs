//! What the engine does with the events of its sources.

mod events;
mod slices;

use std::{collections::BTreeSet, sync::Arc};

use atlas_events::{Acceptance, DefinitionChange, Draft, Event, Timestamp, event::Payload};
use chrono::{DateTime, Utc};
use consumer::{BoxError, Handler, HandlerError, SourcedEvent};
use event_log::{EventLog, Uncommitted};
use metrics::{counter, histogram};
use sqlx::PgConnection;
use trace_context::{TraceContext, count as count_of};
use tracing::{Instrument, error};

use crate::{
    Emission, Engine, Failed,
    definition::Kind,
    lifecycle::{Origin, Turned},
    received::{read_event, read_points},
    service::{AgreeError, Edits, Memory, SharedMemory},
    store::{self, Change, Head},
};
use evaluation::series::Point;

use events::{caused_by, definition_of, direction_of, event_of, forget_revised_before, refused};
use slices::{Evaluated, Evaluation};

/// The name under which the engine publishes, and under which its checkpoints are found.
pub const SERVICE: &str = "ThresholdEngine";

/// From so many points on it pays to evaluate them while the database stores them, although the head
/// is locked by a round trip of its own before.
const TOGETHER_POINTS_MIN: usize = 64;
const HEAD_MOVED: &str = "the sequence of points has changed meanwhile";

/// Takes the points of events into the sequence, and emits in the engine's own log what they bring
/// about: all in the transaction that moves the checkpoint.
#[derive(Debug)]
pub(crate) struct EngineHandler {
    memory: SharedMemory,
    log: EventLog,
    done: Done,
}

/// What a batch brought about, to be counted once it is committed.
#[derive(Debug, Default)]
struct Done {
    points: usize,
    evaluations: u64,
    too_old: u64,
    /// Of each emission: what it emits, and how long ago its cause was stored, in seconds.
    emitted: Vec<(&'static str, Option<f64>)>,
    appended: Option<Uncommitted>,
}

impl EngineHandler {
    pub(crate) fn new(memory: SharedMemory, log: EventLog) -> Self {
        let done = Done::default();
        Self { memory, log, done }
    }

    /// Stores points, evaluates them, and returns what they bring about.
    async fn take_in(
        &mut self,
        connection: &mut PgConnection,
        points: &[Point],
    ) -> Result<Brought, HandlerError> {
        self.done.points = points.len();
        if points.len() < TOGETHER_POINTS_MIN
            && let Some(brought) = self.take_in_few(connection, points).await?
        {
            return Ok(brought);
        }
        let head = store::lock_head(connection).await.map_err(own)?;
        let shared = Arc::clone(&self.memory);
        let mut memory = shared.lock().await;
        memory.agree(connection, head).await.map_err(not_agreed)?;
        memory.changing();
        // The database stores the points while they are evaluated.
        let mut evaluation = Evaluation::new(points);
        let storing = store::append_points(connection, head, points);
        let evaluating = async { evaluation.advance(&mut memory.engine) };
        let (stored, _) = tokio::join!(storing, evaluating);
        let stored = stored.map_err(own)?;
        let stored = stored.ok_or_else(|| HandlerError::transient(HEAD_MOVED))?;
        let brought = evaluation.finish(&mut memory.engine, connection).await;
        let brought = brought.map_err(own)?;
        self.end(connection, &mut memory, (head, stored), brought)
            .await
    }

    /// The same in one round trip, where the database is as the memory has it; `None` where it is
    /// not, and then nothing is done.
    async fn take_in_few(
        &mut self,
        connection: &mut PgConnection,
        points: &[Point],
    ) -> Result<Option<Brought>, HandlerError> {
        // The lock of the memory is not held while the statement may wait for that of the head.
        let Some(head) = self.memory.lock().await.head() else {
            return Ok(None);
        };
        let stored = store::append_points(connection, head, points).await;
        let Some(stored) = stored.map_err(own)? else {
            return Ok(None);
        };
        let shared = Arc::clone(&self.memory);
        let mut memory = shared.lock().await;
        if memory.head() != Some(head) {
            // Somebody has begun to change it and was undone.
            return Err(HandlerError::transient(HEAD_MOVED));
        }
        memory.changing();
        let evaluation = Evaluation::new(points);
        let evaluated = evaluation.finish(&mut memory.engine, connection).await;
        let evaluated = evaluated.map_err(own)?;
        let brought = self.end(connection, &mut memory, (head, stored), evaluated);
        Ok(Some(brought.await?))
    }

    /// Records what failed, and has the memory be that of the new head.
    async fn end(
        &mut self,
        connection: &mut PgConnection,
        memory: &mut Memory,
        (head, stored): (Head, Head),
        evaluated: Evaluated,
    ) -> Result<Brought, HandlerError> {
        self.done.evaluations = evaluated.evaluations;
        let mut failures = Vec::with_capacity(evaluated.failed.len());
        for at in &evaluated.failed {
            let points = i64::try_from(at.points).unwrap_or(i64::MAX);
            let after_sequence = head.last_sequence.saturating_add(points);
            let events = self.suspend(connection, memory, &at.failed, after_sequence);
            failures.push((at.emissions, events.await.map_err(own)?));
        }
        memory.changed(stored);
        let acceptance = self.log.acceptance();
        let stated = self.stated(&memory.engine, &evaluated.emissions, &acceptance, stored);
        failures.push((evaluated.emissions.len(), stated));
        Ok(Brought {
            emissions: evaluated.emissions,
            definitions: failures,
            acceptance,
            after_sequence: stored.last_sequence,
        })
    }

    /// What is emitted about definitions in place of emissions that the log is too young for.
    fn stated(
        &self,
        engine: &Engine,
        emissions: &[Emission],
        acceptance: &Acceptance,
        stored: Head,
    ) -> Vec<Event> {
        let too_old = emissions
            .iter()
            .filter(|emission| emission.cause().occurred_at < acceptance.earliest);
        let definitions: BTreeSet<_> = too_old.map(definition_of).collect();
        let log_id = self.log.log_id().to_string();
        let event = |key: (Kind, &str)| {
            let turned = Turned::stated(engine, key.0, key.1)?;
            let origin = Origin::of_state(&log_id, key, stored.last_sequence, acceptance.now);
            Some(origin.turned(&turned))
        };
        definitions.into_iter().filter_map(event).collect()
    }

    /// Records that a definition failed; gives the events that report it.
    async fn suspend(
        &self,
        connection: &mut PgConnection,
        memory: &mut Memory,
        failed: &Failed,
        after_sequence: i64,
    ) -> Result<Vec<Event>, sqlx::Error> {
        let reason = failed.reason.as_str();
        error!(kind = %failed.kind, id = failed.id, reason, "a definition is suspended");
        store::insert_suspension(connection, failed).await?;
        let change = Change {
            kind: failed.kind,
            id: failed.id.clone(),
            put: None,
            after_sequence,
        };
        let action = DefinitionChange::Suspended;
        let recorded = store::insert_change(connection, &change, action, reason).await?;
        memory.note_change();
        let earliest = self.log.acceptance().earliest;
        let cause = failed.cause.as_ref();
        let origin = match cause.filter(|cause| cause.occurred_at >= earliest) {
            Some(cause) => Origin::of_failure(failed, cause),
            None => {
                let log_id = self.log.log_id().to_string();
                Origin::of_change(&log_id, recorded.change, recorded.changed_at)
            }
        };
        let shifts = failed.shifts.iter().map(|shift| origin.shifted(shift));
        let turned = origin.turned(&Turned::from(failed));
        Ok(std::iter::once(turned).chain(shifts).collect())
    }

    fn drafts(&mut self, brought: Brought, events: &[SourcedEvent]) -> Drafted {
        let log_acceptance = brought.acceptance;
        let now = log_acceptance.now;
        let mut drafted = Drafted::default();
        let mut definitions = brought.definitions.into_iter().peekable();
        // That of this processing, which links to the causes.
        let context = TraceContext::current().map(|context| context.to_string());
        for (place, emission) in brought.emissions.iter().enumerate() {
            while let Some((_, emitted)) = definitions.next_if(|(behind, _)| *behind <= place) {
                self.add_definitions(emitted, &mut drafted);
            }
            let cause = caused_by(emission.cause(), events);
            let occurred_at = emission.cause().occurred_at;
            if occurred_at < log_acceptance.earliest {
                self.done.too_old += 1;
                continue;
            }
            let age = |at: DateTime<Utc>| (now - at).as_seconds_f64().max(0.0);
            let emitted = (
                direction_of(emission),
                cause.and_then(SourcedEvent::recorded_at).map(age),
            );
            // What its source accepted is not refused for the clock of this machine.
            let acceptance = Acceptance::new(now.max(occurred_at), log_acceptance.earliest);
            let mut event = event_of(emission, cause, context.as_deref());
            forget_revised_before(log_acceptance.earliest, &mut event);
            match Draft::new(event, &acceptance) {
                Ok(draft) => {
                    self.done.emitted.push(emitted);
                    drafted.drafts.push(draft);
                }
                Err(violation) => drafted.refuse(refused(emission, &violation)),
            }
        }
        for (_, emitted) in definitions {
            self.add_definitions(emitted, &mut drafted);
        }
        drafted
    }

    /// Adds what is emitted of definitions, which keeps the rules of the contract by its making.
    fn add_definitions(&mut self, events: Vec<Event>, drafted: &mut Drafted) {
        let log_acceptance = self.log.acceptance();
        for event in events {
            let at = event.occurred_at.and_then(Timestamp::to_utc);
            let now = log_acceptance.now;
            let now = at.map_or(now, |at| now.max(at));
            let acceptance = Acceptance::new(now, log_acceptance.earliest);
            let direction = match &event.payload {
                Some(Payload::RegimeTransition(_)) => "transition",
                _ => "definition",
            };
            match Draft::new(event, &acceptance) {
                Ok(draft) => {
                    self.done.emitted.push((direction, None));
                    drafted.drafts.push(draft);
                }
                Err(violation) => {
                    error!(%violation, "the lifecycle event of a definition cannot be emitted");
                }
            }
        }
    }

    /// Takes points in and emits what they bring about. `events`: those that brought them; none where time has passed.
    pub(crate) async fn process(
        &mut self,
        connection: &mut PgConnection,
        points: &[Point],
        events: &[SourcedEvent],
    ) -> Result<(), HandlerError> {
        let brought = self.take_in(connection, points).await?;
        let after_sequence = brought.after_sequence;
        let mut drafted = self.drafts(brought, events);
        let refused = std::mem::take(&mut drafted.refused);
        if !refused.is_empty() {
            self.suspend_refused(connection, refused, after_sequence, &mut drafted)
                .await?;
        }
        let drafts = drafted.drafts;
        if !drafts.is_empty() {
            let emitting = trace_context::child!(
                "emit",
                otel.kind = "producer",
                messaging.system = "atlas",
                messaging.operation.name = "emit",
                messaging.operation.type = "create",
                messaging.destination.name = %self.log.log_id(),
                messaging.batch.message_count = count_of(drafts.len()),
            );
            let appending = self.log.append_in(connection, drafts);
            // Drafts keep the contract: what the log refuses is no fault of the events at hand.
            let appended = appending.instrument(emitting).await;
            self.done.appended = Some(appended.map_err(HandlerError::transient)?);
        }
        Ok(())
    }

    /// Suspends definitions whose emissions break the contract, as no definition can that was checked when it was
    /// read.
    async fn suspend_refused(
        &mut self,
        connection: &mut PgConnection,
        refused: Vec<Failed>,
        after_sequence: i64,
        drafted: &mut Drafted,
    ) -> Result<(), HandlerError> {
        let shared = Arc::clone(&self.memory);
        let mut memory = shared.lock().await;
        let Some(head) = memory.head() else {
            return Err(HandlerError::transient(HEAD_MOVED));
        };
        memory.changing();
        let log_id = self.log.log_id().to_string();
        let mut edits = Edits::begin(connection, &mut memory, log_id, after_sequence);
        edits.suspend_all(refused).await.map_err(own)?;
        let events = edits.events();
        memory.changed(head);
        self.add_definitions(events, drafted);
        Ok(())
    }
}

/// What a batch brings about.
struct Brought {
    emissions: Vec<Emission>,
    /// What is emitted about definitions, and behind how many emissions.
    definitions: Vec<(usize, Vec<Event>)>,
    /// What the log accepted when it was evaluated.
    acceptance: Acceptance,
    /// Number of the last point.
    after_sequence: i64,
}

/// What is to be emitted.
#[derive(Default)]
struct Drafted {
    drafts: Vec<Draft>,
    /// Definitions whose emissions break the contract, each once.
    refused: Vec<Failed>,
}

impl Drafted {
    fn refuse(&mut self, failed: Failed) {
        let known = |known: &Failed| known.kind == failed.kind && known.id == failed.id;
        if !self.refused.iter().any(known) {
            self.refused.push(failed);
        }
    }
}

/// A statement of the engine's own failed. Its points were checked when they were read, so that no event is to blame.
fn own(error: sqlx::Error) -> HandlerError {
    HandlerError::transient(error)
}

impl Handler for EngineHandler {
    async fn handle(
        &mut self,
        connection: &mut PgConnection,
        events: &[SourcedEvent],
    ) -> Result<(), HandlerError> {
        self.done = Done::default();
        let points = read_points(connection, events).await?;
        if points.is_empty() {
            return Ok(());
        }
        self.process(connection, &points, events).await
    }

    fn unprocessable(&self, events: &[SourcedEvent]) -> Vec<(usize, String)> {
        let mut points = Vec::new();
        let refused = events.iter().enumerate().filter_map(|(index, event)| {
            points.clear();
            let refused = read_event(event, &mut points).err()?;
            Some((index, refused))
        });
        refused.collect()
    }

    async fn reset(&mut self, connection: &mut PgConnection) -> Result<(), BoxError> {
        let head = store::lock_head(connection).await?;
        self.memory.lock().await.agree(connection, head).await?;
        Ok(())
    }

    fn committed(&mut self) {
        let done = std::mem::take(&mut self.done);
        if let Some(appended) = done.appended {
            appended.committed();
        }
        counter!("thresholdengine_points_total").increment(done.points as u64);
        counter!("thresholdengine_evaluations_total").increment(done.evaluations);
        counter!("thresholdengine_emissions_too_old_total").increment(done.too_old);
        for (direction, age_seconds) in done.emitted {
            counter!("thresholdengine_emissions_total", "direction" => direction).increment(1);
            if let Some(seconds) = age_seconds {
                histogram!("thresholdengine_publish_to_crossing_seconds").record(seconds);
            }
        }
    }
}

/// It may agree at the next attempt.
fn not_agreed(error: AgreeError) -> HandlerError {
    match error {
        AgreeError::Database(error) => own(error),
        AgreeError::Behind => HandlerError::transient(error),
    }
}
