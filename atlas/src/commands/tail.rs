//! `atlas tail`: a subscription that survives its server.

use std::time::Duration;

use atlas_events::{
    Event, GetLogInfoRequest, SubscriptionRequest, event::Payload,
    event_log_client::EventLogClient, event_stream_client::EventStreamClient,
};
use futures::FutureExt;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::{
    arguments::{Format, TailOptions, Wanted},
    client::{
        backoff::Backoff,
        connection::{Connection, Server, connect},
        cursor::{Cursor, Gap, Start},
        diagnosis,
        failure::Failure,
    },
    print::{
        output::{Output, note},
        text::Renderer,
    },
};

/// A stream counts as lost when it is silent for this many heartbeats.
const HEARTBEATS_MISSED: u32 = 3;

pub(crate) async fn run(
    server: &Server,
    options: &TailOptions,
    output: &mut Output,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let mut tail = Tail::new(server, options, output);
    let ended = stop.run_until_cancelled(tail.run()).await;
    // Whoever closed the pipe has what it wanted.
    let interrupted = !matches!(ended, Some(Ok(()) | Err(Failure::Output(_))));
    if let Some(position) = tail.cursor.after()
        && (interrupted || options.verbose)
    {
        let log_id = &tail.log_id;
        note(format_args!(
            "resume with --after {position} --log-id {log_id}"
        ));
    }
    ended.unwrap_or(Ok(()))
}

struct Tail<'a> {
    server: &'a Server,
    options: &'a TailOptions,
    output: &'a mut Output,
    /// The log that the cursor belongs to; empty until the first connection.
    log_id: String,
    /// Whether the log was asked who it is.
    identified: bool,
    start: Start,
    cursor: Cursor,
    renderer: Renderer,
    printed: u64,
    backoff: Backoff,
    /// When the server last said something.
    heard_at: Instant,
}

