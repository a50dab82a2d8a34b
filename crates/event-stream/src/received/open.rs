//! Streams for which no token is needed, health watches and reflection: how many there are, and how
//! long each may last.

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use access::{HeldBytes, NoPlace, Place, Places};
use bytes::Bytes;
use http::Extensions;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::DropGuard;
use tonic::{Code, Status, body::Body};

use crate::{
    frames, guard,
    reading::subscription::lifetime,
    serve::stalled::{Cut, READING_GRACE},
    status::Refusal,
};

/// How long such a stream lasts where subscriptions last for ever.
const AGE_MAX: Duration = Duration::from_secs(3_600);

/// The streams of a server for which no token is needed.
#[derive(Debug, Clone)]
pub(crate) struct OpenStreams {
    places: Places,
    age_max: Duration,
}

impl OpenStreams {
    /// They end as subscriptions do, which end after about `stream_age_max`.
    pub(crate) fn new(places: Places, stream_age_max: Option<Duration>) -> Self {
        Self {
            places,
            age_max: stream_age_max.unwrap_or(AGE_MAX),
        }
    }

    /// A stream for whoever made a request with these extensions.
    pub(super) fn begin(&self, extensions: &Extensions) -> Result<OpenStream, Refusal> {
        let address = guard::peer(extensions).address.map(|address| address.ip());
        // Connections without an address are of this process.
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let place = self.places.take(address).map_err(too_many)?;
        let lifetime = lifetime(self.age_max, rand::random());
        let watch = Cut::of(extensions).unless_ended(READING_GRACE, async move {
            sleep(lifetime).await;
            "STREAM_AGE"
        });
        Ok(OpenStream {
            over: Box::pin(sleep(lifetime)),
            _place: place,
            _watch: watch,
        })
    }
}

fn too_many(none: NoPlace) -> Refusal {
    let message = format!("too many streams without a token are open: {none}; try again later");
    let limited = match none {
        NoPlace::Full => "server",
        NoPlace::Address => "address",
    };
    Refusal::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", message).with("limited", limited)
}

/// The place of such a stream, and when it has to end.
pub(super) struct OpenStream {
    over: Pin<Box<Sleep>>,
    _place: Place,
    /// Ends the connection of a client that does not read.
    _watch: DropGuard,
}

/// An answer that costs something for as long as it is not complete.
pub(super) struct OpenAnswer {
    inner: Body,
    /// `None` for an answer of one message.
    stream: Option<OpenStream>,
    has_ended: bool,
    _held: Option<Arc<HeldBytes>>,
}

impl OpenAnswer {
    pub(super) fn new(
        inner: Body,
        stream: Option<OpenStream>,
        held: Option<Arc<HeldBytes>>,
    ) -> Self {
        Self {
            inner,
            stream,
            has_ended: false,
            _held: held,
        }
    }
}

impl http_body::Body for OpenAnswer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let over = self.stream.as_mut().map(|stream| stream.over.as_mut());
        if over.is_some_and(|over| over.poll(context).is_ready()) {
            self.has_ended = true;
            let message = "the stream has reached its age; open another";
            let refusal = Refusal::new(Code::Unavailable, "STREAM_AGE", message);
            return Poll::Ready(Some(Ok(frames::trailers(&refusal.into_status()))));
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
