//! Who is let in, over what, and what they changed.
//!
//! Where to change what: settings in `config`, certificates in `tls`, what those of clients say in
//! `certificate` and how long they let a connection last in `lasting`, accepting connections in `incoming`, how many
//! there may be in `connections` and `descriptors`, asking a service how it is in `self_client`, the file of tokens in
//! `tokens`, records of administrative actions in `audit`, and how many of refused ones are kept in `refused`.

mod audit;
mod config;
mod file;
mod incoming;
mod self_client;
mod tls;
mod tokens;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use access::{AuditLog, ByteBudget, Gate, PlaceLimits, Shares};
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tracing::warn;

use crate::{
    Outcome, Parts, StartError,
    config::{GrpcConfig, RestConfig},
    rest::Bodies,
};

pub use audit::{Audit, Audited};
pub use config::{AuthConfig, ClientAuth, MetricsFor, SecurityConfig};
pub use incoming::{Connection, Incoming};
pub(crate) use incoming::{Patience, RestPeer};
pub use tls::{TlsFiles, TlsProblem};

use incoming::connections::Connections;
use tls::Tls;
use tokens::TokensFile;

/// One caller may hold this part of what all answers may.
const ANSWER_SHARES: u64 = 4;
/// And this part of what all requests may: a few large bodies take much of it.
const REQUEST_SHARES: u64 = 2;

/// What a service needs to know about its clients.
#[derive(Debug, Clone)]
pub struct Security {
    /// How clients are authenticated.
    pub gate: Gate,
    /// Where administrative actions are recorded.
    pub audit: Audit,
    /// Whether everybody may read the metrics.
    pub metrics_open: bool,
    /// Memory of requests that are being received.
    pub request_bytes: Shares,
    /// What answers hold in memory that clients have not taken.
    pub answers: Shares,
    pub(crate) bodies: Bodies,
    rest: Option<Arc<Tls>>,
    grpc: Option<Arc<Tls>>,
    limits: Limits,
    tokens: Option<TokensFile>,
    prefix: &'static str,
    reload_interval: Duration,
}

/// What holds for the connections of the listeners.
#[derive(Debug, Clone, Copy)]
struct Limits {
    rest: PlaceLimits,
    grpc: PlaceLimits,
    patience: Patience,
}

impl Limits {
    fn new(config: &SecurityConfig, rest: &RestConfig, grpc: &GrpcConfig) -> Self {
        Self {
            rest: PlaceLimits {
                places_max: rest.connections_max,
                per_address_max: rest.connections_per_address_max,
            },
            grpc: PlaceLimits {
                places_max: grpc.connections_max,
                per_address_max: grpc.connections_per_address_max,
            },
            patience: Patience {
                handshake: config.handshake_timeout,
                head: rest.head_timeout,
                answer: rest.body_timeout,
            },
        }
    }
}

