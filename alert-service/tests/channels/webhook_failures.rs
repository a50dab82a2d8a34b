use std::time::{Duration, Instant};

use alert_service::channel::Sender;

use crate::{
    support::{
        http_server::{HttpServer, Reply},
        sample::{config, impatient, message, now, reason, sender},
    },
    webhook::{channel, keyed},
};

/// What an answer becomes, and its reason.
#[track_caller]
fn check(reply: Reply, expected: &str) -> impl Future<Output = String> {
    let expected = expected.to_owned();
    async move {
        let server = HttpServer::start().await.will(reply);
        let outcome = sender().send(&channel(&server), &keyed(), &message()).await;
        server.take_one();
        reason(outcome, &expected)
    }
}

#[tokio::test]
async fn a_status_says_whether_another_attempt_makes_sense() {
    for status in [200, 201, 202, 204] {
        check(Reply::status(status), "accepted").await;
    }
    for status in [400, 401, 403, 404, 408, 425, 500, 502, 503, 504] {
        let reason = check(Reply::text(status, "why\u{0} not"), "failed").await;
        assert!(reason.contains(&status.to_string()), "{reason}");
        assert!(reason.ends_with("why not"), "{reason}");
    }
    check(Reply::status(410), "disabled").await;
    check(Reply::status(413), "refused").await;
}

#[tokio::test]
async fn a_pause_is_kept_within_bounds() {
    let in_90_s = now() + chrono::TimeDelta::seconds(90);
    let date = in_90_s.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (status, value, seconds) in [
        (429, "7", 7),
        (503, " 120 ", 120),
        (429, "0", 1),
        (429, "999999999999999999999999", 3600),
        (502, date.as_str(), 90),
        (429, "Sun, 06 Nov 1994 08:49:37 GMT", 1),
        (429, "-5", 10),
        (429, "soon", 10),
    ] {
        let reply = Reply::header(status, "retry-after", value);
        let reason = check(reply, "slower").await;
        assert!(
            reason.starts_with(&format!("{seconds} s ")),
            "{value}: {reason}"
        );
    }
    let reason = check(Reply::status(429), "slower").await;
    assert!(reason.starts_with("10 s "), "{reason}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let inside = HttpServer::start_at("127.0.0.2:0").await;
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::header(status, "location", inside.url("/").as_str());
        let reason = check(reply, "failed").await;
        assert!(reason.contains("redirects are not followed"), "{reason}");
    }
    assert!(inside.take().is_empty());
}

#[tokio::test]
async fn silence_is_a_failure_that_is_repeated() {
    let server = HttpServer::start().await.will(Reply::Silence);
    let outcome = impatient()
        .send(&channel(&server), &keyed(), &message())
        .await;
    assert_eq!(reason(outcome, "failed"), "no answer in time");
    assert_eq!(server.take().len(), 1);
}

#[tokio::test]
async fn an_answer_without_end_is_read_up_to_a_bound() {
    let server = HttpServer::start().await.will(Reply::Endless(200));
    let outcome = sender().send(&channel(&server), &keyed(), &message()).await;
    let receipt = reason(outcome, "accepted");
    assert!(receipt.len() <= 1024 && receipt.starts_with("xxx"));
    // What is read is 64 KiB; the rest is in the buffers of the system.
    assert!(server.produced_bytes() < 50 << 20);
}

#[tokio::test]
async fn the_status_counts_when_the_body_breaks_off_or_never_ends() {
    check(Reply::Reset(200), "accepted").await;
    check(Reply::Reset(500), "failed").await;
    for (status, expected) in [(200, "accepted"), (500, "failed")] {
        let server = HttpServer::start().await.will(Reply::Slow(status));
        let begun = Instant::now();
        let outcome = impatient()
            .send(&channel(&server), &keyed(), &message())
            .await;
        reason(outcome, expected);
        // The same where the time for the whole attempt ends first.
        let server = HttpServer::start().await.will(Reply::Slow(status));
        let mut config = config();
        config.total_timeout = Duration::from_millis(500);
        let hurried = Sender::new(config).unwrap();
        let outcome = hurried.send(&channel(&server), &keyed(), &message()).await;
        reason(outcome, expected);
        // Neither took as long as the other time-out: 20 s for all, 15 s for an answer.
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again() {
    // The port is free again once the listener is dropped.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let channel = alert_service::channel::Channel::Webhook {
        url: url.parse().unwrap(),
    };
    let outcome = sender().send(&channel, &keyed(), &message()).await;
    let reason = reason(outcome, "failed");
    assert!(reason.contains("refused"), "{reason}");
    assert!(!reason.contains("http://"), "{reason}");
}
