//! The stream of alerts as server-sent events.

use access::{Entry, Identity, Scope, Secret, render};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::bed::{Bed, DEADLINE, Running, cleared, entered};

/// A stream that is read event by event.
struct Events {
    response: Response,
    unread: String,
}

impl Events {
    async fn open(service: &Running, path: &str, token: Option<&str>, last: Option<u64>) -> Self {
        let mut request = Client::new().get(service.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let unread = String::new();
        Self { response, unread }
    }

    /// The next block of lines; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let block = block.to_owned();
                self.unread = rest.to_owned();
                return Some(block);
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await.unwrap();
            let chunk = chunk.ok().flatten()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event that is not a heartbeat: id, kind, data.
    async fn next(&mut self) -> Option<(u64, String, Value)> {
        loop {
            let block = self.block().await?;
            if block.starts_with(": heartbeat") {
                continue;
            }
            let line = |name: &str| {
                let mut lines = block.lines();
                let found = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
                found.unwrap().to_owned()
            };
            let data = serde_json::from_str(&line("data")).unwrap();
            return Some((line("id").parse().unwrap(), line("event"), data));
        }
    }
}

async fn log_rule(service: &Running, token: Option<&str>) {
    let channel = json!({"name": "c", "configuration": {"kind": "log"}});
    let post = reqwest::Method::POST;
    let made = service
        .ask_as(token, post.clone(), "/v1/channels", Some(channel))
        .await;
    let rule = json!({"name": "r", "condition": {"kind": "pattern"}, "channels": [made.1["id"]]});
    let made = service.ask_as(token, post, "/v1/rules", Some(rule)).await;
    assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_goes_on_after_the_last_event_and_ends_with_the_service() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    log_rule(&service, None).await;
    let mut live = Events::open(&service, "/v1/alerts/stream", None, None).await;
    // A new stream says at once that it lives.
    assert!(live.block().await.unwrap().starts_with(": heartbeat\nid: "));
    bed.publish(entered("p")).await;
    let (first, kind, data) = live.next().await.unwrap();
    assert_eq!(kind, "alert");
    assert_eq!(
        data["alertChanged"]["after"], "ALERT_STATE_FIRING",
        "{data}"
    );
    assert_eq!(data["position"], first.to_string(), "{data}");
    bed.publish(cleared("p")).await;
    let (second, _, data) = live.next().await.unwrap();
    assert_eq!(
        data["alertChanged"]["after"], "ALERT_STATE_RESOLVED",
        "{data}"
    );
    // Whoever connects again gets what came later, once.
    let mut again = Events::open(&service, "/v1/alerts/stream?after=0", None, Some(first)).await;
    assert_eq!(again.next().await.unwrap().0, second);
    let mut all = Events::open(
        &service,
        "/v1/alerts/stream?after=0&deliveries=true",
        None,
        None,
    )
    .await;
    let (position, kind, _) = all.next().await.unwrap();
    assert_eq!((position, &*kind), (first, "alert"));
    assert_eq!(all.next().await.unwrap().1, "delivery");
    for (path, status) in [
        ("/v1/alerts/stream?after=x", StatusCode::BAD_REQUEST),
        ("/v1/alerts/stream?after=1000000", StatusCode::BAD_REQUEST),
    ] {
        let answer = service.ask_as(None, reqwest::Method::GET, path, None).await;
        assert_eq!(answer.0, status, "{path} {answer:?}");
    }
    timeout(DEADLINE, service.end()).await.unwrap();
    while live.block().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_follows_its_own_alerts_as_long_as_it_holds() {
    let bed = Bed::create(&[]).await;
    let mut entries = Vec::new();
    let mut token = |name: &str, scopes: &[Scope], streams_max: Option<u32>| {
        let secret = Secret::generate().unwrap();
        let mut entry = Entry::new(name, Identity::Token(secret.hash()), scopes.to_vec());
        entry.streams_max = streams_max;
        entries.push(render(&entry));
        secret.expose().to_owned()
    };
    let own = [Scope::AlertsRead, Scope::AlertsWrite];
    let ann = token("ann", &own, Some(1));
    let bob = token("bob", &own, None);
    let all = [Scope::AlertsRead, Scope::AlertsWrite, Scope::Admin];
    let admin = token("operator", &all, None);
    let writes = token("writes", &[Scope::AlertsWrite], None);
    let file = bed.file("tokens.toml", &entries.concat());
    let more = [
        format!("auth.tokens_file={file}"),
        "security.reload_interval_milliseconds=50".to_owned(),
    ];
    let service = bed.start_with(&more).await;
    log_rule(&service, Some(&bob)).await;
    log_rule(&service, Some(&ann)).await;
    let path = "/v1/alerts/stream?after=0";
    let mut of_ann = Events::open(&service, path, Some(&ann), None).await;
    let mut of_admin = Events::open(&service, path, Some(&admin), None).await;
    bed.publish(entered("p")).await;
    let (_, _, data) = of_ann.next().await.unwrap();
    assert_eq!(data["alertChanged"]["owner"], "ann");
    let mut owners = Vec::new();
    for _ in 0..2 {
        let (_, _, data) = of_admin.next().await.unwrap();
        owners.push(data["alertChanged"]["owner"].as_str().unwrap().to_owned());
    }
    owners.sort();
    assert_eq!(owners, ["ann", "bob"]);
    let second = service
        .ask_as(Some(&ann), reqwest::Method::GET, path, None)
        .await;
    assert_eq!(second.0, StatusCode::TOO_MANY_REQUESTS, "{second:?}");
    let refused = service
        .ask_as(Some(&writes), reqwest::Method::GET, path, None)
        .await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    // Her token is revoked.
    std::fs::write(&file, entries[1..].concat()).unwrap();
    while of_ann.block().await.is_some() {}
    timeout(DEADLINE, service.end()).await.unwrap();
}
