//! What rules over series cost: `cargo run --release -p alert-service --example series_rules`.
//!
//! For 1,000 and for 100,000 comparisons over 1,000 series, and with an expression for each series: the time of an
//! observation that concerns no rule, observations a second where one in a hundred passes bounds, and the memory of the
//! process.
//!
//! With the URL of a database that is empty as an argument it measures the service on it instead: a start with 100,000
//! rules, which it makes, and observations a second from the collector's log.
#![expect(clippy::print_stdout, reason = "it prints figures")]

use std::time::{Duration, Instant};

use alert_service::{
    Context, Evaluation,
    config::{CommonFlags, Flags, load},
    service::{Listeners, Metrics, Service, Source, keep_metrics},
};
use anyhow::{Error, Result, anyhow};
use atlas_events::{DataPoint, Draft, Event, SeriesCollectedEvent, Timestamp, event::Payload};
use chrono::{DateTime, Days, NaiveDate, Utc};
use event_log::{EventLog, LogConfig};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

const SERIES: usize = 1_000;
const OBSERVATIONS: usize = 500_000;
const RULES: i64 = 100_000;
/// Days of history of each series in the database, the last of them some months ago.
const STORED_DAYS: i64 = 500;
/// Observations that are published, each an event of its own.
const PUBLISHED: usize = 100_000;
const SCHEMA: &str = "alerts";

fn main() -> Result<()> {
    if let Some(url) = std::env::args().nth(1) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        return runtime.block_on(measure_service(&url));
    }
    for (rules, has_expressions) in [(1_000, false), (100_000, false), (100_000, true)] {
        measure(rules, has_expressions)?;
    }
    Ok(())
}

fn measure(rules: usize, has_expressions: bool) -> Result<()> {
    let mut evaluation = Evaluation::default();
    let began = Instant::now();
    for rule in 0..rules {
        let (series, bound) = (rule % SERIES, 100 + rule / SERIES);
        // The last of each series, which is one in a hundred.
        let condition = match has_expressions && rule / SERIES == 99 {
            true => format!(
                r#"{{"kind":"indicator","inputs":{{"S{series}":{{"frequency":"daily"}}}},
                    "when":"S{series}.mean(20) > {bound}"}}"#
            ),
            false => format!(
                r#"{{"kind":"price","series":"S{series}","comparison":"gt","value":{bound}}}"#
            ),
        };
        evaluation
            .add(&format!("rule-{rule}"), &condition)
            .map_err(Error::msg)?;
    }
    println!(
        "{rules} rules: made in {:.2} s",
        began.elapsed().as_secs_f64()
    );
    let ids: Vec<_> = (0..SERIES).map(|series| format!("S{series}")).collect();
    let known_from = DateTime::UNIX_EPOCH;
    let date = |index: usize| {
        let first = NaiveDate::from_ymd_opt(2000, 1, 1);
        let days = Days::new(u64::try_from(index / SERIES)?);
        let date = first.and_then(|first| first.checked_add_days(days));
        date.ok_or_else(|| anyhow!("no such date"))
    };
    for is_quiet in [true, false] {
        let began = Instant::now();
        let mut turned = 0;
        let offset = if is_quiet { 0 } else { OBSERVATIONS };
        for index in 0..OBSERVATIONS {
            // Below all bounds; else one in a hundred is above the lowest, and the next one below it again.
            let is_above = !is_quiet && (index / SERIES) % 100 == 99;
            let value = if is_above { 101 } else { 10 + index % 7 };
            let value = u32::try_from(value)?.into();
            let date = date(offset + index)?;
            turned += evaluation.observe(&ids[index % SERIES], date, known_from, value);
        }
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "  {}: {:.0} ns for an observation, {:.0} observations/s, {turned} turns",
            if is_quiet {
                "concerns nobody"
            } else {
                "one in a hundred passes bounds"
            },
            seconds * 1e9 / OBSERVATIONS as f64,
            OBSERVATIONS as f64 / seconds,
        );
    }
    println!("  {}", resident()?);
    Ok(())
}

/// A service that runs.
struct Running {
    service: tokio::task::JoinHandle<Result<(), String>>,
    stop: CancellationToken,
    url: String,
}

impl Running {
    async fn end(self) -> Result<()> {
        self.stop.cancel();
        self.service.await?.map_err(Error::msg)
    }
}

async fn start(url: &str, log: &EventLog, metrics: &Metrics) -> Result<Running> {
    let set = [
        format!("database.url={url}"),
        format!("database.schema={SCHEMA}"),
        "rest.address=127.0.0.1:0".to_owned(),
        "grpc.address=127.0.0.1:0".to_owned(),
    ];
    let flags = Flags {
        common: CommonFlags::set(set.to_vec()),
        ..Flags::default()
    };
    let config = load(&flags, &[])?.config;
    let listeners = Listeners::bind(&config).await?;
    let sources = vec![Source::in_process("collector", log.clone())];
    let service = Service::start(
        config,
        sources,
        listeners,
        metrics.clone(),
        Context::system(),
    )
    .await?;
    let url = format!("http://{}", service.rest_address());
    let stop = CancellationToken::new();
    let ending = stop.clone();
    let service = tokio::spawn(async move {
        let ended = service.run(ending).await;
        ended.map(drop).map_err(|error| error.to_string())
    });
    Ok(Running { service, stop, url })
}

