//! Connections that last no longer than the certificate with which they began is trusted.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use rustls::{
    pki_types::{CertificateDer, UnixTime},
    server::danger::ClientCertVerifier as _,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::sleep,
};
use tracing::debug;

use crate::security::tls::authorities::Authorities;

/// The clock of the machine can be set; a wait is therefore not long.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// What certificates of clients are checked with now; `None`: there is nothing to check.
pub(crate) type Trust = Option<Arc<Authorities>>;

/// A connection that ends once its certificate is not trusted any more.
pub(crate) struct Lasting {
    stream: TcpStream,
    /// Resolves then; `None` while it lasts without end.
    over: Option<BoxFuture<'static, ()>>,
    is_over: bool,
}

impl std::fmt::Debug for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stream.fmt(f)
    }
}

impl Lasting {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            over: None,
            is_over: false,
        }
    }

    /// From now on it lasts as long as this chain is trusted.
    pub(crate) fn as_long_as(
        &mut self,
        chain: Vec<CertificateDer<'static>>,
        expires: DateTime<Utc>,
        trust: watch::Receiver<Trust>,
    ) {
        self.over = Some(Box::pin(distrusted(chain, expires, trust)));
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(over) = &mut self.over
            && over.as_mut().poll(context).is_ready()
        {
            debug!("a connection ends, since its certificate is not trusted any more");
            self.over = None;
            self.is_over = true;
        }
        match self.is_over {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

/// Resolves once a chain of certificates is not trusted any more.
async fn distrusted(
    chain: Vec<CertificateDer<'static>>,
    expires: DateTime<Utc>,
    mut trust: watch::Receiver<Trust>,
) {
    let Some((own, between)) = chain.split_first() else {
        return;
    };
    loop {
        let Some(authorities) = trust.borrow_and_update().clone() else {
            return;
        };
        let verified = authorities.verify_client_cert(own, between, UnixTime::now());
        if verified.is_err() {
            return;
        }
        let next_expires = authorities.next_expires(Utc::now());
        let expires = next_expires.map_or(expires, |next| next.min(expires));
        loop {
            // Whole seconds: it is valid during its last one.
            let remaining = (expires - Utc::now()).to_std().unwrap_or_default();
            let pause = remaining + Duration::from_secs(1);
            tokio::select! {
                changed = trust.changed() => match changed {
                    Ok(()) => break,
                    // The listener has ended; who is still connected is ended by the service.
                    Err(_) => return std::future::pending().await,
                },
                () = sleep(pause.min(LOOK_INTERVAL)) => if Utc::now() > expires {
                    break;
                },
            }
        }
    }
}

impl AsyncRead for Lasting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lasting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
