//! `atlas series`: what a collector collects.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    arguments::Format,
    client::{
        connection::Server,
        failure::Failure,
        rest::{Method, Rest},
    },
    print::{output::Output, text::clean},
};

#[derive(Debug, Args)]
pub(crate) struct SeriesOptions {
    /// Where the collector serves REST
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ATLAS_REST",
        default_value = "http://127.0.0.1:5000"
    )]
    rest: String,
    #[arg(long, global = true, value_enum, default_value = "text")]
    format: Format,
    #[command(subcommand)]
    command: SeriesCommand,
}

#[derive(Debug, Subcommand)]
enum SeriesCommand {
    /// List the series that are collected, and when
    List,
    /// Collect series now, paused or not; ends once what is new is stored
    Collect(Ids),
    /// Suspend the schedules of series
    Pause(Ids),
    /// Resume the schedules of series; what was missed is collected soon
    Resume(Ids),
    /// Stop collecting series for good; their events and observations stay
    Delete(Ids),
}

#[derive(Debug, Args)]
struct Ids {
    /// Series, such as UNRATE
    #[arg(required = true)]
    ids: Vec<String>,
}

/// A series, as REST shows it.
#[derive(Debug, Deserialize)]
struct Series {
    id: String,
    title: Option<String>,
    schedule: String,
    paused: bool,
    consecutive_failures: u32,
    last_error: Option<LastError>,
    next_collection_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
struct LastError {
    code: String,
    message: String,
}

/// What a collection brought, as REST shows it.
#[derive(Debug, Deserialize)]
struct Collected {
    series_id: String,
    data_points: u64,
    first_position: Option<u64>,
    last_position: Option<u64>,
}

/// Runs a command on each series in turn, up to the first that fails.
pub(crate) async fn run(
    server: &Server,
    options: &SeriesOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let rest = Rest::new(&options.rest, server)?;
    let (ids, action) = match &options.command {
        SeriesCommand::List => return list(&rest, options.format, output).await,
        SeriesCommand::Delete(Ids { ids }) => return delete(&rest, ids, output).await,
        SeriesCommand::Collect(Ids { ids }) => (ids, "collect"),
        SeriesCommand::Pause(Ids { ids }) => (ids, "pause"),
        SeriesCommand::Resume(Ids { ids }) => (ids, "resume"),
    };
    for id in ids {
        let path = ["v1", "series", id, action];
        let answer = rest.ask(Method::POST, &path, &[], None).await?;
        let line = match action {
            "collect" => collected_line(&read(&answer)?),
            _ => series_line(&read(&answer)?),
        };
        print(&answer, line, options.format, output)?;
    }
    Ok(())
}

async fn list(rest: &Rest, format: Format, output: &mut Output) -> Result<(), Failure> {
    let answer = rest.ask(Method::GET, &["v1", "series"], &[], None).await?;
    for series in answer["series"].as_array().into_iter().flatten() {
        print(series, series_line(&read(series)?), format, output)?;
    }
    Ok(())
}

async fn delete(rest: &Rest, ids: &[String], output: &mut Output) -> Result<(), Failure> {
    for id in ids {
        rest.ask(Method::DELETE, &["v1", "series", id], &[], None)
            .await?;
        output.line(format_args!("{}: not collected any more", clean(id)))?;
    }
    Ok(())
}

fn print(answer: &Value, line: String, format: Format, output: &mut Output) -> Result<(), Failure> {
    match format {
        Format::Json => output.json(answer)?,
        Format::Text => output.line(line)?,
    }
    Ok(())
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| Failure::Rest {
        status: Some(200),
        detail: format!("the answer is not that of a collector of this version: {error}"),
    })
}

fn series_line(series: &Series) -> String {
    let state = match (series.paused, series.consecutive_failures) {
        (true, _) => "paused",
        (false, 0) => "active",
        (false, _) => "failing",
    };
    let next = series.next_collection_at.map_or_else(
        || "-".to_owned(),
        |at| at.to_rfc3339_opts(SecondsFormat::Secs, true),
    );
    let title = series.title.as_deref().unwrap_or_default();
    let mut line = format!(
        "{:<16}  {state:<7}  next {next:<20}  {}  {}",
        clean(&series.id),
        clean(&series.schedule),
        clean(title)
    );
    if let Some(error) = &series.last_error {
        let failures = series.consecutive_failures;
        let plural = if failures == 1 { "" } else { "s" };
        let (code, message) = (clean(&error.code), clean(&error.message));
        line.push_str(&format!("; {failures} failure{plural}: {code}: {message}"));
    }
    line.trim_end().to_owned()
}

fn collected_line(collected: &Collected) -> String {
    let id = clean(&collected.series_id);
    let points = collected.data_points;
    let plural = if points == 1 { "" } else { "s" };
    match (collected.first_position, collected.last_position) {
        (Some(first), Some(last)) if first == last => {
            format!("{id}: {points} new or revised value{plural}, at position {first}")
        }
        (Some(first), Some(last)) => {
            format!("{id}: {points} new or revised value{plural}, at positions {first} to {last}")
        }
        _ => format!("{id}: nothing new"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_series_is_one_line_with_its_state() {
        let mut shown = json!({
            "id": "UNRATE", "title": "Unemployment Rate", "schedule": "45 13 * * *",
            "paused": false, "consecutive_failures": 0, "last_error": null,
            "next_collection_at": "2026-01-02T13:45:00Z",
        });
        let line = |shown: &Value| series_line(&read(shown).unwrap());
        assert_eq!(
            line(&shown),
            "UNRATE            active   next 2026-01-02T13:45:00Z  45 13 * * *  Unemployment Rate"
        );
        shown["consecutive_failures"] = 1.into();
        shown["last_error"] = json!({"code": "HTTP_503", "message": "away\nfor long"});
        let failing = line(&shown);
        assert!(
            failing.contains("failing") && !failing.contains('\n'),
            "{failing}"
        );
        assert!(failing.contains("; 1 failure: HTTP_503: away"), "{failing}");
        shown["paused"] = true.into();
        shown["next_collection_at"] = Value::Null;
        assert!(line(&shown).contains("paused   next -"), "{}", line(&shown));
    }

    #[test]
    fn a_collection_says_what_it_brought() {
        let line = |points: u64, first: Option<u64>, last: Option<u64>| {
            collected_line(&Collected {
                series_id: "UNRATE".to_owned(),
                data_points: points,
                first_position: first,
                last_position: last,
            })
        };
        let one = "UNRATE: 1 new or revised value, at position 7";
        assert_eq!(line(1, Some(7), Some(7)), one);
        let many = "UNRATE: 3 new or revised values, at positions 7 to 8";
        assert_eq!(line(3, Some(7), Some(8)), many);
        assert_eq!(line(0, None, None), "UNRATE: nothing new");
    }
}
