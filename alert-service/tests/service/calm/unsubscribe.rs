use mail_parser::MessageParser;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use test_support::eventually;

use super::{alert, happens};
use crate::{
    bed::{Bed, DEADLINE, Running, entered},
    receiver::Receiver,
    support::smtp_server::{Manner, SmtpServer},
};

fn mail(server: &SmtpServer, public_url: &str) -> Vec<String> {
    vec![
        format!("rest.public_url={public_url}"),
        format!("mail.host={}", server.address.ip()),
        format!("mail.port={}", server.address.port()),
        "mail.tls=none".to_owned(),
        "mail.from=alerts@example.org".to_owned(),
        "mail.domain=example.org".to_owned(),
    ]
}

async fn mail_channel(service: &Running, to: &str) -> String {
    let body = json!({"name": "mail", "configuration": {"kind": "mail", "to": to}});
    let channel = service.post("/v1/channels", body).await;
    channel["id"].as_str().unwrap().to_owned()
}

/// The headers of the one mail that came, for one click: the address, and what is posted to it.
async fn one_click(server: &SmtpServer) -> Option<(String, String)> {
    let mut mails = Vec::new();
    eventually(DEADLINE, async || {
        mails.extend(server.take());
        !mails.is_empty()
    })
    .await;
    let mail = MessageParser::default().parse(&mails[0].data).unwrap();
    let raw = |name: &str| Some(mail.header_raw(name)?.trim().to_owned());
    Some((raw("List-Unsubscribe")?, raw("List-Unsubscribe-Post")?))
}

/// What became of the messages of a pattern, by kind of channel.
async fn states(service: &Running, pattern: &str) -> Vec<(String, Value)> {
    let alert = alert(service, pattern).await;
    let deliveries = alert["deliveries"].as_array().unwrap().iter();
    let state = |one: &Value| match &one["suppressed_by"] {
        Value::Null => one["state"].clone(),
        reason => reason.clone(),
    };
    let kind = |one: &Value| one["channel_kind"].as_str().unwrap().to_owned();
    let mut states: Vec<_> = deliveries.map(|one| (kind(one), state(one))).collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_click_ends_mail_of_its_channel_and_opening_the_link_does_not() {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let server = SmtpServer::start(Manner::Takes).await;
    let settings = mail(&server, "https://alerts.example.org/atlas");
    let service = bed.start_with(&settings).await;
    let channels = [
        mail_channel(&service, "ann@example.org").await,
        service.webhook(&receiver.url("a")).await,
    ];
    service
        .rule(&channels[0], json!({"channels": channels}))
        .await;
    happens(&bed, entered("p")).await;
    let (link, posted) = one_click(&server).await.unwrap();
    assert_eq!(posted, "List-Unsubscribe=One-Click");
    let path = link.strip_prefix("<https://alerts.example.org/atlas");
    let path = path.unwrap().trim_end_matches('>').to_owned();
    let channel = format!("/v1/channels/{}", channels[0]);
    for method in [Method::GET, Method::HEAD] {
        let opened = service.request(method, &path).send().await.unwrap();
        assert_eq!(opened.status(), StatusCode::OK);
        assert_eq!(opened.headers()[header::CACHE_CONTROL], "no-store");
    }
    assert_eq!(service.get(&channel).await["enabled"], true);

    // As programs for mail do; and once more.
    for _ in 0..2 {
        let post = service
            .request(Method::POST, &path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("List-Unsubscribe=One-Click");
        let answer = post.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.text().await.unwrap().contains("Unsubscribed"));
    }
    let ended = service.get(&channel).await;
    assert_eq!(ended["enabled"], false, "{ended}");
    assert!(ended["disabled_reason"].as_str().unwrap().contains("link"));
    happens(&bed, entered("q")).await;
    let sent = ("webhook".to_owned(), json!("sent"));
    eventually(DEADLINE, async || states(&service, "q").await[1] == sent).await;
    let disabled = ("mail".to_owned(), json!("channel_disabled"));
    assert_eq!(states(&service, "q").await[0], disabled);
    let changes: Vec<(String, Option<String>)> = sqlx::query_as(
        "select change, changed_by from changes where object = 'channel' and object_id = $1 order by number",
    )
    .bind(&channels[0])
    .fetch_all(&bed.pool().await)
    .await
    .unwrap();
    let expected = [("created", "anonymous"), ("unsubscribed", "link")];
    let expected = expected.map(|(change, by)| (change.to_owned(), Some(by.to_owned())));
    assert_eq!(changes, expected);

    // It is for this address: one that the channel leads to later has links of its own.
    let to = json!({"kind": "mail", "to": "bob@example.org"});
    let body = json!({"name": "mail", "configuration": to, "version": ended["version"]});
    let updated = service
        .ask_as(None, Method::PUT, &channel, Some(body))
        .await;
    assert_eq!(updated.0, StatusCode::OK, "{updated:?}");
    for bad in [&path, "/u/AAAA", &path[..path.len() - 1]] {
        let answer = service.request(Method::POST, bad).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{bad}");
    }
    assert_eq!(service.get(&channel).await["enabled"], true);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_address_by_https_mail_offers_no_click() {
    let bed = Bed::create(&[]).await;
    let server = SmtpServer::start(Manner::Takes).await;
    let service = bed
        .start_with(&mail(&server, "http://alerts.example.org"))
        .await;
    let channel = mail_channel(&service, "ann@example.org").await;
    service.rule(&channel, json!({})).await;
    happens(&bed, entered("p")).await;
    assert_eq!(one_click(&server).await, None);
    service.end().await;
}
