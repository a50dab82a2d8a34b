//! Definitions that cost much, to an engine that tries them out for whoever may read.

use std::time::Duration;

use anyhow::{Result, ensure};
use atlas_events::{DataPoint, SeriesCollectedEvent, event::Payload};
use chrono::{Days, NaiveDate};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    clients,
    target::{Process, Target},
    trial::Attack,
    watch::Sample,
};

/// The series of the pattern that the engine of an attack runs.
const SERIES: &str = "ATTACK";
/// What is refused for its text is refused within this.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// The engine ends within this of SIGTERM, whatever was asked of it.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
const IDLE_WITHIN: Duration = Duration::from_secs(15);
/// What is given up is given up after this: two are worked on at a time, and six take longer.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(20);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "definitions-refused",
            "repetitions of 2^64-1, windows without end, long lists, texts and brackets",
            |target| Box::pin(refused(target)),
        )
        .quick()
        .memory_mib(128),
        Attack::new(
            "definitions-costly",
            "six costly definitions over 20,000 points, given up at once, and six that are waited for",
            |target| Box::pin(costly(target)),
        )
        .memory_mib(512),
        Attack::new(
            "definitions-stop",
            "costly definitions while the engine is asked to end",
            |target| Box::pin(stop(target)),
        )
        .memory_mib(512),
    ]
}

fn definition(when: &str, more: &str) -> String {
    format!(
        "id = \"d\"\nname = \"D\"\ndescription = \"d\"\nseverity = \"info\"\nwhen = '''{when}'''\n\
         {more}\n[inputs.{SERIES}]\nunit = \"points\"\nfrequency = \"daily\"\n"
    )
}

fn test_of(values: &str) -> String {
    let case = format!(
        "[[tests]]\nname = \"t\"\nexpect = []\nseries.{SERIES} = {{ from = \"2020-01-01\", every = \
         \"1d\", values = \"{values}\" }}\n"
    );
    definition(&format!("{SERIES} > 1"), "") + &case
}

async fn evaluate(target: &Target, definition: String) -> Result<(u16, Value)> {
    evaluate_at(&target.engine, target, definition).await
}

async fn evaluate_at(
    engine: &Process,
    target: &Target,
    definition: String,
) -> Result<(u16, Value)> {
    let token = target.tokens.full.expose();
    let body = json!({"definition": definition}).to_string();
    clients::post(engine, "/v1/evaluate", token, body).await
}

async fn refused(target: &Target) -> Result<String> {
    let when = |when: String| definition(&when, "");
    let definitions = [
        (
            "a repetition of 2^64-1",
            test_of(&format!("1 1*{}", u64::MAX)),
        ),
        (
            "a repetition of 2^128",
            test_of("1 1*340282366920938463463374607431768211456"),
        ),
        (
            "tests without end",
            test_of("1*5000") + &test_case("1*5000").repeat(60),
        ),
        ("4 KB of costly functions", when(chain(4_000))),
        (
            "a window of 2^64-1",
            when(format!("{SERIES}.mean({}) > 1", u64::MAX)),
        ),
        (
            "a window of 10^30 years",
            when(format!("{SERIES}.mean(\"1{}y\") > 1", "0".repeat(30))),
        ),
        (
            "a window of a millennium",
            when(format!("{SERIES}.mean(\"1000y\") > 1")),
        ),
        ("windows of 15,000 values over each other", wide(0, "daily")),
        (
            "a number of a thousand digits",
            when(format!("{SERIES} > {}", "9".repeat(1_000))),
        ),
        (
            "a thousand brackets",
            when(format!(
                "{}{SERIES}{} > 1",
                "(".repeat(900),
                ")".repeat(900)
            )),
        ),
        (
            "a thousand negations",
            when(format!("{}({SERIES} > 1)", "!".repeat(1_500))),
        ),
        (
            "a list of 900 numbers",
            when(format!("{SERIES} in [{}1]", "1,".repeat(900))),
        ),
        (
            "a text of 250 KB",
            when(format!("{SERIES} > \"{}\"", "x".repeat(250_000))),
        ),
        (
            "a text of 3 MB",
            definition(
                "x",
                &format!("message = \"{}\"", "{ATTACK}".repeat(400_000)),
            ),
        ),
        (
            "nested tables",
            definition(
                &format!("{SERIES} > 1"),
                &format!("labels{} = 1", ".a".repeat(50_000)),
            ),
        ),
        (
            "nested arrays",
            definition(
                &format!("{SERIES} > 1"),
                &format!("labels = {}", "[".repeat(100_000)),
            ),
        ),
        (
            "macros",
            when(format!("[{SERIES}].all(x, [x].all(y, [y].all(z, z > 1)))")),
        ),
    ];
    let mut slowest = (Duration::ZERO, "");
    for (what, definition) in definitions {
        let began = Instant::now();
        let (status, problem) = evaluate(target, definition).await?;
        let took = began.elapsed();
        let reply = problem.to_string();
        ensure!(
            [400, 413].contains(&status),
            "{what}: {status} {}",
            clients::clipped(&reply)
        );
        ensure!(took < REFUSED_WITHIN, "{what} is refused after {took:.1?}");
        ensure!(
            reply.len() < 20_000,
            "{what}: the refusal has {} bytes",
            reply.len()
        );
        slowest = slowest.max((took, what));
    }
    Ok(format!(
        "all are 400; the slowest within {:.2?}: {}",
        slowest.0, slowest.1
    ))
}

