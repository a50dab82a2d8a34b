//! `atlas checkpoint` and `atlas parked`: what a service that consumes logs has processed, and what
//! it could not process.

use atlas_events::{
    Checkpoint, ContinueIn, DiscardParkedEventsRequest, ListCheckpointsRequest,
    ListParkedEventsRequest, LogPosition, ParkedEvent, ParkedEventFilter, ParkedEventState,
    ResetCheckpointRequest, RetryParkedEventsRequest, Timestamp,
    checkpoints_client::CheckpointsClient, parked_events_client::ParkedEventsClient,
    reset_checkpoint_request::Target,
};
use clap::{Args, Subcommand, ValueEnum};
use tonic::{Code, Status};

use crate::{
    arguments::Format,
    client::{
        connection::{Server, connect},
        failure::Failure,
    },
    print::{
        output::Output,
        text::{clean, time},
    },
    time,
};

/// How long a retry waits for outcomes.
const RETRY_WAIT_SECONDS: i64 = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// List the checkpoint in each source, and why the service is stopped if it is
    List {
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Reset a checkpoint, and let a stopped service continue; processed events are skipped
    Reset(ResetOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ResetOptions {
    /// Name of the source; all sources if absent
    source: Option<String>,
    #[command(flatten)]
    to: To,
    /// For --position: the log that it belongs to, if not that of the checkpoint. For
    /// --common-position: the log as it is now
    #[arg(long, value_name = "UUID", conflicts_with_all = ["beginning", "time"])]
    log_id: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct To {
    /// For a log that went back or has a new identity: the last position that both histories have
    /// in common. Skips nothing
    #[arg(long, value_name = "POSITION", requires = "log_id")]
    common_position: Option<u64>,
    /// To the first event that the log keeps. Skips nothing
    #[arg(long)]
    beginning: bool,
    /// After this position. Earlier events that were not processed are skipped
    #[arg(long, value_name = "POSITION")]
    position: Option<u64>,
    /// To the first event that occurred at or after this time, never beyond the checkpoint
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    time: Option<Timestamp>,
}

impl ResetOptions {
    /// The arguments permit exactly one.
    fn target(&self) -> Option<Target> {
        let To {
            common_position,
            beginning,
            position,
            time,
        } = &self.to;
        let log_id = self.log_id.clone();
        match (common_position, position, log_id) {
            (Some(common_position), _, Some(log_id)) => Some(Target::ContinueIn(ContinueIn {
                log_id,
                common_position: *common_position,
            })),
            (_, Some(position), Some(log_id)) => Some(Target::LogPosition(LogPosition {
                log_id,
                position: *position,
            })),
            (_, Some(position), None) => Some(Target::Position(*position)),
            _ if *beginning => Some(Target::Beginning(true)),
            _ => time.map(Target::Time),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ParkedCommand {
    /// List events that could not be processed
    List {
        #[command(flatten)]
        which: Which,
        /// Only events in this state; repeatable
        #[arg(long = "state", value_name = "STATE")]
        states: Vec<State>,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Process parked events again, and print what became of them
    Retry(Selected),
    /// Discard parked events: they stay on record, and are not processed
    Discard(Selected),
}

/// Parked events; all conditions have to hold.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Ids as `atlas parked list` prints them; any if absent
    ids: Vec<u64>,
    /// Only events of this source
    #[arg(long, value_name = "NAME", default_value = "")]
    source: String,
    /// Only events of this type, such as SeriesCollectedEvent or custom:OrderPlaced
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    event_type: String,
    /// Only events whose reason contains this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Selected {
    #[command(flatten)]
    which: Which,
    /// Select all parked events
    #[arg(long, conflicts_with_all = ["ids", "source", "event_type", "reason"])]
    all: bool,
}

/// The state of a parked event.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Parked,
    Retrying,
    Resolved,
    Discarded,
}

impl From<State> for ParkedEventState {
    fn from(state: State) -> Self {
        match state {
            State::Parked => Self::Parked,
            State::Retrying => Self::Retrying,
            State::Resolved => Self::Resolved,
            State::Discarded => Self::Discarded,
        }
    }
}

impl Which {
    fn filter(&self) -> ParkedEventFilter {
        ParkedEventFilter {
            ids: self.ids.clone(),
            source: self.source.clone(),
            event_type: self.event_type.clone(),
            reason_contains: self.reason.clone(),
            ..ParkedEventFilter::default()
        }
    }
}

impl Selected {
    fn filter(&self) -> Result<ParkedEventFilter, Failure> {
        let filter = self.which.filter();
        if !self.all && filter == ParkedEventFilter::default() {
            let message = "name ids, --source, --type or --reason, or --all";
            return Err(Failure::Usage(message.to_owned()));
        }
        Ok(filter)
    }
}

pub(crate) async fn checkpoint(
    server: &Server,
    command: &CheckpointCommand,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut client = CheckpointsClient::new(connect(server).await?);
    let (checkpoints, format) = match command {
        CheckpointCommand::List { format } => {
            let answer = client.list_checkpoints(ListCheckpointsRequest {}).await;
            let answer = answer.map_err(|status| explain(server, status))?;
            (answer.into_inner().checkpoints, *format)
        }
        CheckpointCommand::Reset(options) => {
            let request = ResetCheckpointRequest {
                source: options.source.clone().unwrap_or_default(),
                target: options.target(),
            };
            let answer = client.reset_checkpoint(request).await;
            let answer = answer.map_err(|status| explain(server, status))?;
            (answer.into_inner().checkpoints, options.format)
        }
    };
    for checkpoint in &checkpoints {
        match format {
            Format::Json => output.json(checkpoint)?,
            Format::Text => output.line(checkpoint_line(checkpoint))?,
        }
    }
    Ok(())
}

pub(crate) async fn parked(
    server: &Server,
    command: &ParkedCommand,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut client = ParkedEventsClient::new(connect(server).await?);
    match command {
        ParkedCommand::List {
            which,
            states,
            format,
        } => {
            let mut filter = which.filter();
            let states = states.iter().copied().map(ParkedEventState::from);
            filter.states = states.map(i32::from).collect();
            let mut request = ListParkedEventsRequest {
                filter: Some(filter),
                ..ListParkedEventsRequest::default()
            };
            loop {
                let answer = client.list_parked_events(request.clone()).await;
                let page = answer.map_err(|status| explain(server, status))?;
                let page = page.into_inner();
                for parked in &page.parked_events {
                    match format {
                        Format::Json => output.json(parked)?,
                        Format::Text => output.line(parked_line(parked))?,
                    }
                }
                if page.next_after_id <= request.after_id {
                    return Ok(());
                }
                request.after_id = page.next_after_id;
            }
        }
        ParkedCommand::Retry(selected) => {
            let request = RetryParkedEventsRequest {
                filter: Some(selected.filter()?),
                wait: Some(pbjson_types::Duration {
                    seconds: RETRY_WAIT_SECONDS,
                    nanos: 0,
                }),
            };
            let answer = client.retry_parked_events(request).await;
            let outcome = answer.map_err(|status| explain(server, status))?;
            let outcome = outcome.into_inner();
            let done = outcome.resolved + outcome.failed;
            output.line(format_args!(
                "retried {}: {} processed, {} failed again, {} outstanding",
                outcome.marked,
                outcome.resolved,
                outcome.failed,
                outcome.marked.saturating_sub(done)
            ))?;
        }
        ParkedCommand::Discard(selected) => {
            let request = DiscardParkedEventsRequest {
                filter: Some(selected.filter()?),
            };
            let answer = client.discard_parked_events(request).await;
            let outcome = answer.map_err(|status| explain(server, status))?;
            let discarded = outcome.into_inner().discarded;
            output.line(format_args!("discarded {discarded}"))?;
        }
    }
    Ok(())
}

/// The services of consumers are served by consumers alone.
fn explain(server: &Server, status: Status) -> Failure {
    if status.code() != Code::Unimplemented {
        return status.into();
    }
    Failure::Usage(format!(
        "{} consumes no logs; name a server that does, such as the threshold engine: \
         --server http://127.0.0.1:5101",
        server.address
    ))
}

fn checkpoint_line(checkpoint: &Checkpoint) -> String {
    let source = clean(&checkpoint.source);
    let place = match (checkpoint.position, checkpoint.last_processed) {
        (Some(position), _) => {
            format!(
                "after position {position} of the log {}",
                clean(&checkpoint.log_id)
            )
        }
        (None, Some(at)) => format!("seeks {}", time(Some(at))),
        (None, None) => "from the beginning".to_owned(),
    };
    if checkpoint.stopped_reason.is_empty() {
        return format!("{source}: {place}");
    }
    let (at, reason) = (
        time(checkpoint.stopped_at),
        clean(&checkpoint.stopped_reason),
    );
    format!("{source}: {place}; STOPPED at {at}: {reason}")
}

fn parked_line(parked: &ParkedEvent) -> String {
    let event = parked.event.as_ref();
    let (position, event_id) = event.map_or((0, ""), |event| (event.position, &*event.event_id));
    let state = parked.state().as_str_name();
    let state = state
        .trim_start_matches("PARKED_EVENT_STATE_")
        .to_ascii_lowercase();
    let plural = if parked.attempts == 1 { "" } else { "s" };
    format!(
        "{:>6}  {}  {state:<9}  {} at position {position}  {}  {} attempt{plural}  {}: {}",
        parked.id,
        time(parked.parked_at),
        clean(&parked.source),
        clean(event_id),
        parked.attempts,
        clean(&parked.handler),
        clean(&parked.reason)
    )
}
