//! Starts of the threshold engine over many points: the first one, from a snapshot, and by a replay of
//! everything; and how long after its cause a crossing is emitted while a pattern over them is added, and
//! while a second engine starts beside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use atlas_events::{GetLogInfoRequest, event_log_client::EventLogClient};
use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep};

use super::{
    PATIENCE, RATE, SAMPLE_INTERVAL,
    history::{LIVE, Observation},
    program::Program,
    publish, receive,
};
use crate::{
    load::clock::Latencies,
    reader::Reader,
    report::Target,
    stage::{Stage, connection::connect, process::resident_mib},
    workloads::Bench,
};

const NAME: &str = "engine start";
/// Points that one statement makes.
const POINTS_AT_ONCE: i64 = 500_000;
/// The pattern that is added reads so many series.
const ADDED_SERIES: usize = 20;
/// Dates of a series before they come again, as later vintages.
const DATES_MAX: i64 = 40_000;

/// Conditions over `A`, in turn.
const CONDITIONS: [&str; 5] = [
    "A > 105",
    "A.mean(\"90d\") > A.mean(\"360d\")",
    "(A.change(1) < 0).sustained(5)",
    "A.highest(\"52w\") - A > 10",
    "A.yoy() < -5",
];

pub(in crate::workloads) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for _ in 0..bench.sizes.runs {
        let stage = Stage::open(bench.database_url).await?;
        let mut start = Start {
            folder: Folder::create()?,
            patterns: bench.sizes.engine_start_patterns,
            stage,
            published: 0,
        };
        start.fill(bench.sizes.engine_start_points).await?;
        start.starts(bench).await?;
        start.live(bench).await?;
        let published = start.published;
        start.stage.close(bench.database_url, published).await?;
    }
    Ok(())
}

struct Start {
    stage: Stage,
    folder: Folder,
    patterns: usize,
    published: u64,
}

impl Start {
    async fn program(&self) -> Result<Program> {
        let (database, source) = (&self.stage.database_url, &self.stage.server.address);
        Program::start(database, source, &self.folder.0).await
    }