impl<'a> Tail<'a> {
    fn new(server: &'a Server, options: &'a TailOptions, output: &'a mut Output) -> Self {
        let start = match (options.after, options.since, options.last) {
            (Some(position), ..) => Start::After(position),
            (_, Some(time), _) => Start::Since(time),
            (.., Some(events)) => Start::Last(events),
            _ if options.from_beginning => Start::Beginning,
            _ => Start::Live,
        };
        Self {
            server,
            options,
            output,
            log_id: options.log_id.clone(),
            identified: false,
            start,
            cursor: Cursor::new(start, options.wanted.is_everything()),
            renderer: Renderer::new(options.printing),
            printed: 0,
            backoff: Backoff::default(),
            heard_at: Instant::now(),
        }
    }

    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let failure = match self.follow().await {
                Ok(()) => return Ok(()),
                Err(failure) if !failure.is_transient() => return Err(failure),
                Err(failure) => failure,
            };
            self.output.flush()?;
            let away = self.heard_at.elapsed();
            let at_once = self.options.no_follow.then_some(Duration::ZERO);
            let away_max = self.options.give_up_after.or(at_once);
            if away_max.is_some_and(|most| away >= most) {
                return Err(failure);
            }
            if let Some(mistake) = diagnosis::mistake(self.server, &failure).await {
                return Err(mistake);
            }
            let pause = self.backoff.next(rand::random());
            let seconds = pause.as_secs_f64();
            note(format_args!("{failure}; trying again in {seconds:.1} s"));
            tokio::time::sleep(pause).await;
        }
    }

    /// Follows one subscription until what was asked for is printed.
    async fn follow(&mut self) -> Result<(), Failure> {
        let channel = connect(self.server).await?;
        if !self.identified {
            self.identify(channel.clone()).await?;
        }
        let options = self.options;
        let mut request = SubscriptionRequest {
            event_types: options.wanted.event_types(),
            series_ids: options.wanted.series_ids.clone(),
            log_id: self.log_id.clone(),
            consumer: options.consumer.clone(),
            heartbeat_interval: Some(options.heartbeat.into()),
            ..SubscriptionRequest::default()
        };
        self.cursor.apply(&mut request);
        let mut client = EventStreamClient::new(channel);
        let mut stream = client.subscribe_to_events(request).await?.into_inner();
        loop {
            let event = self.next(&mut stream).await?;
            self.backoff.reset();
            self.heard_at = Instant::now();
            if self.take(&event)? {
                return Ok(());
            }
        }
    }

    /// Learns which log this is and where it stands. From here on another log is refused.
    async fn identify(&mut self, channel: Connection) -> Result<(), Failure> {
        let mut client = EventLogClient::new(channel);
        let answer = client.get_log_info(GetLogInfoRequest {}).await?;
        let info = answer.into_inner();
        if !self.log_id.is_empty() && self.log_id != info.log_id {
            let (found, wanted) = (info.log_id, &self.log_id);
            let server = &self.server.address;
            let problem = format!("{server} serves log {found}, not {wanted}");
            return Err(Failure::Gap(problem));
        }
        self.cursor.anchor(&info);
        self.log_id = info.log_id;
        self.identified = true;
        Ok(())
    }

    /// The next message. What was printed becomes visible before waiting for it.
    async fn next(&mut self, stream: &mut Streaming<Event>) -> Result<Event, Failure> {
        let silence_max = (self.options.heartbeat * HEARTBEATS_MISSED).max(Duration::from_secs(2));
        let next = match stream.message().now_or_never() {
            Some(next) => next,
            None => {
                self.output.flush()?;
                timeout(silence_max, stream.message())
                    .await
                    .unwrap_or_else(|_| {
                        let seconds = silence_max.as_secs_f64();
                        let message = format!("nothing was heard for {seconds:.1} s");
                        Err(Status::deadline_exceeded(message))
                    })
            }
        };
        Ok(next?.ok_or_else(|| Status::unavailable("the server ended the stream"))?)
    }

    /// Prints what came; true once that was all.
    fn take(&mut self, event: &Event) -> Result<bool, Failure> {
        let lost = |gap: Gap| Failure::Gap(gap.to_string());
        let (marker, caught_up) = match &event.payload {
            Some(Payload::Heartbeat(heartbeat)) => (Some(heartbeat.position), false),
            Some(Payload::FellBehind(behind)) => (Some(behind.position), false),
            Some(Payload::CaughtUp(caught_up)) => (Some(caught_up.position), true),
            _ => (None, false),
        };
        if let Some(position) = marker {
            self.cursor.marker(position).map_err(lost)?;
            if self.options.verbose {
                self.print(event)?;
            }
            let began_before = !matches!(self.start, Start::Live);
            let is_filtered = !self.options.wanted.is_everything();
            if caught_up && self.printed == 0 && began_before && is_filtered {
                nothing_matched(&self.options.wanted);
            }
            return Ok(caught_up && self.options.no_follow);
        }
        self.cursor.event(event.position).map_err(lost)?;
        if !self.options.wanted.admits(event) {
            return Ok(false);
        }
        self.print(event)?;
        self.printed += 1;
        Ok(self
            .options
            .count
            .is_some_and(|count| self.printed >= count))
    }

    fn print(&mut self, event: &Event) -> Result<(), Failure> {
        match self.options.printing.format {
            Format::Json => self.output.json(event)?,
            Format::Text => self.output.line(self.renderer.line(event))?,
        }
        Ok(())
    }
}

/// Names are compared as they are: a typing mistake finds nothing.
pub(crate) fn nothing_matched(wanted: &Wanted) {
    let names = [
        ("type", &wanted.event_types),
        ("series", &wanted.series_ids),
        ("pattern", &wanted.pattern_ids),
        ("severity", &wanted.severities),
    ];
    let names: Vec<String> = names
        .iter()
        .flat_map(|(flag, values)| values.iter().map(move |value| format!("{flag} {value}")))
        .collect();
    let names = service::visible(&names.join(", ")).into_owned();
    note(format_args!(
        "no stored event of these times matches {names}; names are compared exactly"
    ));
}
