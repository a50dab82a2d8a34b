//! An alert service, one channel that works and one that does not, and alerts that are sent to it.

use reqwest::Client;
use serde_json::{Value, json};
use test_support::Folder;
use tokio::net::TcpListener;

use crate::process::Service;

pub(crate) struct Alerting {
    service: Service,
    _folder: Folder,
}

impl Alerting {
    /// One that follows an engine.
    pub(crate) async fn start(database_url: &str, engine: &str) -> Self {
        let folder = Folder::create();
        std::fs::write(folder.file("key"), [7; 32]).unwrap();
        let settings = [
            format!("database.url={database_url}"),
            "rest.address=127.0.0.1:0".to_owned(),
            "grpc.address=127.0.0.1:0".to_owned(),
            format!("consumer.sources=threshold-engine={engine}"),
            format!("channels.key_files={}", folder.file("key")),
            "channels.http_allowed=true".to_owned(),
            "channels.allowed_prefixes=127.0.0.0/8".to_owned(),
            // What cannot be sent is a dead letter soon, and its destination is paused.
            "deliveries.deadline_seconds=2".to_owned(),
            "deliveries.failures_max=1".to_owned(),
            "deliveries.retry_base_milliseconds=100".to_owned(),
        ];
        let service = Service::start("alerts", &settings);
        let alerting = Self {
            service,
            _folder: folder,
        };
        let client = Client::new();
        let log = json!({"name": "log", "configuration": {"kind": "log"}});
        let log = alerting.post(&client, "/v1/channels", &log).await;
        // Nobody listens there any more.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let away = json!({"name": "away", "configuration": {"kind": "webhook", "url": url}});
        let away = alerting.post(&client, "/v1/channels", &away).await;
        let both = [&log["id"], &away["id"]];
        let external = json!({"name": "sent", "condition": {"kind": "external"}, "channels": both});
        alerting.post(&client, "/v1/rules", &external).await;
        // What the engine emits here is about observations of the past.
        let pattern =
            json!({"name": "old", "condition": {"kind": "pattern"}, "channels": [log["id"]]});
        alerting.post(&client, "/v1/rules", &pattern).await;
        alerting
    }

    pub(crate) fn rest(&self) -> &str {
        &self.service.rest
    }

    /// An alert that begins, is sent, and ends.
    pub(crate) async fn once(&self, client: &Client, number: u64) {
        for status in ["firing", "resolved"] {
            let alert = json!({"title": "t", "fingerprint": number.to_string(), "status": status});
            self.post(client, "/v1/alerts", &alert).await;
        }
    }

    async fn post(&self, client: &Client, path: &str, body: &Value) -> Value {
        let url = format!("http://{}{path}", self.service.rest);
        let response = client.post(url).json(body).send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        response.json().await.unwrap()
    }
}
