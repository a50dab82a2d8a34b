//! Connections that can be cut at the end of a server.
//!
//! A client that takes nothing any more keeps its stream, and with it its connection, for as long as
//! it likes: what was sent before the end of the stream waits for its window.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// A connection that fails once it is cut.
pub(crate) struct Cuttable<C> {
    connection: C,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_cut: bool,
}

impl<C> Cuttable<C> {
    pub(crate) fn new(connection: C, cut: CancellationToken) -> Self {
        Self {
            connection,
            cut: Box::pin(cut.cancelled_owned()),
            is_cut: false,
        }
    }

    /// What becomes of a connection that is waited for: only then it is looked whether it is cut.
    fn unless_cut<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        self.is_cut = self.is_cut || self.cut.as_mut().poll(context).is_ready();
        match self.is_cut {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            false => Poll::Pending,
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Cuttable<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.connection).poll_read(context, buffer);
        self.unless_cut(context, read)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Cuttable<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write(context, bytes);
        self.unless_cut(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write_vectored(context, slices);
        self.unless_cut(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.connection).poll_flush(context);
        self.unless_cut(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.connection).poll_shutdown(context);
        self.unless_cut(context, ended)
    }
}

impl<C: Connected> Connected for Cuttable<C> {
    type ConnectInfo = C::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.connect_info()
    }
}
