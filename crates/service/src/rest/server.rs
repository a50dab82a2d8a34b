//! Connections of REST, each with a bound on how long its client may take to ask for something and
//! to take the answer.

use std::convert::Infallible;

use axum::{Router, extract::ConnectInfo, http::Request};
use futures::FutureExt;
use hyper::{body::Incoming as Body, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;

use super::patient::{Answers, Patient};
use crate::security::{Connection, Incoming, Patience, RestPeer};

/// At most this many bytes of a request's head, and of what is read ahead of a body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

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
    let answers = Answers::default();
    let begun = answers.clone();
    let service = service_fn(move |mut request: Request<Body>| {
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer.clone()));
        // A router is always ready.
        let (answering, begun) = (router.clone().call(request), begun.clone());
        answering.inspect(move |_: &Result<_, Infallible>| begun.begin())
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(BUFFER_BYTES_MAX);
    let stream = Patient::new(connection, patience.answer, answers);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection ended early");
    }
}
