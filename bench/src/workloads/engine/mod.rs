//! The threshold engine: how fast it consumes a backlog with its effects, how long after its cause a
//! crossing is emitted, how soon it is ready after a restart, and how far behind it is meanwhile.
//!
//! Fifty patterns are active over sixty years of twenty series, each observation an event of its own.
//! The engine's log is compared with what the same patterns emit in this process: each crossing once,
//! in order.

mod definitions;
mod history;
mod program;
pub(super) mod start;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use atlas_events::{Event, event::Payload};
use chrono::NaiveDate;
use sqlx::{Connection, PgConnection};
use threshold_engine::Engine;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tonic::transport::Channel;
use ulid::Ulid;

use self::{
    definitions::Definitions,
    history::{History, Observation},
    program::Program,
};
use super::Bench;
use crate::{
    load::{
        Pipeline, Publisher,
        clock::{Latencies, due_times, now_us},
    },
    reader::{Reader, Received},
    report::Target,
    stage::{Stage, connection::connect, process::Cpu},
};

const NAME: &str = "engine, 50 patterns";
const RATE: u64 = 1_000;
/// What is published behind it is of the past, too: what is of the future would be kept aside.
const LAST_YEAR: i32 = 2019;
const BATCH: usize = 1_000;
/// How long the engine may take to process a backlog before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(300);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
const LAG_SECONDS: &str = "thresholdengine_checkpoint_lag_seconds";
const LAG_EVENTS: &str = "thresholdengine_checkpoint_lag_events";

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for _ in 0..bench.sizes.runs {
        let stage = Stage::open(bench.database_url).await?;
        let mut measurement = Measurement::prepare(bench, stage).await?;
        let program = measurement.backlog(bench).await?;
        measurement.latency(bench, &program).await?;
        program.kill().await?;
        measurement.cold_start(bench).await?;
        let published = measurement.published;
        let stage = measurement.stage;
        stage.close(bench.database_url, published).await?;
    }
    Ok(())
}

struct Measurement {
    stage: Stage,
    definitions: Definitions,
    history: History,
    /// The same patterns in this process.
    twin: Engine,
    /// Ids of everything that the engine has to emit.
    expected: Vec<Ulid>,
    published: u64,
}

impl Measurement {
    /// Publishes the history.
    async fn prepare(bench: &Bench<'_>, stage: Stage) -> Result<Self> {
        let definitions = Definitions::write()?;
        let first_year = LAST_YEAR + 1 - bench.sizes.engine_years;
        let end = NaiveDate::from_ymd_opt(LAST_YEAR + 1, 1, 1).context("a date")?;
        let twin = Engine::new(definitions.patterns.clone(), []);
        let mut measurement = Self {
            stage,
            definitions,
            history: History::from_year(first_year),
            twin,
            expected: Vec::new(),
            published: 0,
        };
        let count = measurement
            .history
            .clone()
            .take_while(|observation| observation.date < end)
            .count();
        let channel = connect(&measurement.stage.server.address).await?;
        let mut pipeline = Pipeline::open(channel, 1).await?;
        let due_us = now_us();
        while measurement.published < count as u64 {
            let size = BATCH.min(count - measurement.published as usize);
            let batch = measurement.take(size).into_iter();
            let events = batch.map(|observation| measurement.expect(observation, due_us));
            let events = events.collect();
            pipeline.send(events, due_us)?;
            pipeline.acknowledged().await?;
        }
        Ok(measurement)
    }

    fn take(&mut self, count: usize) -> Vec<Observation> {
        self.published += count as u64;
        self.history.by_ref().take(count).collect()
    }

    /// The event of an observation; what it brings about is expected from now on.
    fn expect(&mut self, observation: Observation, due_us: u64) -> Event {
        let mut emitted = Vec::new();
        self.twin.apply(&[observation.point(due_us)], &mut emitted);
        self.expected
            .extend(emitted.iter().map(|emission| emission.id()));
        observation.event(due_us)
    }

    async fn start(&self) -> Result<Program> {
        let (database, source) = (&self.stage.database_url, &self.stage.server.address);
        Program::start(database, source, self.definitions.folder()).await
    }

