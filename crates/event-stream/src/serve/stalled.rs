//! Streams whose clients do not read, and connections whose clients do not begin.
//!
//! HTTP/2 asks a stream for more only when its client has room for it. A stream whose client reads
//! nothing learns neither that it has to end nor that its client may not read any longer, and keeps
//! its place for ever. A watch beside the stream ends the connection then, with what else is open on
//! it: a single stream cannot be reached from outside.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Extensions;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tracing::warn;

use crate::received::ConnectionBytes;

/// A stream of events that has to end is given so long to do it by itself.
pub(crate) const READING_GRACE: Duration = Duration::from_secs(5);
/// The same for a stream of publishes, which first answers what it has read.
pub(crate) const PUBLISHING_GRACE: Duration = Duration::from_secs(15);

/// Ends a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(CancellationToken);

impl Cut {
    /// The one of the connection that a request came by.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Watches a stream until the guard is dropped: once it is `over`, it has to end by itself
    /// within a grace.
    pub(crate) fn unless_ended(
        self,
        grace: Duration,
        over: impl Future<Output = &'static str> + Send + 'static,
    ) -> DropGuard {
        let ended = CancellationToken::new();
        let until = ended.clone();
        tokio::spawn(until.run_until_cancelled_owned(async move {
            let reason = over.await;
            sleep(grace).await;
            warn!(
                reason,
                "a client does not read its stream; ending its connection"
            );
            self.0.cancel();
        }));
        ended.drop_guard()
    }
}

/// How long a stream may be there.
#[derive(Debug)]
pub(crate) enum Lifetime {
    /// As long as it likes.
    Unbounded,
    /// So long in all.
    InAll(Duration),
    /// So long without a step, of which the counter is one more each time.
    WithoutStep(Duration, Arc<AtomicU64>),
}

impl Lifetime {
    /// Resolves once it is over.
    pub(crate) async fn over(self) {
        match self {
            Self::Unbounded => std::future::pending().await,
            Self::InAll(lifetime) => sleep(lifetime).await,
            Self::WithoutStep(patience, steps) => loop {
                let seen = steps.load(Ordering::Relaxed);
                sleep(patience).await;
                if steps.load(Ordering::Relaxed) == seen {
                    return;
                }
            },
        }
    }
}

/// What a client of HTTP/2 begins with: a preface of 24 bytes, and the head of a frame of settings.
/// From then on a connection is asked whether it lives; before, it could stay for ever.
const BEGINNING_BYTES: usize = 24 + 9;

/// A connection that can be ended from outside, and ends by itself if its client does not begin.
pub(crate) struct Connection<C> {
    inner: C,
    cut: Cut,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    beginning: Option<Beginning>,
    bytes: ConnectionBytes,
}

/// A connection whose client is still to begin.
struct Beginning {
    bytes_read: usize,
    late: Pin<Box<Sleep>>,
}

/// What the transport knows of a connection, and how to end it.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionInfo<I> {
    pub(crate) inner: I,
    pub(crate) cut: Cut,
    pub(crate) bytes: ConnectionBytes,
}

impl<C> Connection<C> {
    /// A connection that is to begin within `preface_timeout`.
    pub(crate) fn new(inner: C, bytes: ConnectionBytes, preface_timeout: Duration) -> Self {
        let cut = Cut::default();
        let beginning = Beginning {
            bytes_read: 0,
            late: Box::pin(sleep(preface_timeout)),
        };
        Self {
            inner,
            is_cut: Box::pin(cut.0.clone().cancelled_owned()),
            cut,
            beginning: Some(beginning),
            bytes,
        }
    }
}

impl<C: Connected<ConnectInfo: Clone + Send + Sync + 'static>> Connected for Connection<C> {
    type ConnectInfo = ConnectionInfo<C::ConnectInfo>;

    fn connect_info(&self) -> Self::ConnectInfo {
        ConnectionInfo {
            inner: self.inner.connect_info(),
            cut: self.cut.clone(),
            bytes: self.bytes.clone(),
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Connection<C> {
    /// A connection is always read, so that this is where its end is noticed.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let this = &mut *self;
        let Some(beginning) = &mut this.beginning else {
            return Pin::new(&mut this.inner).poll_read(context, buffer);
        };
        let filled = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(context, buffer);
        beginning.bytes_read += buffer.filled().len() - filled;
        if beginning.bytes_read >= BEGINNING_BYTES {
            this.beginning = None;
        } else if read.is_pending() && beginning.late.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Connection<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
