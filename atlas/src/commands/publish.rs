//! `atlas publish`: stores events and prints their positions.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use atlas_events::{
    Event, PublishReceipt, PublishRequest, event_publisher_client::EventPublisherClient,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::{
    arguments::{Format, PublishOptions},
    client::{
        backoff::Backoff,
        connection::{Connection, Server, connect},
        failure::Failure,
    },
    commands::input::{EventFile, from_flags},
    print::output::{Output, note},
};

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    server: &Server,
    options: &PublishOptions,
    output: &mut Output,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let Some(path) = &options.file else {
        let event = from_flags(options)?;
        let mut publisher = Publisher::connect(server, options, stop).await?;
        return print(&publisher.publish(vec![event]).await?, options, output);
    };
    let mut file = EventFile::open(path, options)?;
    let mut publisher = Publisher::connect(server, options, stop).await?;
    let mut progress = Progress::new();
    let ended = async {
        loop {
            let batch = file.next_batch()?;
            if batch.is_empty() || stop.is_cancelled() {
                return Ok(());
            }
            let receipts = publisher.publish(batch).await?;
            print(&receipts, options, output)?;
            progress.add(&receipts);
        }
    }
    .await;
    progress.summary();
    ended
}

struct Publisher<'a> {
    client: EventPublisherClient<Connection>,
    options: &'a PublishOptions,
    stop: &'a CancellationToken,
}

impl<'a> Publisher<'a> {
    async fn connect(
        server: &Server,
        options: &'a PublishOptions,
        stop: &'a CancellationToken,
    ) -> Result<Self, Failure> {
        Ok(Self {
            client: EventPublisherClient::new(connect(server).await?),
            options,
            stop,
        })
    }

    /// Publishes a batch. While the server is away, or does not know whether it stored the batch, it
    /// is sent again: its ids make that harmless.
    async fn publish(&mut self, events: Vec<Event>) -> Result<Vec<PublishReceipt>, Failure> {
        let mut backoff = Backoff::default();
        let mut attempts = 0;
        let mut outcome_unknown = false;
        loop {
            let request = PublishRequest {
                events: events.clone(),
                ..PublishRequest::default()
            };
            let status = match self.client.publish(request).await {
                Ok(answer) => return check(answer.into_inner().receipts, &events),
                Err(status) => status,
            };
            attempts += 1;
            outcome_unknown |= may_have_stored(&status);
            let failure = Failure::from(status);
            if !failure.is_transient() || attempts >= self.options.attempts {
                return Err(give_up(failure, attempts, outcome_unknown));
            }
            let pause = backoff.next(rand::random());
            let seconds = pause.as_secs_f64();
            note(format_args!("{failure}; trying again in {seconds:.1} s"));
            let slept = self.stop.run_until_cancelled(tokio::time::sleep(pause));
            if slept.await.is_none() {
                return Err(give_up(failure, attempts, outcome_unknown));
            }
        }
    }
}

/// A refusal by the server's own rules stored nothing; a connection that broke may have.
fn may_have_stored(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => !crate::client::failure::reason(status).contains("NOT_STORED"),
        Code::Unknown
        | Code::Cancelled
        | Code::Internal
        | Code::Aborted
        | Code::DeadlineExceeded => true,
        _ => false,
    }
}

fn give_up(failure: Failure, attempts: u32, outcome_unknown: bool) -> Failure {
    match failure {
        Failure::Status(status) if outcome_unknown => Failure::OutcomeUnknown { attempts, status },
        other => other,
    }
}

fn check(receipts: Vec<PublishReceipt>, events: &[Event]) -> Result<Vec<PublishReceipt>, Failure> {
    match receipts.len() == events.len() {
        true => Ok(receipts),
        false => {
            let (sent, answered) = (events.len(), receipts.len());
            let problem = format!("{sent} events were acknowledged by {answered} receipts");
            Err(Failure::Gap(problem))
        }
    }
}

fn print(
    receipts: &[PublishReceipt],
    options: &PublishOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    if options.quiet {
        return Ok(());
    }
    for receipt in receipts {
        match options.format {
            Format::Json => output.json(receipt)?,
            Format::Text => {
                let stored = match receipt.duplicate {
                    true => "was stored before",
                    false => "stored",
                };
                let (position, id) = (receipt.position, &receipt.event_id);
                output.line(format_args!("{position:>8}  {id}  {stored}"))?;
            }
        }
    }
    Ok(output.flush()?)
}

struct Progress {
    started: Instant,
    reported_at: Instant,
    stored: u64,
    duplicates: u64,
    live: bool,
}

impl Progress {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            reported_at: now,
            stored: 0,
            duplicates: 0,
            live: stderr().is_terminal(),
        }
    }

    fn add(&mut self, receipts: &[PublishReceipt]) {
        let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count() as u64;
        self.duplicates += duplicates;
        self.stored += receipts.len() as u64 - duplicates;
        if self.live && self.reported_at.elapsed() >= PROGRESS_INTERVAL {
            self.reported_at = Instant::now();
            self.summary();
        }
    }

    fn summary(&self) {
        let Self {
            stored, duplicates, ..
        } = self;
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = (stored + duplicates) as f64 / seconds.max(0.001);
        note(format_args!(
            "{stored} stored, {duplicates} stored before, {rate:.0} a second"
        ));
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn unavailable(reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "atlas.events", []);
        Status::with_error_details(Code::Unavailable, "away", details)
    }

    #[test]
    fn only_a_server_that_says_so_stored_nothing() {
        assert!(!may_have_stored(&unavailable("NOT_STORED")));
        assert!(may_have_stored(&unavailable("OUTCOME_UNKNOWN")));
        assert!(may_have_stored(&Status::unavailable("broken pipe")));
        assert!(!may_have_stored(&Status::invalid_argument("no")));
    }

    #[test]
    fn an_unknown_outcome_is_reported_as_such() {
        let status = || Failure::from(unavailable("NOT_STORED"));
        assert_eq!(give_up(status(), 3, true).exit_code(), 6);
        assert_eq!(give_up(status(), 3, false).exit_code(), 3);
    }
}