    /// Consumes the history with its effects.
    async fn backlog(&self, bench: &mut Bench<'_>) -> Result<Program> {
        let program = self.start().await?;
        let started = Instant::now();
        let before = Cpu::now(program.pid);
        self.until_processed().await?;
        let rate = self.published as f64 / started.elapsed().as_secs_f64();
        let cpu = Cpu::now(program.pid).since(before);
        let target = Target::AtLeast(25_000.0);
        let report = &mut bench.report;
        report.add(NAME, "backlog, events a second", target, rate);
        report.add_cost(NAME, cpu, self.published, program.pid);
        self.check_emitted(&program).await?;
        Ok(program)
    }

    /// Waits until the engine has committed the effects of everything published.
    async fn until_processed(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.stage.database_url).await?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if processed(&mut connection).await? == Some(self.published) {
                return Ok(connection.close().await?);
            }
            sleep(Duration::from_millis(5)).await;
        }
        bail!("the engine is not through after {PATIENCE:?}")
    }

    /// So many events begin the engine's log: that each pattern was deployed.
    fn deployed(&self) -> u64 {
        self.definitions.patterns.len() as u64
    }

    /// Checks that the engine's log is what it has to be.
    async fn check_emitted(&self, program: &Program) -> Result<()> {
        let deployed = self.deployed();
        let mut reader = Reader::decoding(connect(&program.grpc).await?, deployed).await?;
        for (expected, position) in self.expected.iter().zip(deployed + 1..) {
            let emitted_id = reader.next().await?.event_id;
            ensure!(
                emitted_id == expected.to_string(),
                "{emitted_id} was emitted at {position}, not {expected}"
            );
        }
        Ok(())
    }

    /// From when an observation is due to when a subscriber has what it brings about.
    async fn latency(&mut self, bench: &mut Bench<'_>, program: &Program) -> Result<()> {
        let warm_up = RATE * bench.sizes.warm_up_seconds;
        let events = warm_up + RATE * bench.sizes.latency_seconds;
        let observations = self.take(events as usize);
        let emitted_before = self.deployed() + self.expected.len() as u64;
        let reader = Reader::live(connect(&program.grpc).await?, emitted_before).await?;
        let before = Cpu::now(program.pid);
        // The ids depend on when an observation is due, the number of crossings does not.
        let mut counted = self.twin.clone();
        let (mut emitted, due_us) = (Vec::new(), now_us());
        for observation in &observations {
            counted.apply(&[observation.point(due_us)], &mut emitted);
        }
        let receiving = receive(reader, emitted.len());
        let publisher = connect(&self.stage.server.address).await?;
        self.until_lag_is_gone(program).await?;
        let publishing = tokio::spawn(publish(publisher, observations.clone()));
        let lag = self.watch_lag(program, &publishing).await?;
        let due = publishing.await??;
        let received = receiving.await??;
        self.until_processed().await?;
        let cpu = Cpu::now(program.pid).since(before);
        for (observation, due_us) in observations.into_iter().zip(&due) {
            self.expect(observation, *due_us);
        }
        let from = due.get(warm_up as usize).copied().unwrap_or_default();
        report_latency(bench, &received, from)?;
        let report = &mut bench.report;
        report.add(
            NAME,
            "lag at 1,000 a second, worst s",
            Target::AtMost(1.0),
            lag.seconds,
        );
        report.add(
            NAME,
            "lag at 1,000 a second, worst events",
            Target::None,
            lag.events,
        );
        let per_event = cpu.server * 1e6 / events as f64;
        report.add(
            NAME,
            "CPU at 1,000 a second, us an event",
            Target::None,
            per_event,
        );
        self.check_emitted(program).await
    }

    /// Waits until the engine's metrics, which are updated once a second, no longer show a
    /// backlog.
    async fn until_lag_is_gone(&self, program: &Program) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if program.metric(LAG_EVENTS).await? == Some(0.0) {
                return Ok(());
            }
            sleep(SAMPLE_INTERVAL).await;
        }
        bail!("the engine reports a lag after {PATIENCE:?}")
    }

    /// The worst lag that the engine's metrics report until all is published.
    async fn watch_lag<T>(&self, program: &Program, publishing: &JoinHandle<T>) -> Result<Lag> {
        let mut worst = Lag::default();
        let mut samples = 0;
        while !publishing.is_finished() {
            sleep(SAMPLE_INTERVAL).await;
            let seconds = program.metric(LAG_SECONDS).await?;
            let events = program.metric(LAG_EVENTS).await?;
            worst.seconds = worst.seconds.max(seconds.context("no lag is reported")?);
            worst.events = worst.events.max(events.context("no lag is reported")?);
            samples += 1;
        }
        ensure!(samples > 1, "the lag was hardly looked at");
        Ok(worst)
    }

    /// From the start of the process until it is ready, with all points in its database.
    async fn cold_start(&self, bench: &mut Bench<'_>) -> Result<()> {
        let program = self.start().await?;
        let seconds = program.ready_after.as_secs_f64();
        let report = &mut bench.report;
        report.add(NAME, "cold start, s", Target::AtMost(3.0), seconds);
        self.check_emitted(&program).await?;
        program.kill().await
    }
}

