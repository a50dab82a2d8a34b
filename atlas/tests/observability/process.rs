//! Services as processes of their own, so that each has its own metrics: this program runs itself
//! again, with one test, which serves for as long as the process lives.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use alert_service::service as alerting;
use collector::service as collecting;
use service::{Listeners, config::CommonFlags};
use threshold_engine::service as evaluating;
use tokio_util::sync::CancellationToken;

const WHICH: &str = "ATLAS_TEST_SERVE";
const SETTINGS: &str = "ATLAS_TEST_SETTINGS";
const READY: &str = "serving at ";

/// A service that ends with the test, whatever becomes of that.
pub(crate) struct Service {
    child: Child,
    /// Host and port of REST.
    pub(crate) rest: String,
    /// URL of gRPC.
    pub(crate) grpc: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    pub(crate) fn start(which: &str, settings: &[String]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "this_program_as_a_service", "--nocapture"])
            .env(WHICH, which)
            .env(SETTINGS, settings.join("\n"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            line.split_once(READY).map(|(_, rest)| rest.to_owned())
        });
        let Some(ready) = ready else {
            panic!("{which} does not start: {}", child.wait().unwrap());
        };
        // What it says later is of no interest, but it must be able to say it.
        std::thread::spawn(move || lines.for_each(drop));
        let (rest, grpc) = ready.split_once(' ').unwrap();
        Self {
            child,
            rest: rest.to_owned(),
            grpc: format!("http://{grpc}"),
        }
    }
}

/// Serves, if this process was started for that.
pub(crate) fn serve_if_asked() {
    let Ok(which) = std::env::var(WHICH) else {
        return;
    };
    let set: Vec<String> = std::env::var(SETTINGS)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match which.as_str() {
            "collector" => collect(set).await,
            "alerts" => alert(set).await,
            _ => evaluate(set).await,
        }
    });
}

async fn collect(set: Vec<String>) {
    let flags = collector::config::Flags {
        common: CommonFlags::set(set),
        ..Default::default()
    };
    let config = collector::config::load(&flags, &[]).unwrap().config;
    let metrics = collector::telemetry::keep_metrics().unwrap();
    let listeners = Listeners::bind(&config).await.unwrap();
    let service = collecting::Service::start(config, listeners, metrics)
        .await
        .unwrap();
    say_ready(service.rest_address(), service.grpc_address());
    service.run(CancellationToken::new()).await.unwrap();
}

async fn evaluate(set: Vec<String>) {
    let flags = threshold_engine::config::Flags {
        common: CommonFlags::set(set),
        ..Default::default()
    };
    let config = threshold_engine::config::load(&flags, &[]).unwrap().config;
    let metrics = evaluating::keep_metrics().unwrap();
    let listeners = Listeners::bind(&config).await.unwrap();
    let sources = config.consumer.sources().unwrap();
    let service = evaluating::Service::start(config, sources, listeners, metrics)
        .await
        .unwrap();
    say_ready(service.rest_address(), service.grpc_address());
    service.run(CancellationToken::new()).await.unwrap();
}

async fn alert(set: Vec<String>) {
    let flags = alert_service::config::Flags {
        common: CommonFlags::set(set),
        ..Default::default()
    };
    let config = alert_service::config::load(&flags, &[]).unwrap().config;
    let metrics = alerting::keep_metrics().unwrap();
    let listeners = Listeners::bind(&config).await.unwrap();
    let sources = config.consumer.sources().unwrap();
    let context = alert_service::Context::system();
    let service = alerting::Service::start(config, sources, listeners, metrics, context)
        .await
        .unwrap();
    say_ready(service.rest_address(), service.grpc_address());
    service.run(CancellationToken::new()).await.unwrap();
}

fn say_ready(rest: std::net::SocketAddr, grpc: std::net::SocketAddr) {
    let mut output = std::io::stdout();
    writeln!(output, "{READY}{rest} {grpc}").unwrap();
    output.flush().unwrap();
}
