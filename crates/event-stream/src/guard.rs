//! Who may make which call: decided once for each, before its message is read.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use access::{Access, AuditLog, Caller, Denied, Gate, Peer, Scope, StreamPlace};
use atlas_events::{Clock, MESSAGE_BYTES_MAX};
use futures::{
    FutureExt,
    future::{BoxFuture, Either},
};
use http::{Extensions, Request, Response, header::AUTHORIZATION};
use metrics::counter;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status, body::Body, transport::server::TcpConnectInfo};
use tower::{Layer, Service};

use crate::{
    serve::stalled::{Cut, Lifetime},
    status::Refusal,
};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// What its caller needs; `None`: nothing, and not to be known either.
    pub scope: Option<Scope>,
    /// Whether it changes something and is recorded.
    pub is_audited: bool,
    /// At most this many bytes of one message of its client.
    pub message_bytes_max: usize,
    /// Whether its client sends a stream of messages.
    pub is_client_stream: bool,
    /// Whether it needs no token and is answered for as long as its client likes, so that such streams
    /// are counted and end by themselves.
    pub is_open_stream: bool,
}

/// A message without fields, or with the name of a service.
const NAME_BYTES_MAX: usize = 4 * 1024;
/// A message with as many ids as are allowed.
const IDS_BYTES_MAX: usize = 64 * 1024;
/// A set of descriptors, and what is around it.
pub(crate) const TYPES_BYTES_MAX: usize = event_types::SET_BYTES_MAX + NAME_BYTES_MAX;
/// Filters are bounded by their entries; this leaves room to refuse them in words of their own.
const FILTER_BYTES_MAX: usize = 256 * 1024;
/// A rule of the alert service.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

const fn open(path: &'static str) -> Rule {
    Rule {
        path,
        scope: None,
        is_audited: false,
        message_bytes_max: NAME_BYTES_MAX,
        is_client_stream: false,
        is_open_stream: false,
    }
}

const fn needs(scope: Scope, path: &'static str, message_bytes_max: usize) -> Rule {
    Rule {
        path,
        scope: Some(scope),
        is_audited: false,
        message_bytes_max,
        is_client_stream: false,
        is_open_stream: false,
    }
}

const fn audited(path: &'static str) -> Rule {
    Rule {
        path,
        scope: Some(Scope::Admin),
        is_audited: true,
        message_bytes_max: IDS_BYTES_MAX,
        is_client_stream: false,
        is_open_stream: false,
    }
}

const fn streamed(rule: Rule) -> Rule {
    Rule {
        is_client_stream: true,
        ..rule
    }
}

const fn open_stream(path: &'static str) -> Rule {
    Rule {
        is_open_stream: true,
        ..open(path)
    }
}

