//! Commands and flags.

use std::{path::PathBuf, time::Duration};

use atlas_events::{Event, Timestamp, event::Payload};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    client::connection::{HEADING, Server},
    commands::{
        alerts::AlertsOptions,
        consumption::{CheckpointCommand, ParkedCommand},
        series::SeriesOptions,
        token::TokenCommand,
    },
    time,
};

const EXIT_CODES: &str = "\
Times are RFC 3339 (2024-05-01T12:00:00Z), a date (midnight UTC), or how long ago (15m, 2h, 7d).

Exit codes:
  0  done (also: stopped by Ctrl-C, or the reader of the output went away)
  1  refused by the server, or bad input; nothing more was stored
  2  wrong usage
  3  the server cannot be reached or is not ready
  4  not found
  5  the stream is not what it was: events are missing, were removed by retention, or the log is
     another one
  6  the outcome of a publish is unknown: publish again with the same ids to find out";

const THRESHOLD_CROSSED: &str = "ThresholdCrossedEvent";

/// Follow an event log, publish to it, look into it.
#[derive(Debug, Parser)]
#[command(name = "atlas", version, about, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print events as they are stored, one per line; resumes after every interruption
    Tail(TailOptions),
    /// Store events and print their receipts
    Publish(PublishOptions),
    /// Print the event with an id
    Get(GetOptions),
    /// Print the stored events of a range of times
    Range(RangeOptions),
    /// Print the identity, bounds and edition of a log
    Info(InfoOptions),
    /// List and reset the checkpoints of a service that consumes logs
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// List, retry and discard events that a service could not process
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// List, collect, pause, resume and delete the series of a collector
    Series(SeriesOptions),
    /// List, show, acknowledge and resolve alerts, and test channels, over REST of the alert service
    Alerts(AlertsOptions),
    /// Make tokens, for servers that ask for one
    #[command(subcommand)]
    Token(TokenCommand),
    /// Run the collector and the threshold engine in this process
    Up(UpOptions),
    /// Print a script that completes commands and flags in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write a manual page for each command
    Man {
        /// Folder for the pages; it must exist
        folder: PathBuf,
    },
}

/// Commands that connect to no server.
const LOCAL: [&str; 4] = ["token", "up", "completions", "man"];

/// The commands with their flags. Those that connect to no server show no flags of connections.
pub(crate) fn command() -> clap::Command {
    let mut command = Arguments::command();
    // Flags of all commands are added to each of them by this.
    command.build();
    for local in LOCAL {
        if let Some(local) = command.find_subcommand_mut(local) {
            hide_connection(local);
        }
    }
    command
}

fn hide_connection(command: &mut clap::Command) {
    *command = std::mem::take(command).mut_args(|argument| {
        let is_about_connections = argument.get_help_heading() == Some(HEADING);
        argument.hide(is_about_connections)
    });
    command.get_subcommands_mut().for_each(hide_connection);
}

/// Variables of the environment go to all services, but those of addresses (REST__…, GRPC__…),
/// schemas and logs (EVENTS__…) to none; COLLECTOR__GRPC__PORT is the collector's GRPC__PORT,
/// ENGINE__GRPC__PORT the engine's, and ALERT_SERVICE__GRPC__PORT the alert service's.
#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    /// Configuration file of the collector
    #[arg(long, value_name = "FILE")]
    pub(crate) collector_config: Option<PathBuf>,
    /// Configuration file of the threshold engine
    #[arg(long, value_name = "FILE")]
    pub(crate) engine_config: Option<PathBuf>,
    /// Configuration file of the alert service
    #[arg(long, value_name = "FILE")]
    pub(crate) alerts_config: Option<PathBuf>,
    /// Folder with patterns and regimes
    #[arg(long, value_name = "FOLDER")]
    pub(crate) patterns: Option<String>,
    /// Any setting of the collector by its key
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) collector_set: Vec<String>,
    /// Any setting of the threshold engine by its key
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) engine_set: Vec<String>,
    /// Any setting of the alert service by its key
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) alerts_set: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// The proto3 JSON mapping, one message per line
    Json,
}

/// Which events.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// Only events of this type, such as SeriesCollectedEvent or custom:OrderPlaced; repeatable
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_types: Vec<String>,
    /// Only events about this series; repeatable
    #[arg(long = "series", value_name = "SERIES")]
    pub(crate) series_ids: Vec<String>,
    /// Only crossings of this pattern; repeatable
    #[arg(long = "pattern", value_name = "PATTERN")]
    pub(crate) pattern_ids: Vec<String>,
    /// Only crossings of this severity, such as critical; repeatable
    #[arg(long = "severity", value_name = "SEVERITY")]
    pub(crate) severities: Vec<String>,
}

impl Wanted {
    /// Whether only crossings are wanted.
    fn is_about_crossings(&self) -> bool {
        !self.pattern_ids.is_empty() || !self.severities.is_empty()
    }

    /// Whether every event is wanted.
    pub(crate) fn is_everything(&self) -> bool {
        self.event_types.is_empty() && self.series_ids.is_empty() && !self.is_about_crossings()
    }

    /// The types that the server is asked for.
    pub(crate) fn event_types(&self) -> Vec<String> {
        match self.event_types.is_empty() && self.is_about_crossings() {
            true => vec![THRESHOLD_CROSSED.to_owned()],
            false => self.event_types.clone(),
        }
    }

