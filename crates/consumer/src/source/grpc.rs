//! A log over gRPC.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use access::{CredentialFiles, Credentials, Secret};
use atlas_events::{
    Event, FindEventRequest, GetLogInfoRequest, SubscriptionRequest,
    event_log_client::EventLogClient, event_stream_client::EventStreamClient,
};
use futures::FutureExt;
use prost::Message;
use tokio::time::timeout;
use tonic::{
    Code, Status, Streaming,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt;

use super::{Begin, CHUNK_BYTES_MAX, CHUNK_EVENTS_MAX, Found, LogState, SourceFault, Subscription};
use crate::ConsumerError;

/// What a server may send before it is read. HTTP/2 here ends a connection on which many small
/// unread frames lie, and allows for more of them the larger the connection's window is; the
/// adaptive window would make it small.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to answer a call, or to begin a stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Why a server ends the streams of a log that lost events.
const WENT_BACK: &str = "LOG_WENT_BACK";
/// What a server says while its database may lose what it commits.
const NOT_DURABLE: &str = "NOT_DURABLE";
/// Silent for this many heartbeats, a stream is taken for dead; and never sooner than the minimum.
const SILENT_HEARTBEATS: u32 = 3;
const SILENCE_MIN: Duration = Duration::from_secs(5);

/// The address of a log, and the connection to it.
pub(crate) struct Grpc {
    name: String,
    endpoint: Endpoint,
    files: CredentialFiles,
    connected: Mutex<Option<Connected>>,
}

/// A connection, and the token for it.
type Connected = InterceptedService<Channel, Bearer>;

/// Sends a token with each call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<AsciiMetadataValue>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Bearer {
    fn of(credentials: &Credentials) -> Result<Self, String> {
        let header = |token: &Secret| {
            let value = AsciiMetadataValue::try_from(format!("Bearer {}", token.expose()));
            let mut value = value.map_err(|_| "the token cannot be sent".to_owned())?;
            value.set_sensitive(true);
            Ok(value)
        };
        credentials.token.as_ref().map(header).transpose().map(Self)
    }
}

/// What an address asks for besides the address itself.
fn tls(credentials: &Credentials) -> ClientTlsConfig {
    let tls = match &credentials.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match &credentials.identity {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key.expose())),
        None => tls,
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grpc").field(self.endpoint.uri()).finish()
    }
}

impl Grpc {
    pub(crate) fn new(name: &str, url: &str) -> Result<Self, ConsumerError> {
        let bad = |reason: String| ConsumerError::Address {
            name: name.to_owned(),
            url: url.to_owned(),
            reason,
        };
        let endpoint =
            Endpoint::from_shared(url.to_owned()).map_err(|error| bad(error.to_string()))?;
        let scheme = endpoint.uri().scheme_str().unwrap_or_default();
        if !["http", "https"].contains(&scheme) {
            return Err(bad("it begins with neither http nor https".to_owned()));
        }
        Ok(Self {
            endpoint: endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
                .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                .tcp_nodelay(true),
            name: name.to_owned(),
            files: CredentialFiles::default(),
            connected: Mutex::default(),
        })
    }

    /// The same, with what the server asks for.
    ///
    /// # Errors
    /// [`ConsumerError::Address`] if a file cannot be used.
    pub(crate) fn with_credentials(self, files: CredentialFiles) -> Result<Self, ConsumerError> {
        let grpc = Self { files, ..self };
        grpc.connect().map_err(|reason| ConsumerError::Address {
            name: grpc.name.clone(),
            url: grpc.endpoint.uri().to_string(),
            reason,
        })?;
        Ok(grpc)
    }

    /// A connection that is made with its first use. The files are read anew, as they may have
    /// been replaced.
    fn connect(&self) -> Result<Connected, String> {
        let credentials = self.files.read().map_err(|error| error.to_string())?;
        let bearer = Bearer::of(&credentials)?;
        let mut endpoint = self.endpoint.clone();
        if endpoint.uri().scheme_str() == Some("https") {
            let describe = |error: tonic::transport::Error| match std::error::Error::source(&error)
            {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            endpoint = endpoint.tls_config(tls(&credentials)).map_err(describe)?;
        }
        Ok(InterceptedService::new(endpoint.connect_lazy(), bearer))
    }

    fn channel(&self) -> Result<Connected, SourceFault> {
        let mut connected = self
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connected) = &*connected {
            return Ok(connected.clone());
        }
        let made = self.connect().map_err(SourceFault::Lost)?;
        *connected = Some(made.clone());
        Ok(made)
    }