/// The rules of all calls of the contract. Without a rule nobody may make a call, unless nobody is
/// asked who they are.
pub const RULES: [Rule; 30] = [
    needs(
        Scope::Publish,
        "/atlas.events.EventPublisher/Publish",
        MESSAGE_BYTES_MAX,
    ),
    streamed(needs(
        Scope::Publish,
        "/atlas.events.EventPublisher/PublishStream",
        MESSAGE_BYTES_MAX,
    )),
    needs(
        Scope::Read,
        "/atlas.events.EventStream/SubscribeToEvents",
        FILTER_BYTES_MAX,
    ),
    needs(
        Scope::Read,
        "/atlas.events.EventStream/GetEventsSince",
        FILTER_BYTES_MAX,
    ),
    needs(
        Scope::Read,
        "/atlas.events.EventStream/GetEventsBetween",
        FILTER_BYTES_MAX,
    ),
    needs(
        Scope::Read,
        "/atlas.events.EventStream/GetLatestEventTime",
        NAME_BYTES_MAX,
    ),
    needs(
        Scope::Read,
        "/atlas.events.EventLog/GetLogInfo",
        NAME_BYTES_MAX,
    ),
    needs(
        Scope::Read,
        "/atlas.events.EventLog/FindEvent",
        NAME_BYTES_MAX,
    ),
    Rule {
        message_bytes_max: TYPES_BYTES_MAX,
        ..audited("/atlas.events.EventTypes/RegisterTypes")
    },
    needs(
        Scope::Publish,
        "/atlas.events.EventTypes/CheckTypes",
        TYPES_BYTES_MAX,
    ),
    needs(
        Scope::Read,
        "/atlas.events.EventTypes/ListTypes",
        NAME_BYTES_MAX,
    ),
    needs(
        Scope::Read,
        "/atlas.events.EventTypes/GetTypes",
        NAME_BYTES_MAX,
    ),
    needs(
        Scope::Admin,
        "/atlas.events.ParkedEvents/ListParkedEvents",
        NAME_BYTES_MAX,
    ),
    audited("/atlas.events.ParkedEvents/RetryParkedEvents"),
    audited("/atlas.events.ParkedEvents/DiscardParkedEvents"),
    needs(
        Scope::Admin,
        "/atlas.events.Checkpoints/ListCheckpoints",
        NAME_BYTES_MAX,
    ),
    audited("/atlas.events.Checkpoints/ResetCheckpoint"),
    needs(
        Scope::AlertsWrite,
        "/atlas.events.AlertRules/CreateAlertRule",
        DOCUMENT_BYTES_MAX,
    ),
    needs(
        Scope::AlertsRead,
        "/atlas.events.AlertRules/GetAlertRule",
        NAME_BYTES_MAX,
    ),
    needs(
        Scope::AlertsRead,
        "/atlas.events.AlertRules/ListAlertRules",
        NAME_BYTES_MAX,
    ),
    needs(
        Scope::AlertsWrite,
        "/atlas.events.AlertRules/UpdateAlertRule",
        DOCUMENT_BYTES_MAX,
    ),
    needs(
        Scope::AlertsWrite,
        "/atlas.events.AlertRules/PauseAlertRule",
        IDS_BYTES_MAX,
    ),
    needs(
        Scope::AlertsWrite,
        "/atlas.events.AlertRules/ResumeAlertRule",
        IDS_BYTES_MAX,
    ),
    needs(
        Scope::AlertsWrite,
        "/atlas.events.AlertRules/DeleteAlertRule",
        NAME_BYTES_MAX,
    ),
    needs(
        Scope::AlertsWrite,
        "/atlas.events.AlertRules/TestAlertRule",
        DOCUMENT_BYTES_MAX,
    ),
    open("/grpc.health.v1.Health/Check"),
    open("/grpc.health.v1.Health/List"),
    open_stream("/grpc.health.v1.Health/Watch"),
    streamed(open_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    )),
    streamed(open_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    )),
];

/// What the caller of a call may do, as the guard has found: nothing where no guard was asked.
pub(crate) fn access(extensions: &Extensions) -> Access {
    let caller = extensions.get::<Caller>();
    caller.map_or_else(Access::nothing, |caller| caller.access.clone())
}

/// Whose share of what is bounded for each caller a call takes from.
pub(crate) fn share(extensions: &Extensions) -> String {
    let caller = extensions.get::<Caller>();
    let caller = caller.cloned();
    let caller = caller.unwrap_or_else(|| Caller::new(Access::nothing(), peer(extensions)));
    caller.share()
}

/// Resolves once an access has ended while its stream runs.
pub(crate) type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a client needs to have a stream open.
pub(crate) struct StreamPermit {
    /// Its place among the streams of the client, held until the stream has ended.
    pub(crate) place: Place,
    /// When the client loses its access.
    pub(crate) ended: Ended,
}

/// A place among the streams of a client, and the watch over the stream that has it.
pub(crate) struct Place {
    _place: StreamPlace,
    _watch: DropGuard,
}

/// What ends a stream, whether or not its client reads it.
pub(crate) struct Bounds {
    /// Ends the connection of a client that does not read.
    pub(crate) cut: Cut,
    /// The server stops.
    pub(crate) stop: CancellationToken,
    /// How long the stream may live, if that is bounded.
    pub(crate) lifetime: Lifetime,
    /// How long it may take to end once it has to.
    pub(crate) grace: Duration,
}

impl StreamPermit {
    pub(crate) fn of(access: Access, bounds: Bounds) -> Result<Self, Refusal> {
        let place = access.open_stream().map_err(Refusal::denied)?;
        let (stop, lifetime, access_ended) = (bounds.stop, bounds.lifetime, ended(access.clone()));
        let watch = bounds.cut.unless_ended(bounds.grace, async move {
            tokio::select! {
                () = stop.cancelled() => "SHUTTING_DOWN",
                () = access_ended => "TOKEN_ENDED",
                () = lifetime.over() => "STREAM_AGE",
            }
        });
        Ok(Self {
            place: Place {
                _place: place,
                _watch: watch,
            },
            ended: ended(access),
        })
    }
}

