//! A collector in this process, and a client of its REST.

use std::{sync::OnceLock, time::Duration};

use clap::Parser;
use collector::{
    config::{Config, Flags, load},
    service::{Listeners, Service},
    telemetry,
};
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::Value;
use service::PartEnded;
use test_support::TestDatabase;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What takes longer than this has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const JSON: &str = "application/json";

/// The configuration of a collector on free ports, with settings such as `grpc.port=0` on top.
pub(crate) fn config(database_url: &str, settings: &[String]) -> Config {
    let mut arguments = vec!["collector".to_owned()];
    let fixed = [
        "rest.address=127.0.0.1:0",
        "grpc.address=127.0.0.1:0",
        "events.poll_interval_milliseconds=100",
        "fred.request_interval_milliseconds=0",
        "fred.attempts_max=1",
        "shutdown.drain_seconds=5",
        "database.wait_seconds=0",
    ];
    let all = fixed
        .iter()
        .map(ToString::to_string)
        .chain(settings.iter().cloned());
    for setting in all {
        arguments.extend(["--set".to_owned(), setting]);
    }
    let flags = Flags::try_parse_from(arguments).unwrap();
    let environment = [("DATABASE_URL".to_owned(), database_url.to_owned())];
    load(&flags, &environment).unwrap().config
}

/// The recorder is the process's; the tests of one process share it.
pub(crate) fn metrics() -> telemetry::Metrics {
    static METRICS: OnceLock<telemetry::Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| telemetry::keep_metrics().unwrap())
        .clone()
}

pub(crate) struct Collector {
    pub(crate) rest: String,
    pub(crate) grpc: String,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), PartEnded>>,
    client: reqwest::Client,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) text: String,
}

impl Collector {
    /// A collector without a key for FRED.
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, &[]).await
    }

    pub(crate) async fn start_with(database: &TestDatabase, settings: &[String]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = config(&database.url(), settings);
        let listeners = Listeners::bind(&config).await.unwrap();
        let rest = format!("http://{}", listeners.rest.local_addr().unwrap());
        let grpc = format!("http://{}", listeners.grpc.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let service = Service::start(config, listeners, metrics()).await.unwrap();
        let served = tokio::spawn(service.run(shutdown.clone()));
        Self {
            rest,
            grpc,
            shutdown,
            served,
            client: reqwest::Client::builder().build().unwrap(),
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let served = tokio::time::timeout(DEADLINE, self.served).await;
        served.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Answer {
        let url = format!("{}{path}", self.rest);
        let mut request = self.client.request(method, url).timeout(DEADLINE);
        if let Some((media_type, body)) = body {
            request = request.header(header::CONTENT_TYPE, media_type).body(body);
        }
        Answer::of(request).await
    }

    /// Asks for a path as a client that accepts these media types.
    pub(crate) async fn get_accepting(&self, path: &str, media_types: &str) -> Answer {
        let request = self.client.get(format!("{}{path}", self.rest));
        let request = request.header(header::ACCEPT, media_types);
        Answer::of(request.timeout(DEADLINE)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let body = Some((JSON, body.to_string()));
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        let body = Some((JSON, body.to_string()));
        self.send(Method::PATCH, path, body).await
    }

    /// The last position, as `/v1/log` returns it.
    pub(crate) async fn last_position(&self) -> u64 {
        let log = self.get("/v1/log").await.ok();
        log["last_position"].as_u64().unwrap()
    }
}

impl Answer {
    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }

    /// Checks that this is a problem of a kind, with every member that problems have, and gives it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let media_type = &self.headers[header::CONTENT_TYPE];
        assert_eq!(media_type, "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:atlas:problem:{kind}"));
        assert_eq!(problem["status"], status);
        assert_eq!(
            problem["request_id"],
            self.headers["x-request-id"].to_str().unwrap()
        );
        for text in ["title", "detail", "instance"] {
            assert!(!problem[text].as_str().unwrap().is_empty(), "{problem}");
        }
        assert!(problem["errors"].is_array(), "{problem}");
        problem
    }

    /// Checks that this is a problem with one field, for a reason that contains `words`.
    #[track_caller]
    pub(crate) fn field_problem(&self, status: u16, kind: &str, field: &str, words: &str) {
        let problem = self.problem(status, kind);
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{problem}");
        assert_eq!(errors[0]["field"], field, "{problem}");
        let reported = errors[0]["problem"].as_str().unwrap();
        assert!(reported.contains(words), "{problem}");
    }
}
