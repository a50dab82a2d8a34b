//! Tenants: each sees and publishes its own, by whatever way it asks.

use std::collections::BTreeSet;

use access::Scope;
use atlas_events::{Event, SubscriptionRequest, TimeRangeRequest, event::Payload};
use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use test_support::{Folder, TestDatabase, custom_event, series_event};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    clients::{Client, Rest, field, next, reason},
    harness::{Collector, only, token, write_tokens},
};

const BOTH: [Scope; 2] = [Scope::Read, Scope::Publish];

fn north(n: u64) -> Event {
    series_event(n, "NORTH", "2024-05-01", "1.5")
}

fn south(n: u64) -> Event {
    series_event(n, "SOUTH", "2024-05-01", "2.5")
}

fn all_time() -> TimeRangeRequest {
    TimeRangeRequest {
        start_from: Some((Utc::now() - TimeDelta::days(7)).into()),
        end_at: Some((Utc::now() + TimeDelta::minutes(1)).into()),
        ..TimeRangeRequest::default()
    }
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.event_id).collect()
}

/// A collector whose log holds what all tenants published, the tenant of the north, and one that is
/// limited to nothing.
struct World {
    database: TestDatabase,
    collector: Collector,
    northern: Client,
    everybody: Client,
    northern_rest: Rest,
    settings: [(&'static str, String); 2],
    _folder: Folder,
}

impl World {
    async fn create() -> Self {
        let folder = Folder::create();
        let (of_north, mut entry) = token("north", &BOTH);
        entry.series = only(&["NORTH"]);
        let (of_all, other) = token("all", &BOTH);
        let file = write_tokens(&folder, &[&entry, &other]);
        let settings = [
            ("auth.tokens_file", file),
            ("fred.series", "NORTH,SOUTH".to_owned()),
        ];
        let database = TestDatabase::create().await;
        let borrowed = crate::harness::borrowed(&settings);
        let collector = Collector::start(&database, &borrowed).await;
        let client = Client::of(&collector).await;
        let everybody = client.with_token(&of_all);
        let events = vec![north(1), south(2), custom_event(3), north(4), south(5)];
        everybody.publish(events).await.unwrap();
        Self {
            northern: client.with_token(&of_north),
            everybody,
            northern_rest: Rest::of(&collector).with_token(&of_north),
            collector,
            database,
            settings,
            _folder: folder,
        }
    }

    async fn end(self) {
        self.collector.stop().await;
    }
}

#[tokio::test]
async fn a_subscription_brings_a_tenant_its_own_from_memory_database_and_live() {
    let world = World::create().await;
    let own = [north(1).event_id, north(4).event_id, north(7).event_id];
    let mut from_memory = world.northern.follow().await.unwrap();
    // A process that has just started has nothing in memory.
    let settings = crate::harness::borrowed(&world.settings);
    let restarted = Collector::start(&world.database, &settings).await;
    let northern = Client::of(&restarted).await.as_client(&world.northern);
    let mut from_database = northern.follow().await.unwrap();
    let events = vec![south(6), north(7)];
    world.everybody.publish(events).await.unwrap();
    for stream in [&mut from_memory, &mut from_database] {
        for id in &own {
            assert_eq!(next(stream).await.event_id, *id);
        }
    }
    restarted.stop().await;
    world.end().await;
}

#[tokio::test]
async fn a_filter_for_what_is_anothers_is_refused_whether_it_exists_or_not() {
    let world = World::create().await;
    for series in ["SOUTH", "NOWHERE"] {
        let series_ids = vec!["NORTH".to_owned(), series.to_owned()];
        let subscribed = world.northern.subscribe(SubscriptionRequest {
            series_ids: series_ids.clone(),
            after_position: Some(0),
            ..SubscriptionRequest::default()
        });
        let range = TimeRangeRequest {
            series_ids,
            ..all_time()
        };
        let refused = [
            subscribed.await.unwrap_err(),
            world.northern.since(range.clone()).await.unwrap_err(),
            world.northern.between(range).await.unwrap_err(),
        ];
        for status in refused {
            assert_eq!(status.code(), Code::PermissionDenied);
            assert_eq!(reason(&status), "NOT_GRANTED");
            assert_eq!(field(&status), "series_ids[1]");
            let words = format!("these credentials do not extend to the series \"{series}\"");
            assert_eq!(status.message().replace("series_ids[1]: ", ""), words);
        }
    }
    world.end().await;
}

#[tokio::test]
async fn range_reads_bring_a_tenant_its_own() {
    let world = World::create().await;
    let own = [north(1), north(4)];
    let since = world.northern.since(all_time()).await.unwrap();
    assert_eq!(ids(&since), ids(&own));
    let between = world.northern.between(all_time()).await.unwrap();
    assert_eq!(ids(&between), ids(&own));
    assert_eq!(world.everybody.since(all_time()).await.unwrap().len(), 5);
    world.end().await;
}

#[tokio::test]
async fn an_event_of_another_is_not_there_in_the_words_of_one_that_is_not() {
    let world = World::create().await;
    let mine = world.northern.find(&north(1).event_id).await.unwrap();
    assert_eq!(mine.position, 1);
    world.everybody.find(&south(2).event_id).await.unwrap();
    let nowhere = series_event(99, "SOUTH", "2024-05-01", "1").event_id;
    let problem_of = async |id: &str| {
        let status = world.northern.find(id).await.unwrap_err();
        let details = format!("{:?}", status.get_error_details());
        let hidden = |text: &str| text.replace(id, "it");
        (status.code(), hidden(status.message()), hidden(&details))
    };
    let missing = problem_of(&nowhere).await;
    assert_eq!(missing.0, Code::NotFound);
    assert_eq!(problem_of(&south(2).event_id).await, missing);
    assert_eq!(problem_of(&custom_event(3).event_id).await, missing);
    world.end().await;
}

#[tokio::test]
async fn the_times_that_a_tenant_sees_are_of_its_own_events() {
    let world = World::create().await;
    let info = world.northern.info().await.unwrap();
    assert!(info.limited);
    assert_eq!(info.last_position, 5);
    assert_eq!(info.latest_occurred_at, north(4).occurred_at);
    assert_eq!(info.latest_recorded_at, None);
    let latest = world.northern.latest_time().await.unwrap();
    assert_eq!(Some(latest), north(4).occurred_at);
    let whole = world.everybody.info().await.unwrap();
    assert!(!whole.limited);
    assert_eq!(whole.latest_occurred_at, south(5).occurred_at);
    world.end().await;
}

#[tokio::test]
async fn rest_shows_a_tenant_its_own() {
    let world = World::create().await;
    let rest = &world.northern_rest;
    let page = rest.get("/v1/events").await.ok();
    let shown: Vec<_> = list(&page["events"], "eventId");
    assert_eq!(shown, [north(1).event_id, north(4).event_id]);
    let registered = rest.get("/v1/series").await.ok();
    assert_eq!(list(&registered["series"], "id"), ["NORTH"]);
    for series in ["SOUTH", "NOWHERE"] {
        for path in [
            format!("/v1/events?series_id={series}"),
            format!("/v1/series/{series}"),
            format!("/v1/series/{series}/latest"),
            format!("/v1/series/{series}/observations"),
            format!("/v1/series/{series}/observations?vintages=true"),
        ] {
            let problem = rest.get(&path).await.denied(403, "NOT_GRANTED");
            let detail = problem["detail"].as_str().unwrap();
            let words = format!("do not extend to the series \"{series}\"");
            assert!(detail.contains(&words), "{path}: {detail}");
        }
    }
    let observed = rest.get("/v1/series/NORTH/observations").await.ok();
    assert_eq!(observed["observations"][0]["value"], "1.5");
    let mine = format!("/v1/events/{}", north(1).event_id);
    rest.get(&mine).await.ok();
    let detail = async |id: &str| {
        let answer = rest.get(&format!("/v1/events/{id}")).await;
        assert_eq!(answer.status.as_u16(), 404, "{answer:?}");
        answer.json()["detail"].clone()
    };
    let missing = detail(&north(99).event_id).await;
    assert_eq!(detail(&south(2).event_id).await, missing);
    let log = rest.get("/v1/log").await.ok();
    assert_eq!(log["limited"], true);
    assert_eq!(log["latest_recorded_at"], Value::Null);
    world.end().await;
}

fn list(values: &Value, member: &str) -> Vec<String> {
    let text = |value: &Value| value[member].as_str().unwrap().to_owned();
    values.as_array().unwrap().iter().map(text).collect()
}

#[tokio::test]
async fn a_tenant_publishes_only_its_own_and_all_or_nothing() {
    let world = World::create().await;
    let status = world.northern.publish(vec![north(10), south(11)]).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason(&status), "NOT_GRANTED");
    assert_eq!(field(&status), "events[1]");
    let status = world.northern.publish(vec![custom_event(12)]).await;
    assert_eq!(reason(&status.unwrap_err()), "NOT_GRANTED");
    let rest = &world.northern_rest;
    let body = json!({"events": [north(10), south(11)]});
    let problem = rest.post("/v1/events", &body).await;
    let problem = problem.denied(403, "NOT_GRANTED");
    assert_eq!(problem["errors"][0]["field"], "events[1]");
    assert_eq!(world.everybody.info().await.unwrap().last_position, 5);
    world.northern.publish(vec![north(10)]).await.unwrap();
    let body = json!({"events": [north(11)]});
    assert_eq!(rest.post("/v1/events", &body).await.status.as_u16(), 201);
    world.end().await;
}

#[tokio::test]
async fn sources_and_event_types_are_limits_too() {
    let folder = Folder::create();
    let (of_source, mut shop) = token("shop", &BOTH);
    shop.sources = only(&["Shop"]);
    let (of_type, mut orders) = token("orders", &BOTH);
    orders.event_types = only(&["custom:OrderPlaced"]);
    let (of_all, all) = token("all", &BOTH);
    let file = write_tokens(&folder, &[&shop, &orders, &all]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let client = Client::of(&collector).await;
    let made = |n, source: &str, kind: &str| {
        let mut event = custom_event(n);
        event.source_service = source.to_owned();
        if let Some(Payload::Custom(custom)) = &mut event.payload {
            custom.r#type = kind.to_owned();
        }
        event
    };
    let events = vec![
        made(1, "Shop", "OrderPlaced"),
        made(2, "Shop", "Stocktaking"),
        made(3, "Bank", "OrderPlaced"),
        made(4, "Bank", "Closed"),
    ];
    let everybody = client.with_token(&of_all);
    everybody.publish(events.clone()).await.unwrap();
    let reads = async |token: &str| {
        let client = client.with_token(token);
        let read = client.since(all_time()).await.unwrap();
        let positions: BTreeSet<_> = read.iter().map(|event| event.position).collect();
        let mut followed = BTreeSet::new();
        let mut stream = client.follow().await.unwrap();
        for _ in 0..positions.len() {
            followed.insert(next(&mut stream).await.position);
        }
        assert_eq!(followed, positions);
        positions
    };
    assert_eq!(reads(&of_all).await, BTreeSet::from([1, 2, 3, 4]));
    assert_eq!(reads(&of_source).await, BTreeSet::from([1, 2]));
    assert_eq!(reads(&of_type).await, BTreeSet::from([1, 3]));

    let publish = async |token: &str, event: Event| {
        let published = client.with_token(token).publish(vec![event]).await;
        published.map_err(|status| (reason(&status), field(&status)))
    };
    let denied = |field: &str| ("NOT_GRANTED".to_owned(), field.to_owned());
    let published = publish(&of_source, made(5, "Bank", "OrderPlaced")).await;
    assert_eq!(published.unwrap_err(), denied("events[0].source_service"));
    let published = publish(&of_type, made(5, "Shop", "Stocktaking")).await;
    assert_eq!(published.unwrap_err(), denied("events[0]"));
    publish(&of_source, made(5, "Shop", "X")).await.unwrap();
    publish(&of_type, made(6, "X", "OrderPlaced"))
        .await
        .unwrap();
    // What the service derived from events does not say whose they were.
    let rest = Rest::of(&collector).with_token(&of_source);
    let observed = rest.get("/v1/series/NORTH/observations").await;
    observed.denied(403, "UNLIMITED_ONLY");
    collector.stop().await;
}

#[tokio::test]
async fn limits_to_event_types_and_sources_bind_the_registry_of_series_too() {
    let folder = Folder::create();
    let scopes = [Scope::Read, Scope::Admin];
    let (of_type, mut orders) = token("orders", &scopes);
    orders.event_types = only(&["custom:OrderPlaced"]);
    let (of_source, mut shop) = token("shop", &scopes);
    shop.sources = only(&["Shop"]);
    let (of_collections, mut collections) = token("collections", &scopes);
    collections.event_types = only(&["SeriesCollectedEvent"]);
    collections.sources = only(&["FredCollector"]);
    let file = write_tokens(&folder, &[&orders, &shop, &collections]);
    let database = TestDatabase::create().await;
    let settings = [("auth.tokens_file", &*file), ("fred.series", "NORTH")];
    let collector = Collector::start(&database, &settings).await;
    let rest = Rest::of(&collector);
    let schedule = json!({"schedule": "35 12 * * 4"});
    let calls = [
        (Method::GET, "/v1/series/NORTH", Value::Null),
        (Method::POST, "/v1/series", json!({"id": "SOUTH"})),
        (Method::PATCH, "/v1/series/NORTH", schedule),
        (Method::POST, "/v1/series/NORTH/pause", Value::Null),
        (Method::POST, "/v1/series/NORTH/resume", Value::Null),
        (Method::POST, "/v1/series/NORTH/collect", Value::Null),
        (
            Method::POST,
            "/v1/series/NORTH/backfill",
            json!({"from": "all"}),
        ),
        (Method::DELETE, "/v1/series/NORTH", Value::Null),
    ];
    for token in [&of_type, &of_source] {
        let rest = rest.with_token(token);
        let listed = rest.get("/v1/series").await.ok();
        assert_eq!(listed["series"], json!([]));
        for (method, path, body) in &calls {
            let answer = rest.try_send(method.clone(), path, Some(body)).await;
            answer.unwrap().denied(403, "NOT_GRANTED");
        }
    }
    let rest = rest.with_token(&of_collections);
    let listed = rest.get("/v1/series").await.ok();
    assert_eq!(list(&listed["series"], "id"), ["NORTH"]);
    rest.get("/v1/series/NORTH").await.ok();
    collector.stop().await;
}

#[tokio::test]
async fn pages_of_events_hold_no_more_than_is_granted_however_it_is_asked() {
    let folder = Folder::create();
    let (of_type, mut orders) = token("orders", &BOTH);
    orders.event_types = only(&["custom:OrderPlaced", "custom:OrderShipped"]);
    let (of_all, all) = token("all", &BOTH);
    let file = write_tokens(&folder, &[&orders, &all]);
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("auth.tokens_file", &file)]).await;
    let everybody = Client::of(&collector).await.with_token(&of_all);
    let mut own = custom_event(1);
    if let Some(Payload::Custom(custom)) = &mut own.payload {
        custom.r#type = "OrderPlaced".to_owned();
    }
    let events = vec![own.clone(), custom_event(2), north(3)];
    everybody.publish(events).await.unwrap();
    let rest = Rest::of(&collector).with_token(&of_type);
    for times in [1, 500, 501, 1_000] {
        let query = vec!["event_type=CustomEvent"; times].join("&");
        let page = rest.get(&format!("/v1/events?{query}")).await.ok();
        assert_eq!(
            list(&page["events"], "eventId"),
            [own.event_id.clone()],
            "{times}"
        );
    }
    // An id of which the library reads as many bits as it has, and a character that is not text.
    let beyond = format!("8{}", &own.event_id[1..]);
    for path in [
        format!("/v1/events/{beyond}"),
        "/v1/events?event_type=custom:A%00".to_owned(),
        "/v1/events?series_id=A%00".to_owned(),
        "/v1/series/A%00".to_owned(),
        "/v1/series/NORTH/observations?from=-5000-01-01".to_owned(),
    ] {
        let answer = rest.with_token(&of_all).get(&path).await;
        assert_eq!(answer.status.as_u16(), 400, "{path}: {answer:?}");
    }
    collector.stop().await;
}
