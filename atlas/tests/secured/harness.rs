//! Services in this process over TLS and with tokens, and the program `atlas`.

use std::{
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use service::{Listeners, config::CommonFlags};
use test_support::{Authority, Folder, TestDatabase};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// What takes longer than this has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const PATTERNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../threshold-engine/patterns");

fn metrics() -> collector::telemetry::Metrics {
    static METRICS: OnceLock<collector::telemetry::Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| collector::telemetry::keep_metrics().unwrap())
        .clone()
}

/// What a place has in common: an authority, a folder of files, a database.
pub(crate) struct Place {
    pub(crate) authority: Authority,
    pub(crate) folder: Folder,
    pub(crate) database: TestDatabase,
}

/// A service that runs, and where it is.
pub(crate) struct Running {
    pub(crate) grpc: String,
    pub(crate) rest: String,
    pub(crate) rest_address: std::net::SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.ended)
            .await
            .unwrap()
            .unwrap();
    }
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Place {
    pub(crate) async fn create() -> Self {
        let (authority, folder) = (Authority::new("authority"), Folder::create());
        folder.write("ca.pem", &authority.pem);
        let server = authority.server();
        folder.write("server.key", &server.key);
        folder.write("server.pem", &server.certificate);
        let database = TestDatabase::create().await;
        Self {
            authority,
            folder,
            database,
        }
    }

    /// Makes a token with the program, adds it to a file of tokens, and writes it to a file of its
    /// own, whose path this gives.
    pub(crate) fn new_token(&self, name: &str, tokens: &str, more: &[&str]) -> String {
        let tokens = self.folder.file(tokens);
        let arguments = ["token", "new", "--name", name, "--append", &tokens];
        let made = self.atlas(&[&arguments, more].concat(), &[]);
        assert_eq!(made.code, Some(0), "{made:?}");
        self.folder.write(&format!("{name}.token"), &made.output)
    }

    /// Runs the program to its end.
    pub(crate) fn atlas(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        let output = self.command(arguments, environment).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended {
            code: output.status.code(),
            output: text(output.stdout),
            errors: text(output.stderr),
        }
    }

    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
        command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn settings(&self, tokens: &str, more: &[&str]) -> Vec<String> {
        let file = |key: &str, name: &str| format!("{key}={}", self.folder.file(name));
        let fixed = [
            format!("database.url={}", self.database.url()),
            "rest.address=127.0.0.1:0".to_owned(),
            "grpc.address=127.0.0.1:0".to_owned(),
            "events.poll_interval_milliseconds=100".to_owned(),
            "shutdown.drain_seconds=5".to_owned(),
            "security.reload_interval_milliseconds=50".to_owned(),
            file("tls.certificate", "server.pem"),
            file("tls.key", "server.key"),
            file("auth.tokens_file", tokens),
        ];
        let more = more.iter().map(|setting| (*setting).to_owned());
        fixed.into_iter().chain(more).collect()
    }

    /// A collector whose tokens are in a file of this folder.
    pub(crate) async fn collector(&self, tokens: &str, more: &[&str]) -> Running {
        start_collector(self.settings(tokens, more)).await
    }

    /// A collector without TLS and tokens, on a log of its own.
    pub(crate) async fn plain_collector(&self) -> Running {
        let settings = [
            &format!("database.url={}", self.database.url()),
            "database.schema=plain",
            "rest.address=127.0.0.1:0",
            "grpc.address=127.0.0.1:0",
            "shutdown.drain_seconds=5",
        ];
        let mut running = start_collector(settings.map(str::to_owned).to_vec()).await;
        for address in [&mut running.grpc, &mut running.rest] {
            *address = address.replace("https://", "http://");
        }
        running
    }

    /// An engine that consumes a collector.
    pub(crate) async fn engine(&self, tokens: &str, source: &Running, more: &[&str]) -> Running {
        let mut set = self.settings(tokens, more);
        set.push(format!("consumer.sources=collector={}", source.grpc));
        set.push(format!("consumer.ca={}", self.folder.file("ca.pem")));
        set.push(format!("patterns.folder={PATTERNS}"));
        let flags = threshold_engine::config::Flags {
            common: CommonFlags::set(set),
            ..Default::default()
        };
        let config = threshold_engine::config::load(&flags, &[]).unwrap().config;
        let listeners = Listeners::bind(&config).await.unwrap();
        let sources = config.consumer.sources().unwrap();
        let service =
            threshold_engine::service::Service::start(config, sources, listeners, metrics());
        let service = service.await.unwrap();
        let shutdown = CancellationToken::new();
        let addresses = (service.rest_address(), service.grpc_address());
        let running = service.run(shutdown.clone());
        let ended = tokio::spawn(async move { running.await.unwrap() });
        running_at(addresses, shutdown, ended)
    }

    /// A connection that trusts the authority.
    pub(crate) async fn channel(&self, running: &Running) -> Channel {
        let trusted = Certificate::from_pem(&self.authority.pem);
        let tls = ClientTlsConfig::new().ca_certificate(trusted);
        let endpoint = Endpoint::from_shared(running.grpc.clone()).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    }
}

async fn start_collector(set: Vec<String>) -> Running {
    let flags = collector::config::Flags {
        common: CommonFlags::set(set),
        ..Default::default()
    };
    let config = collector::config::load(&flags, &[]).unwrap().config;
    let listeners = Listeners::bind(&config).await.unwrap();
    let service = collector::service::Service::start(config, listeners, metrics());
    let service = service.await.unwrap();
    let shutdown = CancellationToken::new();
    let addresses = (service.rest_address(), service.grpc_address());
    let running = service.run(shutdown.clone());
    let ended = tokio::spawn(async move { running.await.unwrap() });
    running_at(addresses, shutdown, ended)
}

fn running_at(
    (rest, grpc): (std::net::SocketAddr, std::net::SocketAddr),
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
) -> Running {
    Running {
        grpc: format!("https://localhost:{}", grpc.port()),
        rest: format!("https://localhost:{}", rest.port()),
        rest_address: rest,
        shutdown,
        ended,
    }
}

/// A request with the token that a file holds.
pub(crate) fn with_token<T>(message: T, token_file: &str) -> tonic::Request<T> {
    let token = std::fs::read_to_string(token_file).unwrap();
    let mut request = tonic::Request::new(message);
    let header = format!("Bearer {}", token.trim()).parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    request
}
