//! How much a token may do.

use std::num::NonZeroU32;

use access::Scope;
use atlas_events::{
    PublishRequest, TimeRangeRequest, event_publisher_client::EventPublisherClient,
    publish_stream_response::Outcome,
};
use chrono::{TimeDelta, Utc};
use futures::{future::join_all, stream};
use serde_json::json;
use test_support::{Folder, TestDatabase, custom_event, eventually};
use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    clients::{Client, Rest, reason},
    harness::{Collector, DEADLINE, token, write_tokens},
};

const BOTH: [Scope; 2] = [Scope::Read, Scope::Publish];

#[tokio::test]
async fn a_publisher_over_its_rate_gets_the_time_to_retry() {
    let folder = Folder::create();
    let (slow, mut entry) = token("slow", &BOTH);
    entry.events_per_second = NonZeroU32::new(2);
    let (free, other) = token("free", &BOTH);
    let file = write_tokens(&folder, &[&entry, &other]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let client = Client::of(&collector).await;
    let (slow_client, free_client) = (client.with_token(&slow), client.with_token(&free));
    // All at once, so that time hardly passes for the limit between the first and the last.
    let published = (0..40).map(|n| slow_client.publish(vec![custom_event(n)]));
    let published = join_all(published).await;
    let refused: Vec<_> = published.into_iter().filter_map(Result::err).collect();
    assert!(refused.len() < 40 && !refused.is_empty());
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(reason(&status), "RATE_LIMITED");
        let wait = status.get_error_details().retry_info().unwrap().retry_delay;
        assert!(wait.is_some_and(|wait| wait.as_millis() > 0 && wait.as_secs() < 1));
    }
    let rest = Rest::of(&collector).with_token(&slow);
    let posted = (40..80).map(async |n| {
        let body = json!({"events": [custom_event(n)]});
        rest.post("/v1/events", &body).await
    });
    let posted = join_all(posted).await;
    let refused = posted.iter().find(|answer| answer.status == 429).unwrap();
    refused.denied(429, "RATE_LIMITED");
    assert_eq!(refused.headers["retry-after"], "1");
    // The limit is that of one token.
    let batch = (100..150).map(custom_event).collect();
    free_client.publish(batch).await.unwrap();
    eventually(DEADLINE, async || {
        slow_client.publish(vec![custom_event(200)]).await.is_ok()
    })
    .await;
    let batch = (300..303).map(custom_event).collect();
    let status = slow_client.publish(batch).await.unwrap_err();
    assert_eq!(reason(&status), "BATCH_RATE_TOO_LARGE");
    assert!(status.get_error_details().retry_info().is_none());
    collector.stop().await;
}

#[tokio::test]
async fn who_streams_too_fast_is_slowed_down() {
    let folder = Folder::create();
    let (slow, mut entry) = token("slow", &BOTH);
    entry.events_per_second = NonZeroU32::new(20);
    let file = write_tokens(&folder, &[&entry]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let client = Client::of(&collector).await.with_token(&slow);
    // A second's worth is let through at once; for the last of these there is none left.
    let request = |n: u64| PublishRequest {
        events: (n * 10..(n + 1) * 10).map(custom_event).collect(),
        ..PublishRequest::default()
    };
    let requests = client.request(stream::iter((0..4).map(request)));
    let mut publisher = EventPublisherClient::new(client.channel());
    let mut answers = publisher
        .publish_stream(requests)
        .await
        .unwrap()
        .into_inner();
    for _ in 0..4 {
        let answer = timeout(DEADLINE, answers.message()).await.unwrap();
        let outcome = answer.unwrap().unwrap().outcome;
        assert!(matches!(outcome, Some(Outcome::Stored(_))), "{outcome:?}");
    }
    collector.stop().await;
}

#[tokio::test]
async fn a_batch_of_more_bytes_than_allowed_is_refused() {
    let folder = Folder::create();
    let (text, mut entry) = token("small", &BOTH);
    entry.batch_bytes_max = Some(300);
    let file = write_tokens(&folder, &[&entry]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let client = Client::of(&collector).await.with_token(&text);
    client.publish(vec![custom_event(1)]).await.unwrap();
    let large: Vec<_> = (0..10).map(custom_event).collect();
    let status = client.publish(large.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "BATCH_BYTES_TOO_LARGE");
    let rest = Rest::of(&collector).with_token(&text);
    let refused = rest.post("/v1/events", &json!({"events": large})).await;
    refused.denied(413, "BATCH_BYTES_TOO_LARGE");
    assert_eq!(client.info().await.unwrap().last_position, 1);
    collector.stop().await;
}

#[tokio::test]
async fn a_token_has_its_number_of_streams_and_gets_places_back() {
    let folder = Folder::create();
    let (text, mut entry) = token("two", &BOTH);
    entry.streams_max = Some(2);
    let (free, other) = token("free", &BOTH);
    let file = write_tokens(&folder, &[&entry, &other]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    // Connections do not matter.
    let client = Client::of(&collector).await.with_token(&text);
    let second = Client::of(&collector).await.with_token(&text);
    let kept = client.follow().await.unwrap();
    let given_back = second.follow().await.unwrap();
    let range = || TimeRangeRequest {
        start_from: Some((Utc::now() - TimeDelta::days(1)).into()),
        ..TimeRangeRequest::default()
    };
    for status in [
        client.follow().await.unwrap_err(),
        second.since(range()).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(reason(&status), "TOO_MANY_STREAMS");
    }
    client.info().await.unwrap();
    client.with_token(&free).follow().await.unwrap();
    drop(given_back);
    eventually(DEADLINE, async || client.since(range()).await.is_ok()).await;
    drop(kept);
    collector.stop().await;
}
