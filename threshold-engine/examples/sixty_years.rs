//! How long 60 years of 20 daily series take through 50 patterns: by date, as they came, and series by
//! series, as a backfill brings them. Run with `--release`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Weekday};
use evaluation::series::{Cause, Point};
use rust_decimal::Decimal;
use threshold_engine::pattern::Pattern;
use threshold_engine::{Emission, Engine};
use ulid::Ulid;

const SERIES: usize = 20;
const PATTERNS: usize = 50;
const CONDITIONS: [&str; 10] = [
    "A > 105",
    "A - B < -2",
    "A.mean(\"30d\") > A.mean(\"90d\")",
    "A.mean(\"3mo\") - A.mean(\"3mo\").lowest(\"12mo\", excluding_current) >= 0.5",
    "A.yoy() < -5",
    "A / B > 1.1 && A.change(5) > 0",
    "(A.change(1) < 0).sustained(5)",
    "A.highest(\"52w\") - A > 10",
    "A.zscore(60) > 2.5",
    "A.percentile(\"90d\") >= 95",
];

fn main() -> anyhow::Result<()> {
    let patterns = patterns()?;
    let by_date = points();
    let mut by_series = by_date.clone();
    by_series.sort_by(|a, b| a.series.cmp(&b.series));
    report("by date", &patterns, &by_date)?;
    report("series by series", &patterns, &by_series)
}

fn report(order: &str, patterns: &[Arc<Pattern>], points: &[Point]) -> anyhow::Result<()> {
    let mut engine = Engine::new(patterns.to_vec(), []);
    let mut out: Vec<Emission> = Vec::new();
    let mut emitted = 0;
    let start = Instant::now();
    for point in points {
        engine.apply(std::slice::from_ref(point), &mut out);
        emitted += out.len();
        out.clear();
    }
    let seconds = start.elapsed().as_secs_f64();
    let steps: usize = engine.patterns().iter().map(|run| run.steps().len()).sum();
    let readings: usize = engine.patterns().iter().map(|run| run.series().len()).sum();
    let updates = readings * points.len() / SERIES;
    writeln!(
        io::stdout(),
        "{order}: {} points, {PATTERNS} patterns, {steps} dates evaluated, {emitted} crossings: \
         {seconds:.2} s, {:.2} microseconds a point, {:.2} a point and pattern",
        points.len(),
        seconds * 1e6 / points.len() as f64,
        seconds * 1e6 / updates as f64,
    )?;
    Ok(())
}

fn patterns() -> anyhow::Result<Vec<Arc<Pattern>>> {
    let mut patterns = Vec::new();
    for number in 0..PATTERNS {
        let when = CONDITIONS[number % CONDITIONS.len()];
        let mut text = format!(
            "id = \"p{number}\"\nname = \"p\"\ndescription = \"d\"\nseverity = \"info\"\nwhen = '{when}'\n"
        );
        for (name, offset) in [("A", 0), ("B", 7)] {
            if when.contains(name) {
                let series = (number + offset) % SERIES;
                text += &format!(
                    "[inputs.{name}]\nseries = \"S{series:02}\"\nunit = \"x\"\nfrequency = \"daily\"\n"
                );
            }
        }
        patterns.push(Arc::new(Pattern::read(Path::new("p.toml"), &text)?));
    }
    Ok(patterns)
}

/// Random walks with two decimals on working days, always the same.
fn points() -> Vec<Point> {
    let mut seed = 7_u64;
    let mut levels = [10_000_i64; SERIES];
    let names: Vec<Arc<str>> = (0..SERIES).map(|s| format!("S{s:02}").into()).collect();
    let mut points = Vec::new();
    let first = NaiveDate::from_ymd_opt(1966, 1, 1).unwrap_or_default();
    let days = first.iter_days().take(60 * 365 + 15);
    for date in days.filter(|d| !matches!(d.weekday(), Weekday::Sat | Weekday::Sun)) {
        let known_from = date.and_time(NaiveTime::MIN).and_utc();
        for (series, name) in names.iter().enumerate() {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let step = (seed >> 33) as i64 % 201 - 100;
            levels[series] = (levels[series] + step).clamp(8_000, 12_000);
            points.push(Point {
                cause: cause(points.len() as u64 + 1, known_from),
                series: name.clone(),
                date,
                known_from,
                value: Some(Decimal::new(levels[series], 2)),
            });
        }
    }
    points
}

fn cause(position: u64, occurred_at: DateTime<chrono::Utc>) -> Cause {
    Cause {
        source: "example".into(),
        position,
        index: 0,
        event_id: Ulid::from_parts(0, u128::from(position)),
        occurred_at,
    }
}
