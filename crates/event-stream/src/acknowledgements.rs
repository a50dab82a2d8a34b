//! The answers of a publish stream, in the order of its requests.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use access::Access;
use atlas_events::{
    PublishReceipt, PublishRefusal, PublishRequest, PublishResponse, PublishStreamResponse,
    publish_stream_response::Outcome,
};
use event_log::Receipt;
use futures::Stream;
use tonic::Status;
use trace_context::TraceContext;

use crate::publisher::{PublisherService, Queued};

/// What became of a request so far.
enum Request {
    Storing(Queued),
    Refused(PublishRefusal),
    /// The request could not be read, and none behind it can.
    Unreadable(Status),
}

/// Queues what requests bring and answers each once it is durable. Only the oldest is waited for:
/// those stored with it are answered along with it, at the cost of one wake-up.
pub(crate) struct Acknowledgements<S> {
    requests: Option<S>,
    access: Access,
    cause: Option<TraceContext>,
    service: PublisherService,
    queued: VecDeque<Request>,
}

impl<S> Acknowledgements<S> {
    /// Of a client with an access, for a cause.
    pub(crate) fn new(
        requests: S,
        (access, cause): (Access, Option<TraceContext>),
        service: PublisherService,
    ) -> Self {
        Self {
            requests: Some(requests),
            access,
            cause,
            service,
            queued: VecDeque::new(),
        }
    }
}

impl<S: Stream<Item = Result<PublishRequest, Status>> + Unpin> Acknowledgements<S> {
    /// Takes what has arrived, as far as there is room.
    fn take_requests(&mut self, context: &mut Context<'_>) {
        while self.queued.len() < self.service.unacknowledged_max
            && let Some(requests) = &mut self.requests
            && let Poll::Ready(request) = Pin::new(requests).poll_next(context)
        {
            let Some(request) = request else {
                self.requests = None;
                return;
            };
            self.queued.push_back(match request {
                Ok(request) => self.enqueue(request),
                Err(status) => {
                    self.requests = None;
                    Request::Unreadable(status)
                }
            });
        }
    }

    fn enqueue(&self, request: PublishRequest) -> Request {
        let (tracing, cause) = (&self.service.tracing, self.cause.as_ref());
        let span = tracing.publish_of_stream(cause, request.events.len());
        match self.service.enqueue(request, (&self.access, cause), span) {
            Ok(queued) => Request::Storing(queued),
            Err(refusal) => Request::Refused(refusal.into_message()),
        }
    }

    /// The answer to the oldest request; nothing once there is none and none will come.
    fn answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Outcome, Status>>> {
        let outcome = match self.queued.front_mut() {
            None if self.requests.is_none() => return Poll::Ready(None),
            None => return Poll::Pending,
            Some(Request::Storing(Queued {
                pending,
                span,
                taken_in,
            })) => {
                let stored = ready!(Pin::new(pending).poll(context));
                match self.service.response(stored, span, *taken_in) {
                    Ok(response) => Ok(Outcome::Stored(response)),
                    Err(refusal) => Ok(Outcome::Refused(refusal.into_message())),
                }
            }
            Some(Request::Refused(refusal)) => Ok(Outcome::Refused(refusal.clone())),
            Some(Request::Unreadable(status)) => Err(status.clone()),
        };
        self.queued.pop_front();
        Poll::Ready(Some(outcome))
    }
}

impl<S> Stream for Acknowledgements<S>
where
    S: Stream<Item = Result<PublishRequest, Status>> + Unpin,
{
    type Item = Result<PublishStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.take_requests(context);
        let answer = ready!(self.answer(context));
        Poll::Ready(answer.map(|outcome| {
            Ok(PublishStreamResponse {
                outcome: Some(outcome?),
            })
        }))
    }
}

/// The answer to a batch that is durable.
pub(crate) fn response(receipts: Vec<Receipt>, log_id: Uuid) -> PublishResponse {
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
