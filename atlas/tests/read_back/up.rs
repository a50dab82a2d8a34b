//! `atlas up` as a process of its own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use test_support::TestDatabase;
use tonic::transport::{Channel, Endpoint};

const PATTERNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../threshold-engine/patterns");

/// Ends with the test, whatever becomes of that.
pub(crate) struct Up {
    child: Child,
    /// URLs.
    pub(crate) collector_rest: String,
    pub(crate) collector_grpc: String,
    engine_rest: String,
    pub(crate) client: reqwest::Client,
    /// To the collector.
    pub(crate) channel: Channel,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    pub(crate) fn start(database: &TestDatabase) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_atlas"))
            .args(["up", "--patterns", PATTERNS])
            .env("DATABASE_URL", database.url())
            .env("COLLECTOR__REST__ADDRESS", "127.0.0.1:0")
            .env("COLLECTOR__GRPC__ADDRESS", "127.0.0.1:0")
            .env("ENGINE__REST__ADDRESS", "127.0.0.1:0")
            .env("ENGINE__GRPC__ADDRESS", "127.0.0.1:0")
            .env("ALERT_SERVICE__REST__ADDRESS", "127.0.0.1:0")
            .env("ALERT_SERVICE__GRPC__ADDRESS", "127.0.0.1:0")
            .env("TELEMETRY__FILTER", "error")
            .env_remove("FRED_API_KEY")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = |name: &str| {
            let line = lines.next().unwrap().unwrap();
            let rest = line
                .strip_prefix(&format!("{name} is ready: REST "))
                .unwrap();
            let (rest, grpc) = rest.split_once(", gRPC ").unwrap();
            let (grpc, _) = grpc.split_once(';').unwrap_or((grpc, ""));
            (rest.to_owned(), grpc.to_owned())
        };
        let (collector_rest, collector_grpc) = addresses("collector");
        let (engine_rest, _) = addresses("threshold engine");
        // Whoever stops reading before ends it.
        addresses("alert service");
        let endpoint = Endpoint::from_shared(collector_grpc.clone()).unwrap();
        Self {
            child,
            client: reqwest::Client::new(),
            channel: endpoint.connect_lazy(),
            collector_rest,
            collector_grpc,
            engine_rest,
        }
    }

    /// What the collector's REST answers.
    pub(crate) async fn collector(&self, path: &str) -> Value {
        self.get(&self.collector_rest, path).await
    }

    /// What the engine's REST answers.
    pub(crate) async fn engine(&self, path: &str) -> Value {
        self.get(&self.engine_rest, path).await
    }

    async fn get(&self, base: &str, path: &str) -> Value {
        let answer = self.client.get(format!("{base}{path}")).send().await;
        let answer = answer.unwrap().error_for_status().unwrap();
        answer.json().await.unwrap()
    }
}
