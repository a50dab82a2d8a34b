//! `[tls]`, `[auth]` and `[security]`: how clients connect, and how they are authenticated.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use documented::{Documented, DocumentedFields};

use super::{TlsFiles, tokens};
use crate::config::Reader;

const MEBIBYTE: u64 = 1024 * 1024;

/// What clients show of themselves in handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// A certificate.
    Required,
    /// A certificate, or nothing.
    Optional,
}

/// Which callers may read the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFor {
    /// Everybody where REST is served on loopback only, else those who may read everything.
    Auto,
    /// Everybody.
    Everybody,
    /// Those who may read everything.
    Readers,
}

/// `[security]`: what holds for TLS and tokens alike.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct SecurityConfig {
    /// TLS of REST.
    pub rest_tls: Option<TlsFiles>,
    /// TLS of gRPC.
    pub grpc_tls: Option<TlsFiles>,
    /// `[auth]`.
    pub auth: AuthConfig,
    /// How often certificates and tokens are looked at for changes.
    pub reload_interval: Duration,
    /// A connection on which TLS is not agreed, or on which HTTP/2 has not begun, after this time is
    /// closed.
    pub handshake_timeout: Duration,
    /// At most this many bytes of requests that are being received in all, over gRPC and REST, and of
    /// what is built from them; what goes over it is refused, to be tried again.
    pub request_bytes_max: u64,
    /// At most this many bytes of answers that clients have not taken in all, over gRPC and REST, and a
    /// quarter of it for one caller; what goes over it is refused, to be tried again.
    pub answer_bytes_max: u64,
    /// Once the file of tokens could not be read for so long, none of its tokens is admitted until it
    /// can be read again.
    pub tokens_unreadable_max: Duration,
    /// Whether to serve other machines without authentication of clients.
    pub allow_insecure: bool,
    /// Where REST and gRPC listen.
    addresses: [SocketAddr; 2],
}

/// `[auth]`: who may do what.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct AuthConfig {
    /// The file of tokens (`atlas token new` makes entries). Without it no token is required.
    pub tokens_file: Option<PathBuf>,
    /// Which callers may read the metrics: `auto` is everybody where REST listens on loopback only, else
    /// `readers`, which are those with the scope `read` and no limits.
    pub metrics: MetricsFor,
}

/// `[tls]`: TLS of both listeners, unless `[rest]` or `[grpc]` names files of its own.
#[derive(Documented, DocumentedFields)]
struct TlsConfig {
    /// Certificate with the chain to its authority, in PEM. Taken up again when it changes, as are
    /// the key and the authorities.
    certificate: Place,
    /// The key of the certificate, in PEM.
    key: Place,
    /// Authorities, in PEM. Clients present certificates that these have signed.
    client_ca: Place,
    /// Whether clients without a certificate are refused, or asked for a token.
    client_auth: ClientAuth,
}

/// The settings that name the files of one listener.
struct Keys {
    switch: &'static str,
    certificate: &'static str,
    key: &'static str,
    client_ca: &'static str,
}

const REST: Keys = Keys {
    switch: "rest.tls",
    certificate: "rest.tls_certificate",
    key: "rest.tls_key",
    client_ca: "rest.tls_client_ca",
};
const GRPC: Keys = Keys {
    switch: "grpc.tls",
    certificate: "grpc.tls_certificate",
    key: "grpc.tls_key",
    client_ca: "grpc.tls_client_ca",
};

