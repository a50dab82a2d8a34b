//! A reverse proxy that ends what is silent: heartbeats keep streams open in both directions.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use atlas_events::{
    PublishRequest, SubscriptionRequest, event::Payload, publish_stream_response::Outcome,
};
use test_support::{Folder, TestDatabase, custom_event, eventually};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming, transport::Endpoint};

use crate::common::{Client, DEADLINE, Server};

/// Time-outs of the proxy; by itself it has 60 seconds.
const PROXY_SECONDS: u32 = 1;
const HEARTBEAT: pbjson_types::Duration = pbjson_types::Duration {
    seconds: 0,
    nanos: 200_000_000,
};
/// They take three times as long as the proxy waits.
const HEARTBEATS: usize = 15;

struct Nginx {
    child: Child,
    url: String,
    _folder: Folder,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nginx {
    async fn start(server: &Server) -> Self {
        let folder = Folder::create();
        // It does not say which port it was given, so one is looked for beforehand.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.unwrap();
        let target = server.url.trim_start_matches("http://");
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr error;
             events {{}}
             http {{
                 access_log off; {paths}
                 server {{
                     listen {address} http2;
                     client_body_timeout {PROXY_SECONDS}s;
                     grpc_read_timeout {PROXY_SECONDS}s;
                     grpc_send_timeout {PROXY_SECONDS}s;
                     client_max_body_size 0;
                     location / {{ grpc_pass grpc://{target}; }}
                 }}
             }}"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let nginx = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/nginx"));
        let child = Command::new(nginx)
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self {
            child,
            url: format!("http://{address}"),
            _folder: folder,
        };
        eventually(DEADLINE, async || TcpStream::connect(address).await.is_ok()).await;
        nginx
    }

    async fn client(&self) -> Client {
        Client::connect(Endpoint::from_shared(self.url.clone()).unwrap()).await
    }
}

async fn next<T>(stream: &mut Streaming<T>) -> Result<T, tonic::Status> {
    let message = timeout(DEADLINE, stream.message()).await.unwrap();
    message.map(Option::unwrap)
}

fn following(heartbeat_interval: Option<pbjson_types::Duration>) -> SubscriptionRequest {
    SubscriptionRequest {
        after_position: Some(0),
        heartbeat_interval,
        ..SubscriptionRequest::default()
    }
}

#[tokio::test]
async fn heartbeats_keep_streams_open_that_a_proxy_would_end() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let nginx = Nginx::start(&server).await;
    let mut client = nginx.client().await;

    // Without heartbeats the proxy ends a stream that is silent.
    let silent = client.events.subscribe_to_events(following(None)).await;
    let ended = match silent {
        Ok(silent) => next(&mut silent.into_inner()).await.unwrap_err(),
        Err(ended) => ended,
    };
    assert!(
        matches!(
            ended.code(),
            Code::Unavailable | Code::Internal | Code::Unknown
        ),
        "{ended:?}"
    );

    let subscribed = client
        .events
        .subscribe_to_events(following(Some(HEARTBEAT)));
    let mut subscribed = subscribed.await.unwrap().into_inner();
    let (sender, requests) = mpsc::channel(8);
    let asking = |events| PublishRequest {
        events,
        heartbeat_interval: Some(HEARTBEAT),
        ..PublishRequest::default()
    };
    sender.send(asking(Vec::new())).await.unwrap();
    let published = client
        .publisher
        .publish_stream(ReceiverStream::new(requests));
    let mut published = published.await.unwrap().into_inner();
    let mut timer = tokio::time::interval(Duration::from_millis(200));
    let (mut answers, mut heartbeats) = (0, 0);
    while answers < HEARTBEATS || heartbeats < HEARTBEATS {
        tokio::select! {
            _ = timer.tick() => sender.send(asking(Vec::new())).await.unwrap(),
            answer = next(&mut published) => {
                let outcome = answer.unwrap().outcome.unwrap();
                assert!(matches!(outcome, Outcome::Heartbeat(_)), "{outcome:?}");
                answers += 1;
            }
            event = next(&mut subscribed) => {
                let payload = event.unwrap().payload.unwrap();
                let alive = matches!(payload, Payload::Heartbeat(_) | Payload::CaughtUp(_));
                assert!(alive, "{payload:?}");
                heartbeats += 1;
            }
        }
    }
    sender.send(asking(vec![custom_event(1)])).await.unwrap();
    loop {
        let outcome = next(&mut published).await.unwrap().outcome.unwrap();
        if !matches!(outcome, Outcome::Heartbeat(_)) {
            assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
            break;
        }
    }
}
