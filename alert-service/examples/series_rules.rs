//! What rules over series cost: `cargo run --release -p alert-service --example series_rules`.
//!
//! For 1,000 and for 100,000 comparisons over 1,000 series, and with an expression for each series: the time of an observation that concerns no rule, observations a
//! second where one in a hundred passes bounds, and the memory of the process.
#![expect(clippy::print_stdout, reason = "it prints figures")]

use std::time::Instant;

use alert_service::Evaluation;
use anyhow::{Error, Result, anyhow};
use chrono::{DateTime, Days, NaiveDate};

const SERIES: usize = 1_000;
const OBSERVATIONS: usize = 500_000;

fn main() -> Result<()> {
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

fn resident() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    Ok(line.unwrap_or("VmRSS unknown").to_owned())
}