/// A file, with the setting that names it.
type Place = Option<(&'static str, PathBuf)>;

impl SecurityConfig {
    /// Reads the sections and checks the files that they name. `addresses` are where
    /// REST and gRPC are to listen.
    pub fn read(reader: &mut Reader, addresses: [SocketAddr; 2]) -> Self {
        let common = TlsConfig::read(reader);
        let rest_tls = listener_tls(reader, &REST, &common);
        let grpc_tls = listener_tls(reader, &GRPC, &common);
        let auth = AuthConfig::read(reader);
        reader.section::<Self>("security");
        let interval = "security.reload_interval_milliseconds";
        let config = Self {
            rest_tls,
            grpc_tls,
            auth,
            reload_interval: reader.milliseconds(interval, 2_000, 50..=600_000),
            handshake_timeout: reader.seconds("security.handshake_timeout_seconds", 10, 1..=3_600),
            request_bytes_max: reader.number(
                "security.request_bytes_max",
                256 * MEBIBYTE,
                64 * MEBIBYTE..=64 * 1024 * MEBIBYTE,
            ),
            answer_bytes_max: reader.number(
                "security.answer_bytes_max",
                256 * MEBIBYTE,
                256 * MEBIBYTE..=64 * 1024 * MEBIBYTE,
            ),
            tokens_unreadable_max: reader.seconds(
                "security.tokens_unreadable_max_seconds",
                300,
                1..=86_400,
            ),
            allow_insecure: reader.switch("security.allow_insecure", false),
            addresses,
        };
        config.check_exposure(reader);
        config
    }

    fn check_exposure(&self, reader: &mut Reader) {
        let listeners = [
            ("rest.address", self.addresses[0], &self.rest_tls),
            ("grpc.address", self.addresses[1], &self.grpc_tls),
        ];
        for (key, address, tls) in listeners {
            let asks = self.auth.tokens_file.is_some()
                || tls.as_ref().is_some_and(|files| files.client_ca.is_some());
            if !address.ip().is_loopback() && !asks && !self.allow_insecure {
                reader.refuse(
                    key,
                    format!(
                        "{address} is open to other machines without authentication. Set \
                         auth.tokens_file (`atlas token new` makes tokens) or \
                         tls.client_ca, or listen on 127.0.0.1; where something else guards the \
                         port, say so with security.allow_insecure = true"
                    ),
                );
            }
        }
    }

    /// Whether tokens go over a network that others may listen to.
    pub(super) fn sends_tokens_in_the_clear(&self) -> bool {
        let open = |address: &SocketAddr, tls: &Option<TlsFiles>| {
            !address.ip().is_loopback() && tls.is_none()
        };
        open(&self.addresses[0], &self.rest_tls) || open(&self.addresses[1], &self.grpc_tls)
    }

    pub(super) fn metrics_open(&self) -> bool {
        match self.auth.metrics {
            MetricsFor::Auto => self.addresses[0].ip().is_loopback(),
            MetricsFor::Everybody => true,
            MetricsFor::Readers => false,
        }
    }
}

impl AuthConfig {
    fn read(reader: &mut Reader) -> Self {
        reader.section::<Self>("auth");
        let audiences = [
            ("auto", MetricsFor::Auto),
            ("everybody", MetricsFor::Everybody),
            ("readers", MetricsFor::Readers),
        ];
        Self {
            tokens_file: tokens_file(reader),
            metrics: reader.word("auth.metrics", &audiences, 0),
        }
    }
}

impl TlsConfig {
    fn read(reader: &mut Reader) -> Self {
        reader.section::<Self>("tls");
        let words = [
            ("required", ClientAuth::Required),
            ("optional", ClientAuth::Optional),
        ];
        Self {
            certificate: place(reader, "tls.certificate"),
            key: place(reader, "tls.key"),
            client_ca: place(reader, "tls.client_ca"),
            client_auth: reader.word("tls.client_auth", &words, 0),
        }
    }
}

fn tokens_file(reader: &mut Reader) -> Option<PathBuf> {
    let path = reader.path("auth.tokens_file")?;
    if let Err(problem) = tokens::read(&path) {
        reader.refuse("auth.tokens_file", format!("{}: {problem}", path.display()));
    }
    Some(path)
}

fn place(reader: &mut Reader, key: &'static str) -> Place {
    Some((key, reader.path(key)?))
}

/// The files of a listener: its own, and those in common for what it has none of its own.
fn listener_tls(reader: &mut Reader, keys: &Keys, common: &TlsConfig) -> Option<TlsFiles> {
    let certificate = place(reader, keys.certificate);
    let key = place(reader, keys.key);
    let client_ca = place(reader, keys.client_ca);
    reader.describe(keys.certificate, "In place of `tls.certificate`.");
    reader.describe(keys.key, "In place of `tls.key`.");
    reader.describe(keys.client_ca, "In place of `tls.client_ca`.");
    let is_on = reader.switch(keys.switch, true);
    reader.describe(
        keys.switch,
        "Whether TLS is used here where there is a certificate.",
    );
    if !is_on {
        return None;
    }
    let client_ca = client_ca.or_else(|| common.client_ca.clone());
    // A certificate goes with its key.
    let (certificate, key, names) = match (certificate, key) {
        (None, None) => {
            let (certificate, key) = (common.certificate.clone(), common.key.clone());
            (certificate, key, ("tls.certificate", "tls.key"))
        }
        (certificate, key) => (certificate, key, (keys.certificate, keys.key)),
    };
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => {
            let (given, _) = client_ca?;
            refuse_half(reader, names.0, given);
            return None;
        }
        (None, Some((given, _))) => {
            refuse_half(reader, names.0, given);
            return None;
        }
        (Some((given, _)), None) => {
            refuse_half(reader, names.1, given);
            return None;
        }
    };
    let files = TlsFiles {
        certificate,
        key,
        client_ca,
        client_optional: common.client_auth == ClientAuth::Optional,
    };
    if let Err(problem) = files.check() {
        let message = format!("{}: {}", problem.file.display(), problem.problem);
        refuse_once(reader, problem.key, message);
    }
    Some(files)
}

fn refuse_half(reader: &mut Reader, missing: &'static str, given: &str) {
    refuse_once(
        reader,
        missing,
        format!("is to be set too where {given} is"),
    );
}

/// Both listeners have most files in common, and one report is enough.
fn refuse_once(reader: &mut Reader, key: &'static str, problem: String) {
    if !reader.has_problem(key) {
        reader.refuse(key, problem);
    }
}