#[derive(Debug, Default)]
struct Lag {
    seconds: f64,
    events: f64,
}

/// What was received, as the time at which it was due and how many microseconds later it came.
type Arrivals = Vec<(u64, u64)>;

/// Takes so many crossings that the engine emits; what becomes of definitions is passed over.
fn receive(mut reader: Reader<Event>, crossings: usize) -> JoinHandle<Result<Arrivals>> {
    tokio::spawn(async move {
        let mut received = Vec::with_capacity(crossings);
        while received.len() < crossings {
            let event = reader.next().await?;
            if matches!(event.payload, Some(Payload::ThresholdCrossed(_))) {
                let due_us = event.due_us();
                received.push((due_us, now_us().saturating_sub(due_us)));
            }
        }
        Ok(received)
    })
}

/// Publishes observations at the rate, whatever the acknowledgements do; gives when each was due.
async fn publish(channel: Channel, observations: Vec<Observation>) -> Result<Vec<u64>> {
    let events = observations.len();
    let mut pipeline = Pipeline::open(channel, events).await?;
    let mut due = due_times(RATE, events as u64);
    let mut sent = Vec::with_capacity(events);
    let mut acknowledged = 0;
    while acknowledged < events {
        tokio::select! {
            Some(due_us) = due.recv() => {
                let event = observations[sent.len()].event(due_us);
                sent.push(due_us);
                pipeline.send(vec![event], due_us)?;
            }
            answer = pipeline.acknowledged() => {
                answer?;
                acknowledged += 1;
            }
        }
    }
    Ok(sent)
}

fn report_latency(bench: &mut Bench<'_>, received: &Arrivals, from_us: u64) -> Result<()> {
    let mut latencies = Latencies::new()?;
    let mut crossings = 0_u32;
    for (_, after_us) in received.iter().filter(|(due_us, _)| *due_us >= from_us) {
        latencies.record(*after_us)?;
        crossings += 1;
    }
    let report = &mut bench.report;
    for (figure, target, value) in [
        (
            "publish to crossing, p50 ms",
            Target::None,
            latencies.quantile_ms(0.5),
        ),
        (
            "publish to crossing, p99 ms",
            Target::AtMost(10.0),
            latencies.quantile_ms(0.99),
        ),
        (
            "publish to crossing, max ms",
            Target::None,
            latencies.max_ms(),
        ),
        (
            "crossings at 1,000 a second",
            Target::None,
            crossings.into(),
        ),
    ] {
        report.add(NAME, figure, target, value);
    }
    Ok(())
}

/// Where the engine's checkpoint is.
async fn processed(connection: &mut PgConnection) -> Result<Option<u64>> {
    let position: Option<Option<i64>> =
        sqlx::query_scalar("select position from threshold_engine.checkpoint")
            .fetch_optional(connection)
            .await?;
    Ok(position.flatten().map(i64::unsigned_abs))
}