fn ended(access: Access) -> Ended {
    match access.may_end() {
        true => Box::pin(access.ended()),
        false => Box::pin(std::future::pending()),
    }
}

/// What the guard works with.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) gate: Gate,
    pub(crate) audit: Option<Arc<dyn AuditLog>>,
    pub(crate) clock: Clock,
    pub(crate) refused_total: Arc<str>,
}

impl Guard {
    /// Whoever may make the call, or why not.
    fn admit(&self, request: &Request<Body>, rule: Option<Rule>) -> Result<Caller, Denied> {
        let peer = peer(request.extensions());
        // Whoever is not asked who they are may do what needs no access, and nothing else.
        if !self.gate.is_open() && rule.is_some_and(|rule| rule.scope.is_none()) {
            return Ok(Caller::new(Access::nothing(), peer));
        }
        let authorization = request.headers().get(AUTHORIZATION);
        let access = self
            .gate
            .admit(authorization.map(|value| value.as_bytes()), &peer)?;
        Ok(Caller::new(access, peer))
    }

    fn allow(caller: &Caller, rule: Option<Rule>) -> Result<(), Denied> {
        match rule {
            Some(Rule {
                scope: Some(scope), ..
            }) => {
                caller.access.require(scope)?;
                // Consumers and what they parked are the service's as a whole.
                match scope {
                    Scope::Admin => caller.access.require_unlimited(),
                    Scope::Read | Scope::Publish | Scope::AlertsRead | Scope::AlertsWrite => Ok(()),
                }
            }
            Some(Rule { scope: None, .. }) => Ok(()),
            None => Err(Denied::NoRule),
        }
    }

    fn refuse(&self, denied: Denied) -> Response<Body> {
        let reason = denied.reason();
        counter!(self.refused_total.to_string(), "reason" => reason).increment(1);
        Refusal::denied(denied).into_status().into_http()
    }

    async fn record(&self, caller: &Caller, rule: Rule, outcome: Code) {
        let Some(audit) = &self.audit else {
            return;
        };
        let is_refused = matches!(
            outcome,
            Code::PermissionDenied
                | Code::InvalidArgument
                | Code::NotFound
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::ResourceExhausted
                | Code::Unimplemented
        );
        let outcome = match outcome {
            Code::Ok => "ok".to_owned(),
            code => format!("{code:?}"),
        };
        let action = rule.path.trim_start_matches('/');
        audit
            .record(caller.record(self.clock.now(), action, outcome, is_refused))
            .await;
    }
}

pub(crate) fn peer(extensions: &Extensions) -> Peer {
    if let Some(peer) = extensions.get::<Peer>() {
        return peer.clone();
    }
    let address = extensions
        .get::<TcpConnectInfo>()
        .and_then(TcpConnectInfo::remote_addr);
    Peer {
        address,
        certificate: None,
    }
}

pub(crate) fn rule(path: &str) -> Option<Rule> {
    RULES.into_iter().find(|rule| rule.path == path)
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        let guard = Arc::new(self.clone());
        Guarded { inner, guard }
    }
}

/// A service behind the guard.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    guard: Arc<Guard>,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let rule = rule(request.uri().path());
        let audited = rule.filter(|rule| rule.is_audited);
        let guard = Arc::clone(&self.guard);
        let caller = match guard.admit(&request, rule) {
            Ok(caller) => caller,
            Err(denied) => {
                return Either::Right(std::future::ready(Ok(guard.refuse(denied))).boxed());
            }
        };
        if !guard.gate.is_open()
            && let Err(denied) = Guard::allow(&caller, rule)
        {
            let refusing = async move {
                let response = guard.refuse(denied);
                if let Some(rule) = audited {
                    guard.record(&caller, rule, Code::PermissionDenied).await;
                }
                Ok(response)
            };
            return Either::Right(refusing.boxed());
        }
        request.extensions_mut().insert(caller.clone());
        let answer = self.inner.call(request);
        let Some(rule) = audited else {
            return Either::Left(answer);
        };
        // A client that goes away ends neither the action nor its record.
        let acting = tokio::spawn(async move {
            let response = answer.await?;
            let status = Status::from_header_map(response.headers());
            let code = status.map_or(Code::Ok, |status| status.code());
            guard.record(&caller, rule, code).await;
            Ok(response)
        });
        let answering = async move {
            match acting.await {
                Ok(answered) => answered,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        };
        Either::Right(answering.boxed())
    }
}