    /// Whether an event that the server sent is wanted: servers know nothing of patterns.
    pub(crate) fn admits(&self, event: &Event) -> bool {
        let one_of =
            |wanted: &[String], value: &String| wanted.is_empty() || wanted.contains(value);
        match &event.payload {
            _ if !self.is_about_crossings() => true,
            Some(Payload::ThresholdCrossed(crossed)) => {
                one_of(&self.pattern_ids, &crossed.pattern_id)
                    && one_of(&self.severities, &crossed.severity)
            }
            _ => false,
        }
    }
}

/// How events are printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Printing {
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Print the id of each event too, as JSON always does
    #[arg(long)]
    pub(crate) ids: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TailOptions {
    /// Begin after this position (0: the beginning of the log)
    #[arg(long, value_name = "POSITION", group = "start")]
    pub(crate) after: Option<u64>,
    /// Begin with the first event that occurred at or after this time
    #[arg(long, value_name = "TIME", group = "start", value_parser = time::parse)]
    pub(crate) since: Option<Timestamp>,
    /// Begin with the first event that is kept
    #[arg(long, group = "start")]
    pub(crate) from_beginning: bool,
    /// Begin so many positions before the end of the log
    #[arg(long, value_name = "EVENTS", group = "start")]
    pub(crate) last: Option<u64>,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    #[command(flatten)]
    pub(crate) printing: Printing,
    /// End after this many events
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End once everything stored has been printed
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// How long the stream may be silent: after three times as long the connection counts as lost
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) heartbeat: Duration,
    /// Name under which the server reports the lag of this reader
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) consumer: String,
    /// Refuse to read another log than this one (see `atlas info`)
    #[arg(long, value_name = "LOG_ID", default_value = "")]
    pub(crate) log_id: String,
    /// Give up when the server stays away for this long; without it, never, and with --no-follow at
    /// once
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) give_up_after: Option<Duration>,
    /// Also print the markers of the stream (heartbeat, caught up, fell behind)
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PublishOptions {
    /// Type of the event: a name of your own such as OrderPlaced, or one of the platform's
    #[arg(
        long = "type",
        value_name = "TYPE",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    pub(crate) event_type: Option<String>,
    /// Content as a JSON object; of the platform's types, their message in the proto3 JSON mapping
    #[arg(
        long,
        value_name = "JSON",
        default_value = "{}",
        conflicts_with = "file"
    )]
    pub(crate) data: String,
    /// Identity, a ULID; made from the time of the event if absent
    #[arg(long, value_name = "ULID", conflicts_with = "file")]
    pub(crate) id: Option<String>,
    /// When it happened; now if absent
    #[arg(long, value_name = "TIME", conflicts_with = "file", value_parser = time::parse)]
    pub(crate) occurred_at: Option<Timestamp>,
    /// Events from a file, one per line in the proto3 JSON mapping ("-": standard input). A line
    /// without an eventId gets a new one each time that the file is published
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Events in one atomic batch of a file
    #[arg(long, value_name = "EVENTS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) batch: u64,
    /// The publishing service, where an event does not name it itself
    #[arg(long, value_name = "NAME", default_value = "atlas-cli")]
    pub(crate) source: String,
    /// How often a batch is sent while the server is away or the outcome is unknown
    #[arg(long, value_name = "TIMES", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) attempts: u32,
    /// How receipts are printed
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Print no receipts
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetOptions {
    /// A ULID
    pub(crate) event_id: String,
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RangeOptions {
    /// Events that occurred at or after this time; from the first that is kept if absent
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) since: Option<Timestamp>,
    /// … and before this time; up to the last one if absent
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) before: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// End after this many events
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) printing: Printing,
}

#[derive(Debug, Args)]
pub(crate) struct InfoOptions {
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_connect_show_how_and_others_do_not() {
        let help = |path: &[&str]| {
            let mut of_path = command();
            for name in path {
                of_path = of_path.find_subcommand(name).unwrap().clone();
            }
            of_path.render_long_help().to_string()
        };
        for path in [
            &[][..],
            &["tail"],
            &["checkpoint", "list"],
            &["parked", "retry"],
        ] {
            assert!(help(path).contains("--server"), "{path:?}");
        }
        for path in [&["token", "new"][..], &["up"], &["completions"], &["man"]] {
            let help = help(path);
            for flag in ["--server", "--token-file", "--ca", "--key", "Connection"] {
                assert!(!help.contains(flag), "{path:?}: {help}");
            }
        }
        assert!(help(&["token", "new"]).contains("--scope"));
        // They still accept what scripts pass to all commands.
        let passed = ["atlas", "--server", "http://x:1", "completions", "bash"];
        assert!(command().try_get_matches_from(passed).is_ok());
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_tail_starts_at_one_place() {
        let two = ["atlas", "tail", "--after", "3", "--from-beginning"];
        assert!(Arguments::try_parse_from(two).is_err());
        assert!(Arguments::try_parse_from(&two[..4]).is_ok());
    }

    #[test]
    fn a_publish_is_one_event_or_a_file() {
        for refused in [
            &["atlas", "publish"][..],
            &["atlas", "publish", "--type", "A", "--file", "x"],
            &["atlas", "publish", "--file", "x", "--batch", "1001"],
        ] {
            assert!(Arguments::try_parse_from(refused).is_err(), "{refused:?}");
        }
    }
}
