use access::{Entry, Identity, Scope, Secret, render};
use chrono::TimeDelta;
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use test_support::eventually;

use super::{alert, becomes, entered_with, happens, prefer};
use crate::{
    bed::{Bed, DEADLINE, Running, entered},
    receiver::Receiver,
};

const PUBLIC: &str = "https://alerts.example.org/atlas";
const SETTINGS: [&str; 1] = ["rest.public_url=https://alerts.example.org/atlas/"];

/// The links of a message, as paths of the service: acknowledge, snooze, resolve.
fn links(body: &Value) -> Vec<String> {
    let actions = body["data"]["actions"].as_array().unwrap().iter();
    actions
        .map(|action| {
            let url = action["url"].as_str().unwrap();
            url.strip_prefix(PUBLIC).unwrap().to_owned()
        })
        .collect()
}

async fn open(service: &Running, method: Method, path: &str) -> Response {
    service.request(method, path).send().await.unwrap()
}

async fn heading(service: &Running, method: Method, path: &str) -> (StatusCode, String) {
    let response = open(service, method, path).await;
    let status = response.status();
    let text = response.text().await.unwrap();
    let heading = text.split("<h1>").nth(1).unwrap();
    let heading = heading.split("</h1>").next().unwrap();
    (status, heading.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_a_link_changes_nothing_and_its_button_acts_once() {
    let (bed, receiver) = (Bed::create(&SETTINGS).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    happens(&bed, entered("<b>&p")).await;
    becomes(&service, "<b>&p", "firing", "sent").await;
    let links = links(&receiver.accepted()[0].body);
    let state = async || alert(&service, "<b>&p").await["state"].clone();
    for method in [Method::GET, Method::HEAD] {
        let response = open(&service, method.clone(), &links[0]).await;
        assert_eq!(response.status(), StatusCode::OK, "{method}");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        let text = response.text().await.unwrap();
        if method == Method::GET {
            assert!(text.contains("Name of &lt;b&gt;&amp;p"), "{text}");
            assert!(text.contains("method=\"post\""), "{text}");
        }
    }
    assert_eq!(state().await, "firing");
    let done = heading(&service, Method::POST, &links[0]).await;
    assert_eq!(done, (StatusCode::OK, "Acknowledged".to_owned()));
    assert_eq!(state().await, "acknowledged");
    let again = heading(&service, Method::POST, &links[0]).await;
    assert_eq!(again.1, "It was acknowledged already");
    let snoozed = heading(&service, Method::POST, &links[1]).await;
    assert_eq!(snoozed.1, "Snoozed for 4 hours");
    let again = heading(&service, Method::POST, &links[1]).await;
    assert_eq!(again.1, "This was done already");
    let silences = service.get("/v1/silences").await;
    assert_eq!(silences["silences"].as_array().unwrap().len(), 1);
    let resolved = heading(&service, Method::POST, &links[2]).await;
    assert_eq!(resolved.1, "Resolved");
    let detail = alert(&service, "<b>&p").await;
    assert_eq!(detail["state"], "resolved");
    let by: Vec<_> = detail["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["change"].clone(), change["by"].clone()))
        .collect();
    let link = json!(format!("link:{channel}"));
    let expected = [
        (json!("firing"), Value::Null),
        (json!("acknowledged"), link.clone()),
        (json!("snoozed"), link.clone()),
        (json!("resolved"), link),
    ];
    assert_eq!(by, expected);
    for path in &links {
        let (status, heading) = heading(&service, Method::POST, path).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(heading, "The alert has ended already");
    }
    // Messages about ends have no links.
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    assert_eq!(receiver.accepted()[1].body["data"]["actions"], json!([]));
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_needs_no_token_and_is_good_for_nothing_else() {
    let (bed, receiver) = (Bed::create(&SETTINGS).await, Receiver::start(|_| 200).await);
    let secret = Secret::generate().unwrap();
    let own = vec![Scope::AlertsRead, Scope::AlertsWrite];
    let entry = Entry::new("ann", Identity::Token(secret.hash()), own);
    let file = bed.file("tokens.toml", &render(&entry));
    let service = bed.start_with(&[format!("auth.tokens_file={file}")]).await;
    let ann = Some(secret.expose());
    let hook = json!({"name": "c", "configuration": {"kind": "webhook", "url": receiver.url("a")}});
    let channel = service
        .ask_as(ann, Method::POST, "/v1/channels", Some(hook))
        .await;
    let rule =
        json!({"name": "r", "condition": {"kind": "pattern"}, "channels": [channel.1["id"]]});
    service
        .ask_as(ann, Method::POST, "/v1/rules", Some(rule))
        .await;
    for pattern in ["p", "q"] {
        happens(&bed, entered(pattern)).await;
    }
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    let states = async || {
        let alerts = service.ask_as(ann, Method::GET, "/v1/alerts", None).await.1;
        let alerts = alerts["alerts"].as_array().unwrap().iter();
        alerts
            .map(|alert| alert["state"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = links(&receiver.accepted()[0].body);
    let second = links(&receiver.accepted()[1].body);
    // One made of two: the action, the message, or the time of another.
    let bytes = |link: &str| link.as_bytes().to_vec();
    for (link, other) in [(&first[0], &first[2]), (&first[0], &second[0])] {
        let (link, other) = (bytes(link), bytes(other));
        for cut in 3..link.len() {
            let mixed = [&link[..cut], &other[cut..]].concat();
            let mixed = String::from_utf8(mixed).unwrap();
            if mixed.as_bytes() == link || mixed.as_bytes() == other {
                continue;
            }
            let (status, _) = heading(&service, Method::POST, &mixed).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{mixed}");
        }
    }
    let (status, _) = heading(&service, Method::POST, "/a/AAAA").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(states().await, ["firing", "firing"]);
    let (status, _) = service.ask_as(None, Method::GET, "/v1/alerts", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    bed.move_clock(TimeDelta::days(9));
    let late = heading(&service, Method::POST, &first[0]).await;
    let expired = "This link has expired".to_owned();
    assert_eq!(late, (StatusCode::GONE, expired));
    bed.move_clock(TimeDelta::days(-2));
    let done = heading(&service, Method::POST, &first[0]).await;
    assert_eq!(done, (StatusCode::OK, "Acknowledged".to_owned()));
    let mut states = states().await;
    states.sort();
    assert_eq!(states, ["acknowledged", "firing"]);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_in_the_message_of_a_group_is_about_all_of_it() {
    let (bed, receiver) = (Bed::create(&SETTINGS).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    let grouping = json!({"by": ["team"], "wait_seconds": 60, "interval_seconds": 60});
    prefer(&service, json!({"grouping": grouping})).await;
    for (pattern, team) in [("a1", "a"), ("b1", "b"), ("a2", "a")] {
        let labels = [("team", team)];
        happens(&bed, entered_with(pattern, "warning", &labels)).await;
    }
    bed.move_clock(TimeDelta::seconds(61));
    becomes(&service, "a1", "firing", "sent").await;
    becomes(&service, "b1", "firing", "sent").await;
    let group = receiver.accepted().into_iter();
    let mut group = group.filter(|one| one.body["data"]["title"] == "2 alerts: Name of a1");
    let links = links(&group.next().unwrap().body);
    heading(&service, Method::POST, &links[0]).await;
    let mut states = Vec::new();
    for pattern in ["a1", "a2", "b1"] {
        states.push(alert(&service, pattern).await["state"].clone());
    }
    assert_eq!(states, ["acknowledged", "acknowledged", "firing"]);
    let snoozed = heading(&service, Method::POST, &links[1]).await;
    assert_eq!(snoozed.1, "Snoozed for 4 hours");
    let silences = service.get("/v1/silences?open=true").await;
    assert_eq!(silences["silences"].as_array().unwrap().len(), 2);
    service.end().await;
}