impl Security {
    /// Reads certificates and tokens, makes the table of the audit log, and raises the limit of open
    /// files of the process as far as that may be.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(
        config: &SecurityConfig,
        (listens_rest, listens_grpc): (&RestConfig, &GrpcConfig),
        pool: &PgPool,
        prefix: &'static str,
    ) -> Result<Self, StartError> {
        let audit = Audit::open(pool.clone(), prefix).await?;
        let rest = config
            .rest_tls
            .clone()
            .map(|files| Tls::open(files, &[b"http/1.1"]));
        let grpc = config
            .grpc_tls
            .clone()
            .map(|files| Tls::open(files, &[b"h2"]));
        let tokens = config
            .auth
            .tokens_file
            .clone()
            .map(|path| TokensFile::open(path, config.tokens_unreadable_max))
            .transpose()?;
        let limits = Limits::new(config, listens_rest, listens_grpc);
        incoming::descriptors::raise(limits.rest.places_max + limits.grpc.places_max);
        let request_bytes = ByteBudget::new("server", config.request_bytes_max);
        let request_bytes = Shares::new(request_bytes, config.request_bytes_max / REQUEST_SHARES);
        let answer_bytes = ByteBudget::of_answers(config.answer_bytes_max);
        let answers = Shares::new(answer_bytes, config.answer_bytes_max / ANSWER_SHARES);
        let bodies = Bodies {
            timeout: listens_rest.body_timeout,
            shares: request_bytes.clone(),
        };
        let asks_certificates = [&config.rest_tls, &config.grpc_tls]
            .into_iter()
            .flatten()
            .any(|files| files.client_ca.is_some());
        let gate = match &tokens {
            Some(file) => Gate::Tokens(file.tokens()),
            None if asks_certificates => Gate::Certificates,
            None => Gate::Open,
        };
        if tokens.is_some() && config.sends_tokens_in_the_clear() {
            warn!(
                "tokens are sent unencrypted between machines: set tls.certificate and tls.key, \
                 or terminate TLS in a proxy"
            );
        }
        Ok(Self {
            gate,
            audit,
            metrics_open: config.metrics_open(),
            request_bytes,
            answers,
            bodies,
            limits,
            rest: rest.transpose()?.map(Arc::new),
            grpc: grpc.transpose()?.map(Arc::new),
            tokens,
            prefix,
            reload_interval: config.reload_interval,
        })
    }

    /// Where REST and gRPC are found.
    pub fn urls(&self, rest: SocketAddr, grpc: SocketAddr) -> (String, String) {
        let url = |address: SocketAddr, tls: &Option<Arc<Tls>>| match tls {
            Some(_) => format!("https://{address}"),
            None => format!("http://{address}"),
        };
        (url(rest, &self.rest), url(grpc, &self.grpc))
    }

    /// Whether REST is served over TLS.
    pub fn rest_is_encrypted(&self) -> bool {
        self.rest.is_some()
    }

    /// Connections for REST.
    pub fn accept_rest(&self, listener: TcpListener) -> Incoming {
        let (tls, limits) = (self.rest.clone(), self.limits.rest);
        self.accept(listener, tls, limits, "rest")
    }

    /// Connections for gRPC.
    pub fn accept_grpc(&self, listener: TcpListener) -> Incoming {
        let (tls, limits) = (self.grpc.clone(), self.limits.grpc);
        self.accept(listener, tls, limits, "grpc")
    }

    fn accept(
        &self,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        limits: PlaceLimits,
        name: &'static str,
    ) -> Incoming {
        let connections = Connections::new(limits, self.prefix, name);
        let (patience, name) = (self.limits.patience, (self.prefix, name));
        Incoming::new(listener, tls, connections, patience, name)
    }

    /// Updates the metrics that are read rather than counted.
    pub(crate) fn sample(&self) {
        let held = self.request_bytes.whole().held();
        gauge!(format!("{}_request_bytes", self.prefix)).set(held as f64);
        let untaken = self.answers.whole().held();
        gauge!(format!("{}_answer_bytes", self.prefix)).set(untaken as f64);
    }

    /// The audit log for those who only write to it.
    pub fn audit_log(&self) -> Arc<dyn AuditLog> {
        Arc::new(self.audit.clone())
    }

    /// Takes up changed certificates and tokens for as long as the service runs.
    pub fn watch(&self, parts: &mut Parts) {
        self.begin_counting();
        let (watching, stop) = (self.clone(), parts.stop());
        parts.spawn("security", async move {
            stop.run_until_cancelled(watching.reload_forever()).await;
            Outcome::Ok(())
        });
    }

    /// What can be counted is there with 0, so that the first failure is an increase.
    fn begin_counting(&self) {
        let prefix = self.prefix;
        let tls = [(&self.rest, "rest"), (&self.grpc, "grpc")];
        for listener in tls
            .iter()
            .filter_map(|(tls, name)| tls.as_ref().and(Some(*name)))
        {
            incoming::begin_counting(prefix, listener);
        }
        let certificates = self.rest.is_some() || self.grpc.is_some();
        let watched = [
            (certificates, "certificate"),
            (self.tokens.is_some(), "tokens"),
        ];
        for (_, what) in watched.into_iter().filter(|(watched, _)| *watched) {
            counter!(format!("{prefix}_security_reload_failures_total"), "what" => what)
                .increment(0);
        }
    }

    /// Tokens and certificates apart: a file system that does not answer for the one holds up nothing of
    /// the other.
    async fn reload_forever(self) {
        let (interval, prefix) = (self.reload_interval, self.prefix);
        let certificates = async {
            let mut timer = tokio::time::interval(interval);
            loop {
                timer.tick().await;
                for (tls, listener) in [(&self.rest, "rest"), (&self.grpc, "grpc")] {
                    if let Some(tls) = tls {
                        tls.reload(prefix, listener).await;
                    }
                }
            }
        };
        let tokens = async {
            let Some(mut tokens) = self.tokens else {
                return;
            };
            let (mut timer, mut under_way) = (tokio::time::interval(interval), None);
            loop {
                timer.tick().await;
                tokens.reload(prefix, &mut under_way).await;
            }
        };
        tokio::join!(certificates, tokens, self.audit.summarize());
    }
}

/// Help texts of the metrics kept here.
pub(crate) fn describe(prefix: &str) {
    describe_gauge!(
        format!("{prefix}_tls_certificate_expires_seconds"),
        Unit::Seconds,
        "Time until a listener's certificate or the first of its client authorities expires, by \
         kind; negative once expired"
    );
    describe_counter!(
        format!("{prefix}_security_reload_failures_total"),
        "Changed certificates or tokens files that could not be used and were not applied, by kind"
    );
    describe_counter!(
        format!("{prefix}_tls_handshakes_failed_total"),
        "Connections that ended before TLS was agreed, by listener and reason"
    );
    describe_gauge!(
        format!("{prefix}_tokens"),
        "Valid entries of the tokens file; 0 once it could not be read for too long"
    );
    describe_gauge!(
        format!("{prefix}_tokens_unreadable_seconds"),
        Unit::Seconds,
        "How long the tokens file has been unusable; 0 while it is usable"
    );
    describe_gauge!(
        format!("{prefix}_connections"),
        "Open connections, by listener"
    );
    describe_counter!(
        format!("{prefix}_connections_refused_total"),
        "Connections that were closed at once, by listener and reason: full, too many of one address, or too few file descriptors"
    );
    describe_gauge!(
        format!("{prefix}_request_bytes"),
        Unit::Bytes,
        "Memory of requests that are being received"
    );
    describe_gauge!(
        format!("{prefix}_answer_bytes"),
        Unit::Bytes,
        "Memory of answers that clients have not read yet"
    );
    describe_counter!(
        format!("{prefix}_audit_unrecorded_total"),
        "Refused administrative calls that were not recorded, because their caller is refused too often"
    );
    describe_counter!(
        format!("{prefix}_calls_denied_total"),
        "Calls over gRPC and REST that access control refused, by reason"
    );
}
