//! A collector in this process, and the files that it is given.

use std::{sync::OnceLock, time::Duration};

use access::{Entry, Identity, Scope, Secret};
use clap::Parser;
use collector::{
    config::{Config, ConfigError, Flags, load},
    service::{Listeners, Service},
    telemetry,
};
use service::PartEnded;
use test_support::{Folder, Issued, TestDatabase};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// What takes longer than this has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The recorder is the process's; the tests of one process share it.
fn metrics() -> telemetry::Metrics {
    static METRICS: OnceLock<telemetry::Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| telemetry::keep_metrics().unwrap())
        .clone()
}

/// The value of a metric with exactly these labels; 0 if it is not there.
pub(crate) fn metric(name_and_labels: &str) -> f64 {
    let rendered = metrics().render();
    let of = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        (name == name_and_labels).then(|| value.parse().unwrap())
    };
    rendered.lines().find_map(of).unwrap_or(0.0)
}

/// A configuration with these settings and nothing of the environment but the database.
pub(crate) fn configuration(
    database_url: &str,
    settings: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let settings = settings
        .iter()
        .map(|(key, value)| format!("--set={key}={value}"));
    let arguments: Vec<_> = ["collector".to_owned()]
        .into_iter()
        .chain(settings)
        .collect();
    let flags = Flags::try_parse_from(arguments).unwrap();
    let environment = [("DATABASE_URL".to_owned(), database_url.to_owned())];
    load(&flags, &environment).map(|loaded| loaded.config)
}

/// A collector, and where it is.
pub(crate) struct Collector {
    /// `https://localhost:…` or `http://localhost:…`.
    pub(crate) rest: String,
    pub(crate) grpc: String,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), PartEnded>>,
}

impl Collector {
    pub(crate) async fn start(database: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        let fixed = [
            ("rest.address", "127.0.0.1:0"),
            ("grpc.address", "127.0.0.1:0"),
            ("events.poll_interval_milliseconds", "100"),
            ("shutdown.drain_seconds", "5"),
            ("security.reload_interval_milliseconds", "50"),
        ];
        let settings: Vec<_> = fixed.iter().chain(settings).copied().collect();
        let config = configuration(&database.url(), &settings).unwrap();
        let scheme = |encrypted| if encrypted { "https" } else { "http" };
        let rest = scheme(config.common.security.rest_tls.is_some());
        let grpc = scheme(config.common.security.grpc_tls.is_some());
        let listeners = Listeners::bind(&config).await.unwrap();
        let port = |listener: &tokio::net::TcpListener| listener.local_addr().unwrap().port();
        let rest = format!("{rest}://localhost:{}", port(&listeners.rest));
        let grpc = format!("{grpc}://localhost:{}", port(&listeners.grpc));
        let shutdown = CancellationToken::new();
        let service = Service::start(config, listeners, metrics()).await.unwrap();
        let served = tokio::spawn(service.run(shutdown.clone()));
        Self {
            rest,
            grpc,
            shutdown,
            served,
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        timeout(DEADLINE, self.served)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

/// Writes certificate and key, and gives the settings that name them.
pub(crate) fn tls_settings(folder: &Folder, issued: &Issued) -> [(&'static str, String); 2] {
    // The key first: what is read in between is taken for a mismatch, and read again.
    let key = folder.write("server.key", &issued.key);
    let certificate = folder.write("server.pem", &issued.certificate);
    [("tls.certificate", certificate), ("tls.key", key)]
}

/// Settings as they are borrowed.
pub(crate) fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect()
}

/// A new token, and the entry that it is known by.
pub(crate) fn token(name: &str, scopes: &[Scope]) -> (String, Entry) {
    let secret = Secret::generate().unwrap();
    let entry = Entry::new(name, Identity::Token(secret.hash()), scopes.to_vec());
    (secret.expose().to_owned(), entry)
}

/// Writes a file of tokens, and gives its path.
pub(crate) fn write_tokens(folder: &Folder, entries: &[&Entry]) -> String {
    let text: Vec<_> = entries.iter().map(|entry| access::render(entry)).collect();
    folder.write("tokens.toml", &text.join("\n"))
}

/// A list of names, as entries are limited by.
pub(crate) fn only(names: &[&str]) -> Option<std::sync::Arc<[String]>> {
    Some(names.iter().map(ToString::to_string).collect())
}
