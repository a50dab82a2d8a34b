//! `atlas token new`: makes a token and the entry that servers know it by.

use std::{
    fs::OpenOptions,
    io::Write,
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use access::{Entry, Identity, Scope, Secret};
use chrono::{SubsecRound, Utc};
use clap::{Args, Subcommand};

use crate::{client::failure::Failure, print::output::Output};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token: prints it once, with the entry for the file that auth.tokens_file names
    New(NewToken),
}

#[derive(Debug, Args)]
pub(crate) struct NewToken {
    /// Who is to use it, for the audit log
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What for: read, publish, admin, alerts:read or alerts:write; repeatable
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<Scope>,
    /// Only events of this source service; repeatable
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<String>,
    /// Only events of this type; repeatable
    #[arg(long = "type", value_name = "TYPE")]
    event_types: Vec<String>,
    /// Only what is about this series; repeatable
    #[arg(long = "series", value_name = "SERIES")]
    series: Vec<String>,
    /// How long it is valid, such as 90d; without it, until its entry is removed
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    /// At most this many events published in a second
    #[arg(long, value_name = "EVENTS")]
    events_per_second: Option<NonZeroU32>,
    /// At most this many bytes of events in one publish
    #[arg(long, value_name = "BYTES")]
    batch_bytes_max: Option<u64>,
    /// At most this many open streams
    #[arg(long, value_name = "STREAMS")]
    streams_max: Option<u32>,
    /// Append the entry to this file, and print the token alone
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
    /// Write the token to this new file, which only its owner can read, and do not print it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(command: &TokenCommand, output: &mut Output) -> Result<(), Failure> {
    let TokenCommand::New(options) = command;
    let secret = Secret::generate()
        .map_err(|error| Failure::Input(format!("the system gives no entropy: {error}")))?;
    let entry = access::render(&options.entry(&secret)?);
    // Checked as a server would.
    access::parse(&entry).map_err(|error| Failure::Usage(error.to_string()))?;
    // First, so that no entry is added for a token that nobody has.
    if let Some(file) = &options.out {
        write_secret(file, &secret)?;
    }
    let shown = options.out.is_none().then(|| secret.expose());
    match (&options.append, shown) {
        (Some(file), shown) => {
            append(file, &entry)?;
            if let Some(secret) = shown {
                output.line(secret)?;
            }
        }
        (None, shown) => {
            if let Some(secret) = shown {
                output.line(format_args!("# The token, shown this once: {secret}"))?;
            }
            output.line("# For the file that auth.tokens_file names:")?;
            output.line(entry.trim_end())?;
        }
    }
    Ok(())
}

/// Writes a token to a file that is not there yet, for its owner alone from the first moment on.
fn write_secret(file: &Path, secret: &Secret) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::Input(format!("{}: {error}", file.display()));
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let mut opened = opened.map_err(wrong)?;
    writeln!(opened, "{}", secret.expose()).map_err(wrong)
}

impl NewToken {
    fn entry(&self, secret: &Secret) -> Result<Entry, Failure> {
        let list = |given: &Vec<String>| {
            (!given.is_empty()).then(|| Arc::<[String]>::from(given.as_slice()))
        };
        let too_long = || Failure::Usage("--expires is too far away".to_owned());
        let expires = self.expires.map(|duration| {
            let duration = chrono::TimeDelta::from_std(duration).map_err(|_| too_long())?;
            let now = Utc::now().trunc_subsecs(0);
            now.checked_add_signed(duration).ok_or_else(too_long)
        });
        Ok(Entry {
            sources: list(&self.sources),
            event_types: list(&self.event_types),
            series: list(&self.series),
            expires: expires.transpose()?,
            events_per_second: self.events_per_second,
            batch_bytes_max: self.batch_bytes_max,
            streams_max: self.streams_max,
            ..Entry::new(
                &self.name,
                Identity::Token(secret.hash()),
                self.scopes.clone(),
            )
        })
    }
}

/// Adds an entry to a file, which with it is still one that a server takes.
fn append(file: &Path, entry: &str) -> Result<(), Failure> {
    let wrong = |problem: String| Failure::Input(format!("{}: {problem}", file.display()));
    let before = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let separator = if before.is_empty() { "" } else { "\n" };
    access::parse(&format!("{before}{separator}{entry}"))
        .map_err(|error| wrong(error.to_string()))?;
    let opened = OpenOptions::new().create(true).append(true).open(file);
    let mut opened = opened.map_err(|error| wrong(error.to_string()))?;
    // In one write, so that a server that reads meanwhile sees all or nothing of it.
    let written = opened.write_all(format!("{separator}{entry}").as_bytes());
    written.map_err(|error| wrong(error.to_string()))
}