    async fn database(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.stage.database_url).await?)
    }

    /// Makes the tables, by an engine that knows no pattern, and fills them as one would have that
    /// consumed so many points.
    async fn fill(&self, points: i64) -> Result<()> {
        self.program().await?.kill().await?;
        let mut database = self.database().await?;
        let mut first = 1;
        while first <= points {
            let last = points.min(first + POINTS_AT_ONCE - 1);
            let series = self.patterns;
            let statement = format!(
                "begin;
                 insert into threshold_engine.points (sequence, source, position, point_index,
                     event_id, occurred_at, series_id, date, known_from, value)
                 select n, 'history', n, 0, lpad(n::text, 26, '0'),
                        '2020-01-01'::timestamptz + n * interval '1 ms',
                        'START' || n % {series},
                        '1900-01-01'::date + (n / {series} % {DATES_MAX})::int,
                        '2020-01-01'::timestamptz + n * interval '1 ms',
                        (100 + 10 * sin(n * 0.00071) + n * 7919 % 800 / 100.0)::numeric(8, 2)
                 from generate_series({first}::bigint, {last}) as n;
                 update threshold_engine.engine_head
                 set last_sequence = {last}, changed_by = pg_current_xact_id()::text::bigint;
                 commit"
            );
            database.execute(AssertSqlSafe(statement)).await?;
            first = last + 1;
        }
        database
            .execute("vacuum analyze threshold_engine.points")
            .await?;
        Ok(database.close().await?)
    }

    /// From the start of the process until it is ready.
    async fn starts(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        for number in 0..self.patterns {
            let when = CONDITIONS[number % CONDITIONS.len()];
            let inputs = [("A".to_owned(), format!("START{number}"))];
            self.folder.write(&format!("p{number}"), when, &inputs)?;
        }
        let inputs = [("A".to_owned(), LIVE.to_owned())];
        self.folder.write("live", "A > 100", &inputs)?;

        let program = self.program().await?;
        let report = &mut bench.report;
        let first = program.ready_after.as_secs_f64();
        report.add(
            NAME,
            "first start, with all patterns new, s",
            Target::None,
            first,
        );
        let (stored_after, bytes) = self.until_snapshot().await?;
        report.add(
            NAME,
            "until a snapshot is stored, s",
            Target::None,
            stored_after,
        );
        report.add(
            NAME,
            "parts of snapshots, MiB",
            Target::None,
            bytes / 1_048_576.0,
        );
        program.kill().await?;

        let program = self.program().await?;
        let seconds = program.ready_after.as_secs_f64();
        report.add(
            NAME,
            "start from a snapshot, s",
            Target::AtMost(10.0),
            seconds,
        );
        let memory = resident_mib(program.pid);
        report.add(NAME, "memory after it, MiB", Target::None, memory);
        program.kill().await?;

        let mut database = self.database().await?;
        database
            .execute("truncate threshold_engine.snapshots, threshold_engine.snapshot_parts")
            .await?;
        database.close().await?;
        let program = self.program().await?;
        let seconds = program.ready_after.as_secs_f64();
        report.add(NAME, "start by a replay, s", Target::None, seconds);
        program.kill().await
    }

    /// Seconds until there is a snapshot, and how many bytes its parts have.
    async fn until_snapshot(&self) -> Result<(f64, f64)> {
        let mut database = self.database().await?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let bytes: Option<i64> = sqlx::query_scalar(
                "select sum(octet_length(content))::bigint from threshold_engine.snapshot_parts
                 where exists (select from threshold_engine.snapshots)",
            )
            .fetch_one(&mut database)
            .await?;
            if let Some(bytes) = bytes {
                database.close().await?;
                return Ok((started.elapsed().as_secs_f64(), bytes as f64));
            }
            sleep(SAMPLE_INTERVAL).await;
        }
        bail!("there is no snapshot after {PATIENCE:?}")
    }

    /// From when an observation is due to when a subscriber has its crossing: undisturbed, while a
    /// pattern is added, and while a second engine starts.
    async fn live(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        let program = self.program().await?;
        let seconds = bench.sizes.latency_seconds;
        // What was not measured yet is slow at first.
        self.crossings(&program, 1, async || Ok(())).await?;
        let alone = self.crossings(&program, seconds, async || Ok(())).await?;
        report(bench, "alone", &alone);

        let inputs: Vec<_> = (0..ADDED_SERIES.min(self.patterns))
            .map(|number| (format!("A{number}"), format!("START{number}")))
            .collect();
        let terms: Vec<_> = inputs
            .iter()
            .map(|(name, _)| format!("{name}.mean(\"1y\")"))
            .collect();
        let when = format!("{} > 2000", terms.join(" + "));
        let folder = self.folder.0.clone();
        let database_url = self.stage.database_url.clone();
        let mut added_after = 0.0;
        let adding = async || {
            let started = Instant::now();
            Folder::write_in(&folder, "added", &when, &inputs)?;
            until_defined(&database_url, "added").await?;
            added_after = started.elapsed().as_secs_f64();
            Ok(())
        };
        let beside = self.crossings(&program, seconds, adding).await?;
        report(bench, "while a pattern is added", &beside);
        bench.report.add(
            NAME,
            "until the added pattern runs, s",
            Target::AtMost(30.0),
            added_after,
        );

        let (database, source) = (
            self.stage.database_url.clone(),
            self.stage.server.address.clone(),
        );
        let folder = self.folder.0.clone();
        let mut second = None;
        let starting = async || {
            second = Some(Program::start(&database, &source, &folder).await?);
            Ok(())
        };
        let beside = self.crossings(&program, seconds, starting).await?;
        report(bench, "while a second engine starts", &beside);
        let second = second.context("it has started")?;
        let ready = second.ready_after.as_secs_f64();
        bench
            .report
            .add(NAME, "start beside another engine, s", Target::None, ready);
        second.kill().await?;
        program.kill().await
    }

    /// Each observation of the live series is a crossing.
    async fn crossings(
        &mut self,
        program: &Program,
        seconds: u64,
        disturb: impl AsyncFnOnce() -> Result<()>,
    ) -> Result<Latencies> {
        let began = NaiveDate::from_ymd_opt(1_000, 1, 1).context("a date")?;
        let numbers = self.published + 1..=self.published + RATE * seconds;
        let observations: Vec<_> = numbers
            .map(|number| {
                let hundredths = if number % 2 == 1 { 11_000 } else { 9_000 };
                Observation::live(number, began + Days::new(number), hundredths)
            })
            .collect();
        self.published += observations.len() as u64;
        let channel = connect(&program.grpc).await?;
        let log = EventLogClient::new(channel.clone())
            .get_log_info(GetLogInfoRequest {})
            .await?;
        let reader = Reader::live(channel, log.into_inner().last_position).await?;
        let receiving = receive(reader, observations.len());
        let publisher = connect(&self.stage.server.address).await?;
        let publishing = tokio::spawn(publish(publisher, observations));
        disturb().await?;
        publishing.await??;
        let mut latencies = Latencies::new()?;
        for (_, after_us) in receiving.await?? {
            latencies.record(after_us)?;
        }
        Ok(latencies)
    }
}

/// Waits until a definition is running.
async fn until_defined(database_url: &str, id: &str) -> Result<()> {
    let mut database = PgConnection::connect(database_url).await?;
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let found: bool = sqlx::query_scalar(
            "select exists (select from threshold_engine.definition_changes where id = $1)",
        )
        .bind(id)
        .fetch_one(&mut database)
        .await?;
        if found {
            return Ok(database.close().await?);
        }
        sleep(SAMPLE_INTERVAL).await;
    }
    bail!("{id} is not running after {PATIENCE:?}")
}

fn report(bench: &mut Bench<'_>, when: &str, latencies: &Latencies) {
    for (figure, value) in [
        ("p50", latencies.quantile_ms(0.5)),
        ("p99", latencies.quantile_ms(0.99)),
        ("max", latencies.max_ms()),
    ] {
        let figure = format!("publish to crossing {when}, {figure} ms");
        bench.report.add(NAME, &figure, Target::None, value);
    }
}

/// A folder of definitions, gone when this is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("atlas-bench-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn write(&self, id: &str, when: &str, inputs: &[(String, String)]) -> Result<()> {
        Self::write_in(&self.0, id, when, inputs)
    }

    /// A pattern over inputs, by name and series.
    fn write_in(folder: &Path, id: &str, when: &str, inputs: &[(String, String)]) -> Result<()> {
        let mut text = format!(
            "id = \"{id}\"\nname = \"{id}\"\ndescription = \"Measured.\"\nseverity = \"info\"\n\
             when = '{when}'\n"
        );
        for (name, series) in inputs {
            text += &format!(
                "[inputs.{name}]\nseries = \"{series}\"\nunit = \"points\"\nfrequency = \"daily\"\n"
            );
        }
        // As deployments do, so that nobody ever sees half a file.
        let hidden = folder.join(format!(".{id}"));
        std::fs::write(&hidden, text)?;
        Ok(std::fs::rename(hidden, folder.join(format!("{id}.toml")))?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
