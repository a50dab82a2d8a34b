//! `atlas alerts silence`: silences of the alert service.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::alerts::{list, text};
use crate::{
    arguments::Format,
    client::{
        failure::Failure,
        rest::{Method, Rest},
    },
    print::output::Output,
    time,
};

#[derive(Debug, Subcommand)]
pub(super) enum SilenceCommand {
    /// Silence alerts that match
    Add {
        /// All of them have to match, as in Alertmanager: theme=stress, severity!=critical, pattern=~"vix-.*"
        #[arg(required = true, value_name = "MATCHER")]
        matchers: Vec<String>,
        /// Why, for those who come after
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// From when on; now if absent
        #[arg(long, value_name = "TIME", value_parser = time::parse_moment)]
        from: Option<DateTime<Utc>>,
        #[command(flatten)]
        end: End,
    },
    /// List silences that hold or will, the newest first
    List {
        /// Also those that ended
        #[arg(long)]
        all: bool,
        /// At most this many
        #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// End a silence early
    End {
        /// Id of the silence
        id: String,
        /// Why, for those who come after
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

/// Until when something lasts.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct End {
    /// How long it lasts, such as 4h or 30min
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// When it ends
    #[arg(long, value_name = "TIME", value_parser = time::parse_moment)]
    until: Option<DateTime<Utc>>,
}

impl End {
    /// Of what begins at a time, as REST has it.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a duration beyond all times.
    pub(super) fn after(&self, start: DateTime<Utc>) -> Result<String, Failure> {
        let lasting = self.duration.unwrap_or_default();
        let lasting = TimeDelta::from_std(lasting).ok();
        let end = match self.until {
            Some(until) => Some(until),
            None => lasting.and_then(|lasting| start.checked_add_signed(lasting)),
        };
        let end = end.ok_or_else(|| Failure::Usage("--for is too long".to_owned()))?;
        Ok(written(end))
    }
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// # Errors
/// [`Failure::Rest`] if the service refuses or cannot be reached.
pub(super) async fn run(
    rest: &Rest,
    command: &SilenceCommand,
    output: &mut Output,
) -> Result<(), Failure> {
    let path = ["v1", "silences"];
    match command {
        SilenceCommand::Add {
            matchers,
            reason,
            from,
            end,
        } => {
            let ends_at = end.after(from.unwrap_or_else(Utc::now))?;
            let mut body = json!({"matchers": matchers, "reason": reason, "ends_at": ends_at});
            if let Some(from) = from {
                body["starts_at"] = written(*from).into();
            }
            let made = rest.ask(Method::POST, &path, &[], Some(&body)).await?;
            output.line(line(&made))?;
        }
        SilenceCommand::List { all, limit, format } => {
            let limit = limit.to_string();
            let mut query = vec![("limit", &*limit)];
            if !all {
                query.push(("open", "true"));
            }
            let page = rest.ask(Method::GET, &path, &query, None).await?;
            for silence in list(&page, "silences") {
                match format {
                    Format::Json => output.json(silence)?,
                    Format::Text => output.line(line(silence))?,
                }
            }
        }
        SilenceCommand::End { id, note } => {
            let body = note.as_ref().map(|note| json!({"note": note}));
            let path = ["v1", "silences", &**id, "end"];
            let ended = rest.ask(Method::POST, &path, &[], body.as_ref()).await?;
            output.line(line(&ended))?;
        }
    }
    Ok(())
}

fn line(silence: &Value) -> String {
    let of = |key: &str| text(silence, key);
    let matchers = list(silence, "matchers").iter();
    let matchers: Vec<_> = matchers
        .map(|matcher| crate::print::text::clean(matcher.as_str().unwrap_or_default()))
        .collect();
    format!(
        "{}  {:<8}  until {}  {}  by {}: {}",
        of("id"),
        of("state"),
        of("ends_at"),
        matchers.join(", "),
        of("created_by"),
        of("reason")
    )
}