    pub(crate) fn reconnect(&self) {
        *self
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) async fn state(&self) -> Result<LogState, SourceFault> {
        let mut client = EventLogClient::new(self.channel()?);
        let answer = answer(client.get_log_info(GetLogInfoRequest {})).await?;
        let log_id = answer.log_id.parse().map_err(|_| {
            SourceFault::Lost(format!(
                "it calls itself \"{}\", which is no log",
                answer.log_id
            ))
        })?;
        Ok(LogState {
            log_id,
            first_position: answer.first_position,
            last_position: answer.last_position,
            limited: answer.limited,
        })
    }

    pub(crate) async fn find(&self, event_id: &str) -> Result<Found, SourceFault> {
        let mut client = EventLogClient::new(self.channel()?);
        let request = FindEventRequest {
            event_id: event_id.to_owned(),
        };
        let asked = timeout(ANSWER_TIMEOUT, client.find_event(request)).await;
        let status = match asked.map_err(|_| unanswered())? {
            Ok(found) => {
                let position = found.into_inner().event.map_or(0, |event| event.position);
                return Ok(Found::At(position));
            }
            Err(status) => status,
        };
        match status.code() {
            Code::NotFound => Ok(Found::Nowhere),
            Code::Unimplemented | Code::InvalidArgument | Code::PermissionDenied => {
                Ok(Found::Unknown(status.message().to_owned()))
            }
            _ => Err(status.into()),
        }
    }

    pub(crate) async fn subscribe(
        &self,
        subscription: Subscription,
    ) -> Result<Stream, SourceFault> {
        let heartbeat = subscription.heartbeat_interval;
        let mut client = EventStreamClient::new(self.channel()?);
        let messages = answer(client.subscribe_to_events(request(subscription))).await?;
        Ok(Stream {
            messages,
            silence_max: (heartbeat * SILENT_HEARTBEATS).max(SILENCE_MIN),
            end: None,
        })
    }
}

fn request(subscription: Subscription) -> SubscriptionRequest {
    let (after_position, start_from) = match subscription.begin {
        Begin::After(position) => (Some(position), None),
        Begin::Since(time) => (None, Some(time.into())),
        Begin::Live => (None, None),
    };
    let texts = |list: Option<&[String]>| list.map(<[String]>::to_vec).unwrap_or_default();
    SubscriptionRequest {
        start_from,
        after_position,
        event_types: texts(subscription.filter.event_types()),
        series_ids: texts(subscription.filter.series_ids()),
        log_id: subscription.log_id.to_string(),
        consumer: subscription.consumer,
        heartbeat_interval: Some(subscription.heartbeat_interval.into()),
    }
}

async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, SourceFault> {
    match timeout(ANSWER_TIMEOUT, call).await {
        Ok(answered) => Ok(answered?.into_inner()),
        Err(_) => Err(unanswered()),
    }
}

fn unanswered() -> SourceFault {
    SourceFault::Lost(format!("no answer in {ANSWER_TIMEOUT:?}"))
}

impl From<Status> for SourceFault {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::FailedPrecondition => match status.get_details_error_info() {
                Some(info) if info.reason == WENT_BACK => Self::WentBack {
                    reason: message,
                    last_position: info
                        .metadata
                        .get("last_position")
                        .and_then(|n| n.parse().ok()),
                },
                Some(info) if info.reason == NOT_DURABLE => Self::Lost(message),
                _ => Self::OtherLog(message),
            },
            Code::OutOfRange => Self::OutOfRange(message),
            Code::DataLoss => Self::Damaged(message),
            Code::InvalidArgument => Self::Refused(message),
            code => Self::Lost(format!("{code:?}: {message}")),
        }
    }
}

/// A subscription.
#[derive(Debug)]
pub(crate) struct Stream {
    messages: Streaming<Event>,
    silence_max: Duration,
    /// How the stream ended, to be reported once what came before has been taken.
    end: Option<SourceFault>,
}

impl Stream {
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, SourceFault> {
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        let silent = |_| SourceFault::Lost(format!("silent for {:?}", self.silence_max));
        let first = timeout(self.silence_max, self.messages.message())
            .await
            .map_err(silent)??
            .ok_or_else(ended)?;
        let mut bytes = first.encoded_len();
        let mut events = vec![first];
        while events.len() < CHUNK_EVENTS_MAX && bytes < CHUNK_BYTES_MAX {
            match self.messages.message().now_or_never() {
                None => break,
                Some(Ok(Some(event))) => {
                    bytes += event.encoded_len();
                    events.push(event);
                }
                Some(Ok(None)) => {
                    self.end = Some(ended());
                    break;
                }
                Some(Err(status)) => {
                    self.end = Some(status.into());
                    break;
                }
            }
        }
        Ok(events)
    }
}

fn ended() -> SourceFault {
    SourceFault::Lost("the stream ended".to_owned())
}