fn test_case(values: &str) -> String {
    format!(
        "[[tests]]\nname = \"t\"\nexpect = []\nseries.{SERIES} = {{ from = \"2020-01-01\", every = \
         \"1d\", values = \"{values}\" }}\n"
    )
}

/// Costly functions of one another, in about so many bytes.
fn chain(bytes: usize) -> String {
    let part = format!("{SERIES}.percentile(9999).zscore(9999) > 3 || ");
    format!("{}{SERIES} > 3", part.repeat(bytes / part.len()))
}

/// The costliest of those that are let through: each window has a place of its own, and the series is said to have a
/// value a year, by which a window would hold few of them. It has one a day.
fn costliest(seed: usize) -> String {
    wide(seed, "annual")
}

/// Windows that look back a century, two by two, of a series that is as frequent as is said.
fn wide(seed: usize, frequency: &str) -> String {
    let terms = (0..20).map(|n| {
        let window = 15_000 + 100 * seed + n;
        format!("{SERIES}.percentile(\"{window}d\").stddev(\"{window}d\") > {n}")
    });
    let definition = definition(&terms.collect::<Vec<_>>().join(" || "), "");
    definition.replace("daily", frequency)
}

/// Gives the engine 20,000 points.
async fn fill(target: &Target) -> Result<()> {
    let token = target.tokens.full.expose();
    let channel = clients::channel(target.collector.grpc).await?;
    let first = NaiveDate::from_ymd_opt(1960, 1, 1).unwrap_or_default();
    let dates: Vec<_> = (0..20_000)
        .filter_map(|day| first.checked_add_days(Days::new(day)))
        .collect();
    for part in dates.chunks(2_000) {
        let point = |(index, date): (usize, &NaiveDate)| DataPoint {
            date: date.to_string(),
            value: Some(format!("{}", index * 7919 % 1_000)),
            known_from: None,
        };
        let collected = SeriesCollectedEvent {
            series_id: SERIES.to_owned(),
            data_points: part.iter().enumerate().map(point).collect(),
            collected_at: None,
            release_part: None,
        };
        let event = clients::event(Payload::SeriesCollected(collected));
        clients::publish(&channel, token, vec![event]).await?;
    }
    let last = clients::last_position(&channel, token).await?;
    clients::engine_reaches(target, last).await
}

async fn costly(target: &Target) -> Result<String> {
    fill(target).await?;
    // Whether that is work, and not refused for its text.
    let (status, reply) = evaluate(target, costliest(0)).await?;
    let is_work = status == 200 || problem(&reply).contains("takes more work than is allowed");
    ensure!(is_work, "none of them costs anything: {status} {reply}");
    // Given up while they are worked on, and while they wait for their turn.
    let abandoned = (0..6).map(|seed| {
        let asked = evaluate(target, costliest(seed));
        timeout(GIVEN_UP_AFTER, asked)
    });
    let given_up = join_all(abandoned)
        .await
        .iter()
        .filter(|r| r.is_err())
        .count();
    ensure!(
        given_up > 0,
        "all of them are answered within {GIVEN_UP_AFTER:?}"
    );
    let idle = idle(target).await?;
    let began = Instant::now();
    let waited = join_all((0..6).map(|seed| evaluate(target, costliest(seed)))).await;
    let mut statuses = Vec::new();
    for answer in waited {
        let (status, reply) = answer?;
        ensure!([200, 400, 503, 504].contains(&status), "{status} {reply}");
        statuses.push(format!("{status} {}", problem(&reply)));
    }
    Ok(format!(
        "{given_up} of six given up, idle {idle:.1?} later; six waited for: {} within {:.1?}",
        statuses.join(", "),
        began.elapsed()
    ))
}

/// What a definition is refused for.
fn problem(reply: &Value) -> &str {
    reply["errors"][0]["problem"].as_str().unwrap_or_default()
}

/// Waits until the engine does nothing more for those that gave up.
async fn idle(target: &Target) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let before = Sample::of(target.engine.pid)?.cpu_seconds;
        sleep(Duration::from_secs(1)).await;
        let cores = Sample::of(target.engine.pid)?.cpu_seconds - before;
        let since = began.elapsed();
        if cores < 0.5 {
            return Ok(since);
        }
        ensure!(
            since < IDLE_WITHIN,
            "the engine works {since:.1?} for those that gave up"
        );
    }
}

/// Of an engine that stands by: the other one goes on.
async fn stop(target: &Target) -> Result<String> {
    fill(target).await?;
    let engine = target.another_engine().await?;
    let asked = (0..6).map(|seed| evaluate_at(&engine, target, costliest(seed)));
    let stopping = async {
        sleep(Duration::from_millis(300)).await;
        engine.stop(ENDS_WITHIN).await
    };
    let (_, ended) = futures::join!(join_all(asked), stopping);
    Ok(format!("it ended within {:.1?} of SIGTERM", ended?))
}
