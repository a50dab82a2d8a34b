//! A connection is closed so that its client gets the answer.
//!
//! Where a request is answered before all of its body is read, the client may still send. Were its connection closed
//! then, the system would answer what comes with a reset, on which the client's system may drop the answer and its
//! HTTP library gives up.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::HttpBody,
    http::{HeaderValue, Response, header},
};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// So much of what a client still sends is read, and dropped: several times what any body may have.
pub(super) const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// For so long.
const TIME_MAX: Duration = Duration::from_secs(10);
/// A client that sends nothing for so long has done with it.
const SILENCE_MAX: Duration = Duration::from_secs(2);
const PART_BYTES: usize = 16 * 1024;

/// Whether a connection's last request was left before its end. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// The body of the next request.
    pub(super) fn watch(&self, body: Incoming) -> WatchedBody {
        self.0.store(!body.is_end_stream(), Ordering::Relaxed);
        WatchedBody {
            body,
            unread: self.clone(),
        }
    }

    /// The client may still send, whatever was read.
    pub(super) fn leave(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_left(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An answer to the last request, which says so if it is the last on its connection.
    pub(super) fn announce<B>(&self, mut answer: Response<B>) -> Response<B> {
        if self.is_left() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        answer
    }

    /// Closes a connection on which everything was answered.
    pub(super) async fn close(
        &self,
        mut connection: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<()> {
        connection.shutdown().await?;
        if self.is_left() {
            let rest = connection.take(BYTES_MAX);
            // However that ends.
            let _ = timeout(TIME_MAX, drop_all(rest)).await;
        }
        Ok(())
    }
}

/// Reads until nothing more comes.
async fn drop_all(mut rest: impl AsyncRead + Unpin) {
    let mut part = vec![0; PART_BYTES];
    while let Ok(Ok(1..)) = timeout(SILENCE_MAX, rest.read(&mut part)).await {}
}

/// The body of a request, of which is known whether all was read.
#[derive(Debug)]
pub(super) struct WatchedBody {
    body: Incoming,
    unread: Unread,
}

impl Body for WatchedBody {
    type Data = <Incoming as Body>::Data;
    type Error = <Incoming as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.unread.0.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
