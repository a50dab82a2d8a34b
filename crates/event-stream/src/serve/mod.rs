use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

mod cuttable;
mod health;
mod reflection;
pub(crate) mod stalled;

use access::Places;
use atlas_events::{event_log_server::EventLogServer, event_types_server::EventTypesServer};
use event_log::EventLog;
use futures::{Stream, TryStreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codegen::Service,
    server::NamedService,
    service::Routes,
    transport::{
        Server as Transport,
        server::{Connected, TcpIncoming},
    },
};
use tonic_health::ServingStatus;
use tower::util::{MapRequestLayer, MapResponseLayer};
use tracing::warn;

use crate::{
    StreamConfig,
    frames::REQUEST_BYTES_MAX,
    guard::Guard,
    publishing::publisher::{Publisher, PublisherService},
    reading::{
        consumers::Consumers,
        event_stream::{EventStreamService, Server},
        log_info::LogInfoService,
    },
    received::{Bounded, OpenStreams, ServerBytes},
    serve::{
        cuttable::Cuttable,
        reflection::{Described, Reflection},
        stalled::{Connection, ConnectionInfo},
    },
    status::in_our_words,
    telemetry::StreamMetrics,
    trace::Tracing,
    types::TypesService,
};

/// What a client may send on one stream before the server has read it. A publish stream is not read
/// while the queue of the log is full.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same for a whole connection. The HTTP/2 library ends a connection on which many small unread
/// frames lie: each of less than 256 bytes counts as much as it lacks of these, and half of this
/// window is the limit.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// So many publish streams of one connection may be full of unread frames of 64 bytes, smaller than
/// any event.
const FULL_STREAMS: u32 = 20;
const _: () =
    assert!(FULL_STREAMS * (STREAM_WINDOW_BYTES / 64) * (256 - 64) < CONNECTION_WINDOW_BYTES / 2);
/// Once a server ends, its streams do at once, and all that is queued is stored. A client that has
/// not taken the answers and the end of its streams after this time is cut off.
const STALLED_GRACE: Duration = Duration::from_secs(2);
/// Streams on one connection.
const CONCURRENT_STREAMS_MAX: u32 = 1_024;

/// The services of the contract that are served here.
const SERVED: [&str; 4] = [
    EventStreamService::NAME,
    Publisher::NAME,
    <EventLogServer<LogInfoService> as NamedService>::NAME,
    <EventTypesServer<TypesService> as NamedService>::NAME,
];

/// Why the services could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The contract's own descriptors could not be read.
    #[error("reflection is not available: {0}")]
    Reflection(#[from] prost::DecodeError),
    /// The transport failed.
    #[error("gRPC could not be served: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// gRPC services that are served beside those of a log.
#[derive(Debug, Default, Clone)]
pub struct MoreServices {
    routes: Routes,
    names: Vec<&'static str>,
}

impl MoreServices {
    /// With one more, which the contract describes.
    #[must_use]
    pub fn with<S>(self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let mut names = self.names;
        names.push(S::NAME);
        Self {
            routes: self.routes.add_service(service),
            names,
        }
    }
}

/// Serves a log on a listener: `EventStream`, `EventPublisher`, `EventLog`, `EventTypes`, health, and
/// reflection (v1 and v1alpha).
///
/// On `shutdown` no new call is accepted, streams end with `UNAVAILABLE` and the position to resume
/// after, and the future resolves once all connections are closed. A client that does not take its
/// last bytes, or does not send all of a request, is cut off two seconds after all that was queued
/// has been stored.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    log: EventLog,
    config: StreamConfig,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    serve_with(listener, log, config, MoreServices::default(), shutdown).await
}

/// Serves a log as [`serve`] does, and more services beside it.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_with(
    listener: TcpListener,
    log: EventLog,
    config: StreamConfig,
    more: MoreServices,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve_on(incoming, log, config, more, shutdown).await
}