/// Waits until the service is ready.
async fn ready(running: &Running) -> Result<()> {
    let client = reqwest::Client::new();
    loop {
        let answer = client.get(format!("{}/readyz", running.url)).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn measure_service(url: &str) -> Result<()> {
    let metrics = keep_metrics()?;
    let pool = event_log::connect(url, "collector", 4).await?;
    let log = EventLog::open(pool, LogConfig::default(), None).await?;
    // Makes the tables.
    let first = start(url, &log, &metrics).await?;
    ready(&first).await?;
    first.end().await?;
    let pool = event_log::connect(url, SCHEMA, 2).await?;
    fill(&pool).await?;
    println!("before the start: {}", resident()?);
    let began = Instant::now();
    let running = start(url, &log, &metrics).await?;
    ready(&running).await?;
    println!(
        "{RULES} rules over {SERIES} series: ready after {:.2} s; {}",
        began.elapsed().as_secs_f64(),
        resident()?
    );
    running.end().await?;
    publish(&log).await?;
    let began = Instant::now();
    let running = start(url, &log, &metrics).await?;
    ready(&running).await?;
    let loaded = began.elapsed();
    processed(&pool, PUBLISHED).await?;
    let seconds = (began.elapsed() - loaded).as_secs_f64();
    println!(
        "{PUBLISHED} observations from the log in {seconds:.2} s: {:.0} a second; {}",
        PUBLISHED as f64 / seconds,
        resident()?
    );
    running.end().await
}

/// Stores series with a history, and rules: of each hundred over a series 99 comparisons and an expression.
async fn fill(pool: &PgPool) -> Result<()> {
    let statements = [
        "insert into watched_series (id, reached, seen_at, sequence)
         select 'S' || n, current_date - 150, now(), 1 from generate_series(0, $1 - 1) n where $2 > 0",
        "insert into watched_points (series_id, date, known_from, value, sequence)
         select 'S' || n, current_date - 150 - day::int, now(), 10 + day % 7, 1
         from generate_series(0, $1 - 1) n, generate_series(0, $2 - 1) day",
        "insert into rules (id, tenant, kind, subject, definition, created_at, updated_at)
         select 'rule-' || n, 'anonymous', case when n / $1 = 99 then 'indicator' else 'price' end, 'S' || n % $1,
             jsonb_build_object('name', 'Rule ' || n, 'channels', '[]'::jsonb, 'condition',
                 case when n / $1 = 99 then jsonb_build_object('kind', 'indicator',
                     'inputs', jsonb_build_object('S' || n % $1, '{\"frequency\": \"daily\"}'::jsonb),
                     'when', format('S%s.mean(20) > 199', n % $1))
                 else jsonb_build_object('kind', 'price', 'series', 'S' || n % $1, 'comparison', 'gt',
                     'value', (100 + n / $1)::text) end),
             now(), now()
         from generate_series(0, 99999) n where $2 > 0",
        "update series_head set sequence = $1 where $2 > 0",
    ];
    for statement in statements {
        sqlx::query(statement)
            .bind(i64::try_from(SERIES)?)
            .bind(STORED_DAYS)
            .execute(pool)
            .await?;
    }
    sqlx::query("analyze").execute(pool).await?;
    Ok(())
}

/// Publishes observations below all bounds, one for each event, in turn for all series.
async fn publish(log: &EventLog) -> Result<()> {
    let today = Utc::now().date_naive();
    let acceptance = log.acceptance();
    let mut drafts = Vec::new();
    for index in 0..PUBLISHED {
        let days = 100 - index / SERIES;
        let date = today - Days::new(u64::try_from(days)?);
        let point = DataPoint {
            date: date.to_string(),
            value: Some((10 + index % 7).to_string()),
            known_from: None,
        };
        let event = Event {
            event_id: Ulid::generate().to_string(),
            occurred_at: Some(Timestamp::from(Utc::now())),
            source_service: "Collector".to_owned(),
            payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
                series_id: format!("S{}", index % SERIES),
                data_points: vec![point],
                ..SeriesCollectedEvent::default()
            })),
            ..Event::default()
        };
        drafts.push(Draft::new(event, &acceptance)?);
        if drafts.len() == 1_000 {
            log.append(std::mem::take(&mut drafts)).await?;
        }
    }
    Ok(())
}

async fn processed(pool: &PgPool, last: usize) -> Result<()> {
    let last = i64::try_from(last)?;
    loop {
        let at: Option<Option<i64>> =
            sqlx::query_scalar("select position from checkpoint where source = 'collector'")
                .fetch_optional(pool)
                .await?;
        if at.flatten() == Some(last) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn resident() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    Ok(line.unwrap_or("VmRSS unknown").to_owned())
}
