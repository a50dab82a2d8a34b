//! What the engine does with the events of its sources.

use std::sync::Arc;

use atlas_events::{
    Acceptance, Draft, Event, Timestamp, event::Payload, parse_decimal, parse_event_id,
};
use chrono::{DateTime, SubsecRound, Utc};
use consumer::{BoxError, Handler, HandlerError, SourcedEvent};
use event_log::{EventLog, Uncommitted};
use metrics::{counter, histogram};
use sqlx::PgConnection;
use trace_context::{TraceContext, count as count_of};
use tracing::Instrument;

use crate::{
    Emission,
    evaluation::Evaluation,
    machine::Direction,
    series::{Cause, Point},
    service::{AgreeError, SharedMemory},
    store,
};

/// The name under which the engine publishes, and under which its checkpoints are found.
pub const SERVICE: &str = "ThresholdEngine";

/// From so many points on it pays to evaluate them while the database stores them, although the head
/// is locked by a round trip of its own before.
const TOGETHER_POINTS_MIN: usize = 64;
const HEAD_MOVED: &str = "the sequence of points has changed meanwhile";

/// Takes the points of events into the sequence, and tells in the engine's own log what they bring
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
    /// Of each emission: what it tells, and how long ago its cause was stored, in seconds.
    told: Vec<(&'static str, Option<f64>)>,
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
    ) -> Result<Vec<Emission>, HandlerError> {
        self.done.points = points.len();
        if points.len() < TOGETHER_POINTS_MIN
            && let Some(emissions) = self.take_in_few(connection, points).await?
        {
            return Ok(emissions);
        }
        let head = store::lock_head(connection).await?;
        let mut memory = self.memory.lock().await;
        memory.agree(connection, head).await.map_err(not_agreed)?;
        memory.changing();
        // The database stores the points while they are evaluated.
        let mut evaluation = Evaluation::new(points);
        let storing = store::append_points(connection, head, points);
        let evaluating = async { evaluation.advance(&mut memory.engine) };
        let (stored, _) = tokio::join!(storing, evaluating);
        let stored = stored?.ok_or_else(|| HandlerError::transient(HEAD_MOVED))?;
        let evaluated = evaluation.finish(&mut memory.engine, connection).await?;
        memory.changed(stored);
        self.done.evaluations = evaluated.evaluations;
        Ok(evaluated.emissions)
    }

    /// The same in one round trip, where the database is as the memory has it; `None` where it is
    /// not, and then nothing is done.
    async fn take_in_few(
        &mut self,
        connection: &mut PgConnection,
        points: &[Point],
    ) -> Result<Option<Vec<Emission>>, HandlerError> {
        // The lock of the memory is not held while the statement may wait for that of the head.
        let Some(head) = self.memory.lock().await.head() else {
            return Ok(None);
        };
        let Some(stored) = store::append_points(connection, head, points).await? else {
            return Ok(None);
        };
        let mut memory = self.memory.lock().await;
        if memory.head() != Some(head) {
            // Somebody has begun to change it and was undone.
            return Err(HandlerError::transient(HEAD_MOVED));
        }
        memory.changing();
        let evaluation = Evaluation::new(points);
        let evaluated = evaluation.finish(&mut memory.engine, connection).await?;
        memory.changed(stored);
        self.done.evaluations = evaluated.evaluations;
        Ok(Some(evaluated.emissions))
    }

    fn drafts(
        &mut self,
        emissions: &[Emission],
        events: &[SourcedEvent],
    ) -> Result<Vec<Draft>, HandlerError> {
        let log_acceptance = self.log.acceptance();
        let now = log_acceptance.now;
        let mut drafts = Vec::with_capacity(emissions.len());
        // That of this processing, which links to the causes.
        let context = TraceContext::current().map(|context| context.to_string());
        for emission in emissions {
            let index = events.partition_point(|e| e.position() < emission.cause().position);
            let cause = &events[index];
            let occurred_at = emission.cause().occurred_at;
            if occurred_at < log_acceptance.earliest {
                self.done.too_old += 1;
                continue;
            }
            let age = |at: DateTime<Utc>| (now - at).as_seconds_f64().max(0.0);
            let told = (direction_of(emission), cause.recorded_at().map(age));
            self.done.told.push(told);
            // What its source accepted is not refused for the clock of this machine.
            let acceptance = Acceptance::new(now.max(occurred_at), log_acceptance.earliest);
            let draft = Draft::new(event_of(emission, cause, context.as_deref()), &acceptance);
            drafts.push(draft.map_err(|violation| HandlerError::Permanent {
                event: Some(index),
                handler: Some(told_by(emission).to_owned()),
                reason: format!("what it brings about cannot be told: {violation}"),
            })?);
        }
        Ok(drafts)
    }
}