/// Serves a log as [`serve_with`] does, on connections that somebody else accepts. One that says
/// with an [`access::Peer`] who is at its other end is believed.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_on<I, C>(
    incoming: I,
    log: EventLog,
    config: StreamConfig,
    more: MoreServices,
    shutdown: CancellationToken,
) -> Result<(), ServeError>
where
    I: Stream<Item = io::Result<C>>,
    C: AsyncRead + AsyncWrite + Connected<ConnectInfo: Clone + Send + Sync + 'static>,
    C: Unpin + Send + 'static,
{
    let served: Vec<_> = SERVED.into_iter().chain(more.names).collect();
    let prefix = &config.metrics_prefix;
    let metrics = Arc::new(StreamMetrics::new(prefix));
    let consumers = Consumers::new(prefix, config.subscriptions_max, config.clock.clone());
    let sampling = {
        let log = log.clone();
        Arc::clone(&consumers).sample(move || log.tail_position(), shutdown.clone())
    };
    let bounded = Bounded {
        message_timeout: config.message_timeout,
        open_streams: OpenStreams::new(Places::new(config.open_streams), config.stream_age_max),
        metrics: Arc::clone(&metrics),
    };
    let tracing = Arc::new(Tracing::new(log.log_id()));
    let server = Arc::new(Server {
        log: log.clone(),
        consumers,
        metrics: Arc::clone(&metrics),
        clock: config.clock.clone(),
        stream_age_max: config.stream_age_max,
        answers: config.answers.clone(),
        stop: shutdown.clone(),
        tracing: Arc::clone(&tracing),
    });
    let publisher = Publisher::new(PublisherService {
        log: log.clone(),
        unacknowledged_max: config.unacknowledged_max,
        wait_max: config.publish_wait_max,
        stream_wait_max: config.publish_stream_wait_max,
        metrics,
        stop: shutdown.clone(),
        tracing,
    });
    let (reporter, health_service) = tonic_health::server::health_reporter();
    for name in &served {
        reporter
            .set_service_status(name, ServingStatus::Serving)
            .await;
    }
    let guard = Guard {
        gate: config.gate.clone(),
        audit: config.audit.clone(),
        clock: config.clock.clone(),
        refused_total: format!("{prefix}_calls_denied_total").into(),
    };
    let (v1, v1alpha) = match config.reflection {
        true => {
            let described = Described::read()?;
            let (v1, stop) = (Arc::clone(&described), shutdown.clone());
            (
                Some(Reflection::version_1(&served, v1, log.clone(), stop)),
                Some(Reflection::version_1_alpha(
                    &served,
                    described,
                    log.clone(),
                    shutdown.clone(),
                )),
            )
        }
        false => (None, None),
    };
    let bytes = ServerBytes::new(config.request_bytes, config.connection_bytes_max);
    let preface_timeout = config.preface_timeout;
    let cut = CancellationToken::new();
    let cutting = cut.clone();
    let incoming = incoming.map_ok(move |connection| Cuttable::new(connection, cutting.clone()));
    let following_health = health::follow(reporter, &served, log.clone(), &shutdown);
    let (keepalive_interval, keepalive_timeout) = config.keepalive;
    let serving = Transport::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(CONCURRENT_STREAMS_MAX)
        .http2_keepalive_interval(Some(keepalive_interval))
        .http2_keepalive_timeout(Some(keepalive_timeout))
        .layer(MapRequestLayer::new(describe_connection::<C::ConnectInfo>))
        .layer(guard)
        .layer(bounded)
        .layer(MapResponseLayer::new(in_our_words))
        .add_routes(more.routes)
        .add_service(health_service)
        .add_optional_service(v1)
        .add_optional_service(v1alpha)
        .add_service(EventStreamService(server))
        .add_service(publisher)
        .add_service(
            EventLogServer::new(LogInfoService(log.clone()))
                .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(TypesService::server(log.clone()))
        .serve_with_incoming_shutdown(
            incoming.map_ok(move |accepted| {
                Connection::new(accepted, bytes.of_connection(), preface_timeout)
            }),
            shutdown.cancelled(),
        );
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return Ok(served?),
        _ = async { tokio::join!(sampling, following_health) } => {}
    }
    Ok(end(serving, &log, &cut).await?)
}

/// Waits until all connections are closed, and cuts those whose clients keep them open.
async fn end<S: Future>(
    mut serving: Pin<&mut S>,
    log: &EventLog,
    cut: &CancellationToken,
) -> S::Output {
    let stalled = async {
        log.settled().await;
        sleep(STALLED_GRACE).await;
    };
    tokio::select! {
        served = &mut serving => return served,
        () = stalled => {
            warn!("closing connections whose clients do not read the end of their streams");
            cut.cancel();
        }
    }
    serving.await
}

/// Adds to a request what is known of its connection, and how to end it.
fn describe_connection<I: Clone + Send + Sync + 'static>(
    mut request: http::Request<Body>,
) -> http::Request<Body> {
    let extensions = request.extensions_mut();
    if let Some(connection) = extensions.remove::<ConnectionInfo<I>>() {
        extensions.insert(connection.inner);
        extensions.insert(connection.cut);
        extensions.insert(connection.bytes);
    }
    request
}
