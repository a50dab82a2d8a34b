//! `atlas alerts`: what the alert service notifies of, over its REST.

use std::net::SocketAddr;

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    receive,
    silences::{self, End, SilenceCommand},
};
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
pub(crate) struct AlertsOptions {
    /// Where the alert service serves REST; https:// for TLS
    #[arg(
        long,
        value_name = "URL",
        global = true,
        env = "ATLAS_ALERTS",
        default_value = "http://127.0.0.1:8082"
    )]
    rest: String,
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    /// List alerts, the newest first
    List {
        /// Only alerts in this state: firing, acknowledged, resolved or withdrawn; repeatable
        #[arg(long = "state", value_name = "STATE")]
        states: Vec<String>,
        /// Only alerts of this rule
        #[arg(long, value_name = "ID")]
        rule: Option<String>,
        /// Only info, warning or critical ones
        #[arg(long, value_name = "SEVERITY")]
        severity: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Show an alert with its history and its deliveries
    Show {
        /// Id of the alert
        id: String,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Acknowledge an alert
    Ack(Act),
    /// Resolve an alert; who was notified of its beginning is notified of its end
    Resolve(Act),
    /// Acknowledge an alert, and silence for a time what its rule makes of the same
    Snooze {
        /// Id of the alert
        id: String,
        #[command(flatten)]
        end: End,
        /// Why, for those who come after
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Silences: alerts that match them are not notified
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// Send a sample to a channel, and print what it answered
    Test {
        /// Id of the channel
        channel: String,
    },
    /// Receive webhooks on this machine, and print them, to try channels and rules
    Receive {
        /// Where to listen
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct Act {
    /// Id of the alert
    id: String,
    /// Why, for those who come after
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// # Errors
/// [`Failure::Rest`] if the service refuses or cannot be reached, [`Failure::Input`] if a channel did not take the
/// sample.
pub(crate) async fn run(
    server: &Server,
    options: &AlertsOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    if let AlertsCommand::Receive { listen } = &options.command {
        return receive::run(*listen, output).await;
    }
    let rest = Rest::new(&options.rest, server)?;
    match &options.command {
        AlertsCommand::List {
            states,
            rule,
            severity,
            limit,
            format,
        } => {
            let mut query: Vec<(&str, &str)> =
                states.iter().map(|state| ("state", &**state)).collect();
            query.extend(rule.as_deref().map(|rule| ("rule", rule)));
            query.extend(severity.as_deref().map(|severity| ("severity", severity)));
            let limit = limit.to_string();
            query.push(("limit", &limit));
            let page = rest
                .ask(Method::GET, &["v1", "alerts"], &query, None)
                .await?;
            for alert in list(&page, "alerts") {
                match format {
                    Format::Json => output.json(alert)?,
                    Format::Text => output.line(alert_line(alert))?,
                }
            }
        }
        AlertsCommand::Show { id, format } => {
            let alert = rest
                .ask(Method::GET, &["v1", "alerts", &**id], &[], None)
                .await?;
            match format {
                Format::Json => output.json(&alert)?,
                Format::Text => show(&alert, output)?,
            }
        }
        AlertsCommand::Ack(act) => {
            let alert = change(&rest, act, "acknowledge").await?;
            output.line(alert_line(&alert))?;
        }
        AlertsCommand::Resolve(act) => {
            let alert = change(&rest, act, "resolve").await?;
            output.line(alert_line(&alert))?;
        }
        AlertsCommand::Snooze { id, end, note } => {
            let mut body = json!({"until": end.after(Utc::now())?});
            if let Some(note) = note {
                body["note"] = note.as_str().into();
            }
            let path = ["v1", "alerts", &**id, "snooze"];
            let alert = rest.ask(Method::POST, &path, &[], Some(&body)).await?;
            output.line(alert_line(&alert))?;
        }
        AlertsCommand::Silence(command) => silences::run(&rest, command, output).await?,
        AlertsCommand::Test { channel } => {
            let path = ["v1", "channels", &**channel, "test"];
            let tested = rest.ask(Method::POST, &path, &[], None).await?;
            let (outcome, detail) = (text(&tested, "outcome"), text(&tested, "detail"));
            if outcome != "accepted" {
                return Err(Failure::Input(format!("{outcome}: {detail}")));
            }
            output.line(format_args!("{outcome}  {detail}"))?;
        }
        // It asks no service.
        AlertsCommand::Receive { .. } => {}
    }
    Ok(())
}

async fn change(rest: &Rest, act: &Act, what: &str) -> Result<Value, Failure> {
    let body = act.note.as_ref().map(|note| json!({"note": note}));
    let path = ["v1", "alerts", &*act.id, what];
    rest.ask(Method::POST, &path, &[], body.as_ref()).await
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn text(value: &Value, key: &str) -> String {
    clean(value[key].as_str().unwrap_or_default())
}

fn alert_line(alert: &Value) -> String {
    let of = |key: &str| text(alert, key);
    let (id, at, title) = (of("id"), of("started_at"), of("title"));
    let (severity, state) = (of("severity"), of("state"));
    format!("{id}  {at}  {severity:<8}  {state:<12}  {title}")
}

fn show(alert: &Value, output: &mut Output) -> Result<(), Failure> {
    output.line(alert_line(alert))?;
    let message = alert["message"].as_str().unwrap_or_default();
    for line in message.lines() {
        output.line(format_args!("  {}", clean(line)))?;
    }
    for (name, value) in alert["labels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        output.line(format_args!("  {} = {}", clean(name), clean(value)))?;
    }
    for change in list(alert, "history") {
        let of = |key: &str| text(change, key);
        let by = match of("by") {
            by if by.is_empty() => "an event".to_owned(),
            by => by,
        };
        let line = format!(
            "{}  {:<12}  by {by}  {}",
            of("at"),
            of("change"),
            of("note")
        );
        output.line(format_args!("  {}", line.trim_end()))?;
    }
    for delivery in list(alert, "deliveries") {
        let of = |key: &str| text(delivery, key);
        let why = ["suppressed_by", "wait_reason", "last_error"].map(of);
        let why = why.iter().find(|why| !why.is_empty());
        let line = format!(
            "{}  {:<10}  {:<10}  by {}, {} attempts  {}",
            of("id"),
            of("kind"),
            of("state"),
            of("channel_kind"),
            delivery["attempts"],
            why.map_or("", |why| why.as_str())
        );
        output.line(format_args!("  {}", line.trim_end()))?;
    }
    Ok(())
}
