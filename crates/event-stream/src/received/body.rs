//! The body of a request, as it comes in.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use access::HeldBytes;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

use crate::status::Refusal;

use super::{
    Bounded, BoundedService, CALL_BYTES, Terms,
    prefixes::{Prefixes, Seen},
};

/// A body whose messages are checked before their bytes are collected.
///
/// The memory of a message is asked for once its length is known, so that is when it counts, beyond
/// what every call holds. A call with one message holds it until it is answered; a stream until it is
/// read on, when the one before has been taken in.
pub(super) struct Received {
    inner: Body,
    terms: Terms,
    bounds: Bounded,
    held: Option<Arc<HeldBytes>>,
    /// Whether that is more than what every call holds.
    holds_more: bool,
    messages: Prefixes,
    /// Runs from the first moment that the client keeps us waiting. While a stream is not read, the
    /// client is not waited for.
    late: Option<Pin<Box<Sleep>>>,
    /// Why the message behind what was handed on is not taken.
    refusal: Option<Refusal>,
    is_over: bool,
}

impl Received {
    pub(super) fn new(
        inner: Body,
        terms: Terms,
        bounds: Bounded,
        held: Option<Arc<HeldBytes>>,
    ) -> Self {
        Self {
            inner,
            terms,
            bounds,
            held,
            holds_more: false,
            messages: Prefixes::default(),
            late: None,
            refusal: None,
            is_over: false,
        }
    }

    /// How many bytes may be handed on: all, or those before the message that is refused.
    fn check(&mut self, bytes: &[u8]) -> usize {
        let (mut rest, mut complete) = (bytes, 0);
        while let Some(seen) = self.messages.next(&mut rest) {
            match seen {
                Seen::Begin(length) => {
                    if let Err(refusal) = self.begin(length) {
                        self.refusal = Some(refusal);
                        return complete;
                    }
                }
                Seen::Complete => {
                    complete = bytes.len() - rest.len();
                    if self.terms.is_stream {
                        self.late = None;
                    }
                }
            }
        }
        bytes.len()
    }

    fn begin(&mut self, length: usize) -> Result<(), Refusal> {
        if length > self.terms.bytes_max {
            return Err(Refusal::message_too_large(self.terms.bytes_max));
        }
        let beyond = beyond_call_bytes(length);
        if beyond > 0
            && let Some(held) = &self.held
        {
            held.add(beyond).map_err(Refusal::bytes_spent)?;
            self.holds_more = true;
        }
        Ok(())
    }

    /// Releases the messages of a stream that have been taken in.
    fn release_taken(&mut self) {
        if self.terms.is_stream
            && self.holds_more
            && let Some(held) = &self.held
        {
            let beyond = beyond_call_bytes(self.messages.length());
            held.shrink_to(CALL_BYTES + beyond);
            self.holds_more = beyond > 0;
        }
    }

    /// Whether the client is to send something. A stream may be silent between its messages, unless
    /// anybody may have it open.
    fn is_waited_for(&self) -> bool {
        !self.terms.is_stream || self.terms.is_open || !self.messages.is_between()
    }

    fn refuse<T>(&mut self, refusal: Refusal) -> Poll<Option<Result<T, Status>>> {
        self.is_over = true;
        let status = BoundedService::refuse(&self.bounds.metrics, &self.terms, refusal);
        Poll::Ready(Some(Err(status)))
    }
}

/// How much of a message of this length is not within what every call holds.
fn beyond_call_bytes(length: usize) -> u64 {
    (length as u64).saturating_sub(CALL_BYTES)
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        this.release_taken();
        if let Some(refusal) = this.refusal.take() {
            return this.refuse(refusal);
        }
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else {
                    return Poll::Ready(Some(Ok(frame)));
                };
                let good = this.check(data);
                match this.refusal.take_if(|_| good == 0) {
                    None if good == data.len() => Poll::Ready(Some(Ok(frame))),
                    // The refusal comes behind what is good.
                    None => Poll::Ready(Some(Ok(Frame::data(data.slice(..good))))),
                    Some(refusal) => this.refuse(refusal),
                }
            }
            Poll::Pending if this.is_waited_for() => {
                let timeout = this.bounds.message_timeout;
                let late = this.late.get_or_insert_with(|| Box::pin(sleep(timeout)));
                match late.as_mut().poll(context) {
                    Poll::Ready(()) => this.refuse(Refusal::message_late(timeout)),
                    Poll::Pending => Poll::Pending,
                }
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || (self.refusal.is_none() && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self.is_over {
            true => SizeHint::with_exact(0),
            false => self.inner.size_hint(),
        }
    }
}
