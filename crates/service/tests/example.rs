//! The example of a service does what its comment says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{net::SocketAddr, time::Duration};

use consumer::Source;
use event_log::{EventLog, LogConfig};
use service::{Listeners, Program, config::CommonFlags, telemetry::Metrics};
use test_support::{TestDatabase, drafts, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use counter::{Counter, Flags};

#[expect(
    dead_code,
    unreachable_pub,
    reason = "a program is included as a module"
)]
#[path = "../examples/counter/main.rs"]
mod counter;

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_example_counts_each_event_once() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let pool = event_log::connect(&url, "source", 4).await.unwrap();
    let log = EventLog::open(pool, LogConfig::default(), None);
    let log = log.await.unwrap();
    let metrics = Counter::keep_metrics().unwrap();
    log.append(drafts(0..3)).await.unwrap();
    count_to(3, &url, &log, &metrics).await;
    // Another start goes on behind the checkpoint.
    log.append(drafts(3..5)).await.unwrap();
    count_to(5, &url, &log, &metrics).await;
    log.close().await;
}

/// Runs the service until it has counted so many events.
async fn count_to(events: u64, url: &str, log: &EventLog, metrics: &Metrics) {
    let set = [
        &*format!("database.url={url}"),
        "rest.address=127.0.0.1:0",
        "grpc.address=127.0.0.1:0",
        "shutdown.drain_seconds=5",
    ];
    let flags = Flags {
        common: CommonFlags::set(set.map(str::to_owned).to_vec()),
        ..Flags::default()
    };
    let config = Counter::SETTINGS.load_flags(&[&flags], &[]);
    let config = config.unwrap().config;
    let listeners = Listeners::bind(&config).await.unwrap();
    let sources = vec![Source::in_process("collector", log.clone())];
    let starting = Counter::consuming(config, sources, listeners, metrics.clone());
    let server = starting.await.unwrap();
    let rest = server.rest_address();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(server.run(shutdown.clone()));
    let expected = format!("{{\"custom:Test\":{events}}}");
    eventually(DEADLINE, async || get(rest).await.ends_with(&expected)).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

/// What REST answers, with its head.
async fn get(rest: SocketAddr) -> String {
    let mut connection = TcpStream::connect(rest).await.unwrap();
    let request = format!("GET /v1/counts HTTP/1.1\r\nhost: {rest}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}
