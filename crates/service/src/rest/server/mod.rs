//! Connections of REST, each with a bound on how long its client may take to ask for something and
//! to take the answer.

mod patient;

use std::{convert::Infallible, time::Duration};

use axum::{Router, extract::ConnectInfo, http::Request};
use futures::FutureExt;
use hyper::{body::Incoming as Body, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;

use crate::security::{Connection, Incoming, Patience, RestPeer};
use patient::{Patient, Progress};

/// At most this many bytes of a request's head, and of what is read ahead of a body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Once a server ends, a client that sends nothing of what is missing of its request for so long, or
/// takes nothing of its answer, is not waited for.
const STALLED_GRACE: Duration = Duration::from_secs(2);

/// With a request: the server that it came to is to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(CancellationToken);

impl Stopping {
    /// Resolves once what is missing of a request is not waited for any more.
    pub(crate) async fn grace_over(&self) {
        self.0.cancelled().await;
        sleep(STALLED_GRACE).await;
    }
}

/// Answers requests until `stop` is cancelled and those under way have been answered.
pub(crate) async fn serve(mut incoming: Incoming, router: Router, stop: CancellationToken) {
    let patience = incoming.patience();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            connection = incoming.next() => {
                let serving = serve_one(connection, router.clone(), patience, stop.clone());
                connections.spawn(serving);
            }
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(incoming);
    while connections.join_next().await.is_some() {}
}

async fn serve_one(
    connection: Connection,
    router: Router,
    patience: Patience,
    stop: CancellationToken,
) {
    let peer = RestPeer(connection.peer().clone());
    let progress = Progress::default();
    let stopping = Stopping(stop.clone());
    let answering = progress.clone();
    let service = service_fn(move |mut request: Request<Body>| {
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer.clone()));
        extensions.insert(stopping.clone());
        // A router is always ready.
        answering.ask();
        let (answered, answering) = (router.clone().call(request), answering.clone());
        answered.inspect(move |_: &Result<_, Infallible>| answering.begin())
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(BUFFER_BYTES_MAX);
    let stream = Patient::new(connection, patience.answer, progress.clone());
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                served = serving => served,
                () = progress.stalled(STALLED_GRACE) => return debug!("closing the connection of a client that still waits"),
            }
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection ended early");
    }
}
