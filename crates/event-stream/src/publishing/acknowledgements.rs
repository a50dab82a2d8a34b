//! The answers of a publish stream, in the order of its requests.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use atlas_events::{
    PublishHeartbeat, PublishReceipt, PublishResponse, PublishStreamResponse,
    publish_stream_response::Outcome,
};
use event_log::{Receipt, Sequence};
use futures::{FutureExt, Stream, StreamExt};
use tokio::time::Interval;
use tonic::Status;

use crate::{
    heartbeat,
    publishing::{
        batch::IncomingBatch,
        publisher::{Client, Entering, PublisherService, Queued},
    },
    status::Refusal,
};

/// What became of a request so far.
enum Request {
    Storing(Queued),
    Refused(Refusal),
    /// It only asked for a heartbeat.
    Heartbeat,
    /// The request could not be read, and none behind it can.
    Unreadable(Status),
}

/// Queues what requests bring and answers each once it is durable. Only the oldest is waited for:
/// those stored with it are answered along with it, at the cost of one wake-up.
///
/// While a request waits for room in the queue of the log no other is read, so that flow control
/// slows the client down. The first refused request ends the stream, and nothing behind it is stored,
/// unless the first request asked to go on.
pub(crate) struct Acknowledgements<S> {
    requests: Option<S>,
    client: Client,
    service: PublisherService,
    /// What all requests belong to, from the first on.
    sequence: Option<Sequence>,
    /// The newest request, while it waits for room.
    entering: Option<Entering>,
    queued: VecDeque<Request>,
    /// Ticks once nothing was sent for as long as the client asked for.
    heartbeat: Option<Interval>,
    /// What the stream ends with, once all requests before are answered.
    end: Option<Status>,
}

impl<S> Acknowledgements<S> {
    /// Of a client.
    pub(crate) fn new(requests: S, client: Client, service: PublisherService) -> Self {
        Self {
            requests: Some(requests),
            client,
            service,
            sequence: None,
            entering: None,
            queued: VecDeque::new(),
            heartbeat: None,
            end: None,
        }
    }
}

impl<S: Stream<Item = Result<IncomingBatch, Status>> + Unpin> Acknowledgements<S> {
    /// Takes what has arrived, as far as there is room.
    fn take_requests(&mut self, context: &mut Context<'_>) {
        while self.queued.len() < self.service.unacknowledged_max {
            if let Some(entering) = &mut self.entering {
                let Poll::Ready(entered) = entering.poll_unpin(context) else {
                    return;
                };
                self.entering = None;
                self.entered(entered);
                continue;
            }
            let Some(requests) = &mut self.requests else {
                return;
            };
            let Poll::Ready(request) = requests.poll_next_unpin(context) else {
                return;
            };
            match request {
                Some(Ok(batch)) => self.check_in(batch),
                Some(Err(status)) => {
                    self.requests = None;
                    self.queued.push_back(Request::Unreadable(status));
                }
                None => self.requests = None,
            }
        }
    }

    fn check_in(&mut self, mut batch: IncomingBatch) {
        let sequence = self
            .sequence
            .get_or_insert_with(|| match batch.continue_after_refusal {
                true => Sequence::that_goes_on(),
                false => Sequence::new(),
            })
            .clone();
        if let Some(interval) = batch.heartbeat_interval.take() {
            match heartbeat::interval(interval) {
                Ok(interval) => self.heartbeat = Some(heartbeat::timer(interval)),
                Err(violation) => return self.entered(Err(Refusal::invalid(violation))),
            }
            if matches!(&batch.events, Ok(events) if events.is_empty()) {
                return self.queued.push_back(Request::Heartbeat);
            }
        }
        let cause = self.client.cause.as_ref();
        let span = self.service.tracing.publish_of_stream(cause, batch.count());
        let checked = self
            .service
            .check_in(batch, &self.client, span, Some(sequence));
        match checked {
            Ok(entering) => self.entering = Some(entering),
            Err(refusal) => self.entered(Err(refusal)),
        }
    }

    fn entered(&mut self, entered: Result<Queued, Refusal>) {
        self.queued.push_back(match entered {
            Ok(queued) => Request::Storing(queued),
            Err(refusal) => {
                if !self.goes_on() {
                    self.requests = None;
                }
                Request::Refused(refusal)
            }
        });
    }

    fn goes_on(&self) -> bool {
        self.sequence.as_ref().is_some_and(Sequence::goes_on)
    }

    /// The answer to the oldest request; nothing once there is none and none will come.
    fn answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Outcome, Status>>> {
        let outcome = match self.queued.front_mut() {
            None if self.requests.is_none() && self.entering.is_none() => {
                return Poll::Ready(self.end.take().map(Err));
            }
            None => return Poll::Pending,
            Some(Request::Storing(Queued {
                pending,
                span,
                taken_in,
            })) => {
                let stored = ready!(pending.poll_unpin(context));
                match self.service.response(stored, span, *taken_in) {
                    Ok(response) => Ok(Outcome::Stored(response)),
                    Err(refusal) => Ok(self.refuse(refusal)),
                }
            }
            Some(Request::Refused(refusal)) => {
                let refusal = refusal.clone();
                Ok(self.refuse(refusal))
            }
            Some(Request::Heartbeat) => Ok(Outcome::Heartbeat(PublishHeartbeat {})),
            Some(Request::Unreadable(status)) => Err(status.clone()),
        };
        self.queued.pop_front();
        Poll::Ready(Some(outcome))
    }

    fn refuse(&mut self, refusal: Refusal) -> Outcome {
        if !self.goes_on() {
            self.requests = None;
            self.entering = None;
            self.end
                .get_or_insert_with(|| refusal.clone().into_status());
        }
        Outcome::Refused(refusal.into_message())
    }
}

impl<S> Stream for Acknowledgements<S>
where
    S: Stream<Item = Result<IncomingBatch, Status>> + Unpin,
{
    type Item = Result<PublishStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.take_requests(context);
        let outcome = match self.answer(context) {
            Poll::Ready(outcome) => {
                if let Some(heartbeat) = &mut self.heartbeat {
                    heartbeat.reset();
                }
                outcome
            }
            Poll::Pending => {
                let Some(heartbeat) = &mut self.heartbeat else {
                    return Poll::Pending;
                };
                ready!(heartbeat.poll_tick(context));
                Some(Ok(Outcome::Heartbeat(PublishHeartbeat {})))
            }
        };
        Poll::Ready(outcome.map(|outcome| {
            Ok(PublishStreamResponse {
                outcome: Some(outcome?),
            })
        }))
    }
}

/// The answer to a batch that is durable.
pub(crate) fn response(receipts: Vec<Receipt>, log_id: uuid::Uuid) -> PublishResponse {
    let receipts = receipts.into_iter().map(|receipt| PublishReceipt {
        event_id: receipt.event_id.to_string(),
        position: receipt.position,
        duplicate: receipt.duplicate,
        recorded_at: Some(receipt.recorded_at.into()),
    });
    PublishResponse {
        receipts: receipts.collect(),
        log_id: log_id.to_string(),
    }
}