impl Handler for EngineHandler {
    async fn handle(
        &mut self,
        connection: &mut PgConnection,
        events: &[SourcedEvent],
    ) -> Result<(), HandlerError> {
        self.done = Done::default();
        let points = read_points(events)?;
        if points.is_empty() {
            return Ok(());
        }
        let emissions = self.take_in(connection, &points).await?;
        let drafts = self.drafts(&emissions, events)?;
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
            self.done.appended = Some(appending.instrument(emitting).await?);
        }
        Ok(())
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
        for (direction, age_seconds) in done.told {
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
        AgreeError::Database(error) => error.into(),
        AgreeError::Behind => HandlerError::transient(error),
    }
}

/// The points of all events that bring any, in order.
fn read_points(events: &[SourcedEvent]) -> Result<Vec<Point>, HandlerError> {
    let mut points = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let refused = |reason| HandlerError::permanent(index, reason);
        read_event(event, &mut points).map_err(refused)?;
    }
    Ok(points)
}

/// The points of an event in the order of its steps: as they became known. None if it is of another
/// type. `Err`: why it cannot be evaluated.
pub(crate) fn read_event(event: &SourcedEvent, points: &mut Vec<Point>) -> Result<(), String> {
    let Some(Payload::SeriesCollected(collected)) = &event.event.payload else {
        return Ok(());
    };
    let event_id = parse_event_id(&event.event.event_id)
        .map_err(|_| format!("event_id \"{}\" is no ULID", event.event.event_id))?;
    if collected.series_id.is_empty() {
        return Err("series_id is missing".to_owned());
    }
    let series: Arc<str> = collected.series_id.as_str().into();
    let first = points.len();
    for (index, given) in (0..).zip(&collected.data_points) {
        let at = |problem: String| format!("data_points[{index}].{problem}");
        let date = given.date.parse();
        let date = date.map_err(|_| at(format!("date \"{}\" is no date", given.date)))?;
        // Without the zeros at the end, as the database may have others.
        let value = match &given.value {
            Some(text) => Some(
                parse_decimal(text)
                    .ok_or_else(|| at(format!("value \"{text}\" is no decimal")))?
                    .normalize(),
            ),
            None => None,
        };
        let known_from = match given.known_from {
            Some(time) => time
                .to_utc()
                .ok_or_else(|| at("known_from is not a time in the years 1 to 9999".to_owned()))?
                .trunc_subsecs(6),
            None => event.occurred_at(),
        };
        points.push(Point {
            cause: Cause {
                source: Arc::clone(&event.source),
                position: event.position(),
                index,
                event_id,
                occurred_at: event.occurred_at(),
            },
            series: Arc::clone(&series),
            date,
            known_from,
            value,
        });
    }
    points[first..].sort_by_key(|point| point.known_from);
    Ok(())
}

/// Where no span of this engine is recorded, the context of the cause is handed on.
fn event_of(emission: &Emission, cause: &SourcedEvent, context: Option<&str>) -> Event {
    let payload = match emission {
        Emission::Crossing(crossing) => Payload::ThresholdCrossed(crossing.as_ref().into()),
        Emission::Transition(transition) => Payload::RegimeTransition(transition.as_ref().into()),
    };
    Event {
        event_id: emission.id().to_string(),
        occurred_at: Some(Timestamp::from(emission.cause().occurred_at)),
        source_service: SERVICE.to_owned(),
        traceparent: context.unwrap_or(&cause.event.traceparent).to_owned(),
        payload: Some(payload),
        ..Event::default()
    }
}

fn told_by(emission: &Emission) -> &str {
    match emission {
        Emission::Crossing(crossing) => &crossing.pattern.id,
        Emission::Transition(transition) => &transition.model.id,
    }
}

fn direction_of(emission: &Emission) -> &'static str {
    match emission {
        Emission::Crossing(crossing) => match crossing.direction {
            Direction::Entered => "entered",
            Direction::Cleared => "cleared",
            Direction::Revised => "revised",
        },
        Emission::Transition(_) => "transition",
    }
}
