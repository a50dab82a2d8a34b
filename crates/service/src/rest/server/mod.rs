//! Connections of REST, each with a bound on how long its client may take to ask for something and
//! to take the answer.

mod lingering;
mod patient;

use std::{convert::Infallible, future::poll_fn, time::Duration};

use axum::{Router, extract::ConnectInfo, http::Request, response::Response};
use futures::{FutureExt, TryFutureExt};
use hyper::{body::Incoming as Body, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;

use crate::security::{Connection, Incoming, Patience, RestPeer};
use lingering::Unread;
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
    let (progress, unread) = (Progress::default(), Unread::default());
    let stopping = Stopping(stop.clone());
    let (answering, watching) = (progress.clone(), unread.clone());
    let service = service_fn(|request: Request<Body>| {
        let mut request = request.map(|body| watching.watch(body));
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer.clone()));
        extensions.insert(stopping.clone());
        // A router is always ready.
        answering.ask();
        let answered = router.clone().call(request);
        let answered = answered.map_ok(|answer| watching.announce(answer));
        answered.inspect(|_: &Result<Response, Infallible>| answering.begin())
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(BUFFER_BYTES_MAX);
    let stream = Patient::new(connection, patience.answer, progress.clone());
    let mut serving = builder.serve_connection(TokioIo::new(stream), service);
    let served = tokio::select! {
        served = poll_fn(|context| serving.poll_without_shutdown(context)) => served,
        () = stop.cancelled() => {
            std::pin::Pin::new(&mut serving).graceful_shutdown();
            tokio::select! {
                served = poll_fn(|context| serving.poll_without_shutdown(context)) => served,
                () = progress.stalled(STALLED_GRACE) => return debug!("closing the connection of a client that still waits"),
            }
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection ended early");
        // One that is malformed was answered, and there may be more of it.
        match error.is_parse() {
            true => unread.leave(),
            false => return,
        }
    }
    let stream = serving.into_parts().io.into_inner();
    let closed = tokio::select! {
        closed = unread.close(stream) => closed,
        () = stopping.grace_over() => return debug!("closing the connection of a client that still sends"),
    };
    if let Err(error) = closed {
        debug!(%error, "a connection was not closed in order");
    }
}
