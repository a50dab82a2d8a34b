//! An engine, from its start until it is stopped or killed.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use consumer::Source;
use service::{PartEnded, Server};
use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use threshold_engine::{
    config::Config,
    service::{Listeners, Registry, Service},
};

use crate::bed::{Bed, COLLECTED, DEADLINE, SOURCE, metrics, open_log};

/// An engine in this process.
pub(crate) struct Life {
    pub(crate) rest: String,
    pub(crate) grpc: String,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), PartEnded>>,
}

impl Life {
    pub(crate) async fn start(config: Config, source: Source) -> Self {
        let listeners = Listeners::bind(&config).await.unwrap();
        let service = Service::start(config, vec![source], listeners, metrics()).await;
        Self::of(service.unwrap())
    }

    /// One that can ask which series are collected.
    pub(crate) async fn start_knowing(config: Config, source: Source, registry: Registry) -> Self {
        let listeners = Listeners::bind(&config).await.unwrap();
        let (sources, registry) = (vec![source], Some(registry));
        let service = Service::start_knowing(config, sources, registry, listeners, metrics()).await;
        Self::of(service.unwrap())
    }

    pub(crate) fn of(service: Server) -> Self {
        let rest = format!("http://{}", service.rest_address());
        let grpc = format!("http://{}", service.grpc_address());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(service.run(shutdown.clone()));
        Self {
            rest,
            grpc,
            shutdown,
            running,
        }
    }

    /// What REST answers.
    pub(crate) async fn get(&self, path: &str) -> serde_json::Value {
        let answer = reqwest::get(format!("{}{path}", self.rest)).await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// Asks REST for something, with a reason where there is one; what it answers does not matter.
    pub(crate) async fn post(&self, path: &str, reason: &str) {
        let mut request = reqwest::Client::new().post(format!("{}{path}", self.rest));
        if !reason.is_empty() {
            request = request.json(&serde_json::json!({ "reason": reason }));
        }
        request.send().await.unwrap();
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await.unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> Result<(), PartEnded> {
        timeout(DEADLINE, self.running).await.unwrap().unwrap()
    }
}

/// An engine that can be killed wherever it is.
pub(crate) enum Mortal {
    /// A process of its own.
    Process(Child),
    /// The tasks of a runtime of its own, with a log of its own over the tables that are consumed.
    Runtime(Runtime),
}

impl Mortal {
    /// Begins to start a process that consumes over gRPC.
    pub(crate) fn process(bed: &Bed, schema: &str) -> Self {
        let settings = bed.settings(schema);
        let child = Command::new(env!("CARGO_BIN_EXE_threshold-engine"))
            .arg("serve")
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .args(["--set", "telemetry.filter=error"])
            .stdout(Stdio::null())
            .spawn();
        Self::Process(child.unwrap())
    }

    /// Begins to start one that consumes in the same process.
    pub(crate) fn in_process(bed: &Bed, schema: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (config, url) = (bed.config(schema), bed.database.url());
        runtime.spawn(async move {
            let log = open_log(&url, COLLECTED).await;
            let source = Source::in_process(SOURCE, log);
            let listeners = Listeners::bind(&config).await.unwrap();
            let service = Service::start(config, vec![source], listeners, metrics()).await;
            service.unwrap().run(CancellationToken::new()).await
        });
        Self::Runtime(runtime)
    }

    /// Sends a signal such as `STOP` to a process.
    pub(crate) fn signal(&self, name: &str) {
        let Self::Process(child) = self else {
            panic!("only a process has signals of its own");
        };
        let sent = Command::new("kill")
            .args([format!("-{name}"), child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn kill(self) {
        match self {
            Self::Process(mut child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Self::Runtime(runtime) => runtime.shutdown_timeout(Duration::from_secs(10)),
        }
    }
}
