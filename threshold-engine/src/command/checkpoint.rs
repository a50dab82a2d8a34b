//! Lists and resets the checkpoints of the engine's sources in the database, whether or not an engine
//! runs.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use consumer::{Checkpoint, ConsumerAdmin, Reset};
use service::{EXIT_CONFIG, Program, fail};
use uuid::Uuid;

use crate::{
    config::{Config, Flags},
    handler::SERVICE,
    service::Service,
};

const PROGRAM: &str = Service::SETTINGS.program;

/// Lists checkpoints, and resets them.
#[derive(Debug, Args)]
pub(super) struct CheckpointOptions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the checkpoint in each source, and why the engine is stopped if it is.
    List(Flags),
    /// Resets the checkpoint and lets a stopped engine continue. Processed events are skipped there.
    Reset(ResetOptions),
}

#[derive(Debug, Args)]
struct ResetOptions {
    /// Name of the source; all if absent.
    name: Option<String>,
    #[command(flatten)]
    to: Target,
    /// For --position: the log that it is of, if not the one of the checkpoint. For
    /// --common-position: the log as it is now.
    #[arg(long, value_name = "UUID")]
    log_id: Option<Uuid>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// For a log that went back or has a new identity, whose events are those that the engine knows up
    /// to this position. Continues there, or at the checkpoint if that is before. Skips nothing.
    #[arg(long, value_name = "POSITION", requires = "log_id")]
    common_position: Option<u64>,
    /// To the first event that the log keeps. Skips nothing.
    #[arg(long)]
    beginning: bool,
    /// After this position. Earlier events that were not processed are skipped.
    #[arg(long, value_name = "POSITION")]
    position: Option<u64>,
    /// To the first event that occurred at or after this time, such as 2026-11-21T16:47:00Z; never
    /// beyond the checkpoint. In another log: 24 hours earlier. Events that were stored more than 24
    /// hours after they occurred may be skipped.
    #[arg(long, value_name = "TIME")]
    time: Option<DateTime<Utc>>,
}

impl ResetOptions {
    /// `None`: a log is given that the target has no use for.
    fn target(&self) -> Option<Reset> {
        let Target {
            common_position,
            beginning,
            position,
            time,
        } = self.to;
        match (common_position, beginning, position, time, self.log_id) {
            (Some(common_position), _, _, _, Some(log_id)) => Some(Reset::ContinueIn {
                log_id,
                common_position,
            }),
            (_, true, _, _, None) => Some(Reset::Beginning),
            (_, _, Some(position), _, None) => Some(Reset::Position(position)),
            (_, _, Some(position), _, Some(log_id)) => Some(Reset::PositionIn { log_id, position }),
            (_, _, _, Some(time), None) => Some(Reset::Time(time)),
            _ => None,
        }
    }
}

/// Does what is asked for. `before` are the flags before the command.
///
/// # Errors
/// The system gives no threads.
pub(super) fn run(before: &Flags, options: &CheckpointOptions) -> anyhow::Result<ExitCode> {
    let flags = match &options.action {
        Action::List(flags) => flags,
        Action::Reset(options) => &options.flags,
    };
    let config = match service::load::<Service>(&[before, flags]) {
        Ok(loaded) => loaded.config,
        Err(error) => return Ok(fail(PROGRAM, &error, EXIT_CONFIG)),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(match runtime.block_on(act(&options.action, &config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(PROGRAM, error.as_ref(), 1),
    })
}

async fn act(action: &Action, config: &Config) -> anyhow::Result<()> {
    let pool = service::connect(&config.common.database).await?;
    let admin = ConsumerAdmin::open(pool.clone(), SERVICE).await?;
    if let Action::Reset(options) = action {
        let to = options.target().ok_or_else(|| {
            anyhow::anyhow!("--log-id belongs to --position or --common-position")
        })?;
        admin.reset(options.name.as_deref(), to).await?;
    }
    let checkpoints = admin.checkpoints().await?;
    pool.close().await;
    let mut output = io::stdout().lock();
    for checkpoint in &checkpoints {
        print_one(&mut output, checkpoint)?;
    }
    Ok(())
}

fn print_one(output: &mut impl Write, checkpoint: &Checkpoint) -> io::Result<()> {
    let source = &checkpoint.source;
    match (
        checkpoint.position,
        checkpoint.log_id,
        checkpoint.last_processed,
    ) {
        (Some(position), Some(log_id), _) => {
            write!(
                output,
                "{source}: after position {position} of the log {log_id}"
            )?;
        }
        (_, _, Some(time)) => write!(output, "{source}: seeks {}", time.to_rfc3339())?,
        _ => write!(output, "{source}: from the beginning")?,
    }
    match &checkpoint.stop {
        Some(stop) => writeln!(
            output,
            "; STOPPED at {}: {}",
            stop.at.to_rfc3339(),
            stop.reason
        ),
        None => writeln!(output),
    }
}
