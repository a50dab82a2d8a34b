//! Connections, accepted one after the other; handshakes happen beside that.

pub(crate) mod connections;
pub(crate) mod descriptors;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use access::Peer;
use futures::{Stream, stream};
use metrics::counter;
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use crate::security::tls::{Tls, certificate, lasting::Lasting};
use connections::{Connections, Place};

/// The system has no more of something, such as file descriptors: it may, soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// To agree on TLS.
    pub(crate) handshake: Duration,
    /// To send the head of a request, from the end of the one before.
    pub(crate) head: Duration,
    /// To take some of an answer.
    pub(crate) answer: Duration,
}

/// The connections of a listener.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    connections: Connections,
    patience: Patience,
    handshakes: JoinSet<Result<Connection, &'static str>>,
    /// First part of the names of metrics, and the name of the listener.
    name: (&'static str, &'static str),
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    peer: Peer,
    _place: Place,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<Lasting>>),
}

/// Who is at the other end of a connection for REST.
#[derive(Debug, Clone)]
pub(crate) struct RestPeer(pub(crate) Peer);

/// Why a handshake can fail, as a label.
const FAILURES: [&str; 2] = ["failed", "timed_out"];

/// Has the counters of a listener be there, with 0.
pub(crate) fn begin_counting(prefix: &str, listener: &'static str) {
    for reason in FAILURES {
        count_failed(prefix, listener, reason, 0);
    }
}

fn count_failed(prefix: &str, listener: &'static str, reason: &'static str, count: u64) {
    let name = format!("{prefix}_tls_handshakes_failed_total");
    counter!(name, "listener" => listener, "reason" => reason).increment(count);
}

impl Incoming {
    pub(crate) fn new(
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        connections: Connections,
        patience: Patience,
        name: (&'static str, &'static str),
    ) -> Self {
        Self {
            listener,
            tls,
            connections,
            patience,
            handshakes: JoinSet::new(),
            name,
        }
    }

    /// How long clients may take.
    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// The next connection that is ready to be used. May be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    if let Some(connection) = self.accepted(accepted).await {
                        return connection;
                    }
                }
                Some(agreed) = self.handshakes.join_next() => match agreed {
                    Ok(Ok(connection)) => return connection,
                    Ok(Err(reason)) => self.failed(reason),
                    Err(_) => self.failed("panicked"),
                },
            }
        }
    }

    async fn accepted(
        &mut self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
    ) -> Option<Connection> {
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                let is_its_own = matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                );
                if !is_its_own {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                return None;
            }
        };
        // What is refused is closed at once.
        let place = match self.connections.admit(address.ip()) {
            Ok(place) => place,
            Err(refused) => {
                debug!(%address, ?refused, "a connection was refused");
                return None;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY cannot be set for a connection");
        }
        let Some(tls) = &self.tls else {
            return Some(Connection::plain(stream, address, place));
        };
        // Those that stall are bounded as connections are: for each address, in all, and in time.
        let (tls, acceptor) = (Arc::clone(tls), TlsAcceptor::from(tls.config()));
        let patience = self.patience.handshake;
        self.handshakes.spawn(async move {
            match timeout(patience, acceptor.accept(Lasting::new(stream))).await {
                Ok(Ok(stream)) => Ok(Connection::encrypted(stream, address, &tls, place)),
                Ok(Err(error)) => {
                    debug!(%address, %error, "a handshake failed");
                    Err("failed")
                }
                Err(_) => Err("timed_out"),
            }
        });
        None
    }

    fn failed(&self, reason: &'static str) {
        let (prefix, listener) = self.name;
        count_failed(prefix, listener, reason, 1);
    }

    /// The connections, one after the other, without end.
    pub fn into_stream(self) -> Pin<Box<dyn Stream<Item = io::Result<Connection>> + Send>> {
        Box::pin(stream::unfold(self, |mut incoming| async {
            let connection = incoming.next().await;
            Some((Ok(connection), incoming))
        }))
    }
}

impl tonic::transport::server::Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl Connection {
    /// Who is at its other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    fn plain(stream: TcpStream, address: SocketAddr, place: Place) -> Self {
        Self {
            _place: place,
            transport: Transport::Plain(stream),
            peer: Peer {
                address: Some(address),
                certificate: None,
            },
        }
    }

    fn encrypted(
        mut stream: TlsStream<Lasting>,
        address: SocketAddr,
        tls: &Tls,
        place: Place,
    ) -> Self {
        let (connection, session) = stream.get_mut();
        let shown = session.peer_certificates().and_then(|chain| {
            let (certificate, expires) = certificate::read(chain.first()?)?;
            connection.as_long_as(
                chain
                    .iter()
                    .cloned()
                    .map(CertificateDer::into_owned)
                    .collect(),
                expires,
                tls.trust(),
            );
            Some(certificate.into())
        });
        Self {
            _place: place,
            transport: Transport::Encrypted(Box::new(stream)),
            peer: Peer {
                address: Some(address),
                certificate: shown,
            },
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Transport::Encrypted(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Encrypted(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
