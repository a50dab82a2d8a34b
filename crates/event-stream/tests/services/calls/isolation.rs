//! What a limited token gets, by whatever call it asks: of what it is granted, what it wants.

use std::{collections::BTreeSet, sync::Arc};

use access::{Entry, Gate, Identity, Scope, Secret, Tokens};
use atlas_events::{
    Clock, Event, FindEventRequest, SubscriptionRequest, TimeRangeRequest, event::Payload,
};
use chrono::{TimeDelta, Utc};
use event_log::LogConfig;
use event_stream::StreamConfig;
use test_support::{TestDatabase, custom_event, series_event};
use tonic::{Code, Request, Status};

use crate::common::{Client, OFTEN, Server, error_of, next, read_all};

const EVERYTHING: &str = "everything";
/// Lists of types that a token can be limited to, or want; an empty one does not limit.
const TYPES: [&[&str]; 6] = [
    &[],
    &["custom:A", "custom:B"],
    &["CustomEvent"],
    &["SeriesCollectedEvent"],
    &["SeriesCollectedEvent", "custom:B"],
    &["custom:Nowhere"],
];
/// Limits to series and to sources.
const OTHERS: [(&[&str], &[&str]); 2] = [(&[], &[]), (&["NORTH", "EAST"], &["Shop"])];

/// What a token is limited to.
#[derive(Debug, Clone, Copy)]
struct Grant {
    types: &'static [&'static str],
    series: &'static [&'static str],
    sources: &'static [&'static str],
}

/// What its bearer asks for.
#[derive(Debug, Clone)]
struct Wish {
    types: Vec<&'static str>,
    series: Vec<&'static str>,
}

fn grants() -> Vec<Grant> {
    let mut grants = Vec::new();
    for types in TYPES {
        grants.extend(OTHERS.map(|(series, sources)| Grant {
            types,
            series,
            sources,
        }));
    }
    grants
}

fn wishes() -> Vec<Wish> {
    let of_types = |types: &[&'static str]| Wish {
        types: types.to_vec(),
        series: Vec::new(),
    };
    let mut wishes: Vec<_> = TYPES[..4].iter().copied().map(of_types).collect();
    // As long as a filter may be, and longer once it is narrowed.
    wishes.push(of_types(&["CustomEvent"; 501]));
    wishes.push(of_types(&["CustomEvent"; 1_000]));
    wishes.push(Wish {
        types: Vec::new(),
        series: vec!["NORTH"],
    });
    wishes.push(Wish {
        types: vec!["SeriesCollectedEvent", "CustomEvent"],
        series: vec!["SOUTH"; 1_000],
    });
    wishes
}

/// A token that says of itself what it is limited to.
fn entry(token: &str, grant: Grant) -> Entry {
    let limit = |list: &[&str]| -> Option<Arc<[String]>> {
        (!list.is_empty()).then(|| list.iter().map(ToString::to_string).collect())
    };
    let secret = Secret::new(token.to_owned());
    Entry {
        event_types: limit(grant.types),
        series: limit(grant.series),
        sources: limit(grant.sources),
        ..Entry::new(token, Identity::Token(secret.hash()), Scope::ALL.to_vec())
    }
}

fn events() -> Vec<Event> {
    let custom = |n, source: &str, kind: &str| {
        let mut event = custom_event(n);
        event.source_service = source.to_owned();
        if let Some(Payload::Custom(custom)) = &mut event.payload {
            custom.r#type = kind.to_owned();
        }
        event
    };
    let series = |n, source: &str, id: &str| Event {
        source_service: source.to_owned(),
        ..series_event(n, id, "2024-05-01", "1")
    };
    vec![
        custom(1, "Shop", "A"),
        custom(2, "Bank", "A"),
        custom(3, "Shop", "B"),
        custom(4, "Bank", "C"),
        series(5, "Shop", "NORTH"),
        series(6, "Bank", "NORTH"),
        series(7, "Bank", "SOUTH"),
        series(8, "Shop", "EAST"),
    ]
}

/// The type and the series of an event.
fn subject(event: &Event) -> (String, Option<&str>) {
    match event.payload.as_ref().unwrap() {
        Payload::Custom(custom) => (format!("custom:{}", custom.r#type), None),
        Payload::SeriesCollected(collected) => (
            "SeriesCollectedEvent".to_owned(),
            Some(&collected.series_id),
        ),
        other => panic!("{other:?}"),
    }
}

fn names(list: &[&str], kind: &str) -> bool {
    let is_custom = kind.starts_with("custom:");
    list.is_empty()
        || list
            .iter()
            .any(|name| *name == kind || (*name == "CustomEvent" && is_custom))
}

impl Grant {
    fn holds(self, event: &Event) -> bool {
        let (kind, series) = subject(event);
        names(self.types, &kind)
            && (self.series.is_empty() || series.is_some_and(|id| self.series.contains(&id)))
            && (self.sources.is_empty() || self.sources.contains(&&*event.source_service))
    }
}

impl Wish {
    fn holds(&self, event: &Event) -> bool {
        let (kind, series) = subject(event);
        names(&self.types, &kind)
            && (self.series.is_empty() || series.is_some_and(|id| self.series.contains(&id)))
    }

    fn owned(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    fn subscription(&self) -> SubscriptionRequest {
        SubscriptionRequest {
            after_position: Some(0),
            event_types: Self::owned(&self.types),
            series_ids: Self::owned(&self.series),
            heartbeat_interval: Some(OFTEN.into()),
            ..SubscriptionRequest::default()
        }
    }

    fn range(&self) -> TimeRangeRequest {
        TimeRangeRequest {
            start_from: Some((Utc::now() - TimeDelta::days(7)).into()),
            event_types: Self::owned(&self.types),
            series_ids: Self::owned(&self.series),
            ..TimeRangeRequest::default()
        }
    }
}

/// Somebody with a token.
#[derive(Debug)]
struct Bearer {
    client: Client,
    token: String,
}

impl Bearer {
    fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    }

    /// The ids of what each way of reading brings.
    async fn reads(&mut self, wish: &Wish) -> [Result<BTreeSet<String>, Status>; 3] {
        let request = self.with(wish.range());
        let since = self.client.events.get_events_since(request).await;
        let request = self.with(TimeRangeRequest {
            end_at: Some((Utc::now() + TimeDelta::minutes(1)).into()),
            ..wish.range()
        });
        let between = self.client.events.get_events_between(request).await;
        let ranges = [since, between];
        let mut read = Vec::new();
        for range in ranges {
            read.push(match range {
                Ok(answer) => read_all(answer.into_inner()).await.map(ids),
                Err(status) => Err(status),
            });
        }
        let [since, between] = read.try_into().unwrap();
        [self.follows(wish).await, since, between]
    }

    /// What a subscription brings until all that is stored has been delivered.
    async fn follows(&mut self, wish: &Wish) -> Result<BTreeSet<String>, Status> {
        let request = self.with(wish.subscription());
        let mut stream = self
            .client
            .events
            .subscribe_to_events(request)
            .await?
            .into_inner();
        let mut events = Vec::new();
        loop {
            let event = next(&mut stream).await?;
            match event.payload {
                Some(Payload::CaughtUp(_)) => return Ok(ids(events)),
                Some(Payload::Heartbeat(_)) => {}
                _ => events.push(event),
            }
        }
    }

    async fn finds(&mut self, event: &Event) -> bool {
        let request = self.with(FindEventRequest {
            event_id: event.event_id.clone(),
        });
        match self.client.log.find_event(request).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound);
                false
            }
        }
    }
}

fn ids(events: Vec<Event>) -> BTreeSet<String> {
    events.into_iter().map(|event| event.event_id).collect()
}

/// A server whose gate knows a token for each grant.
async fn serve(database: &TestDatabase) -> Server {
    let all = Grant {
        types: &[],
        series: &[],
        sources: &[],
    };
    let entries = grants()
        .into_iter()
        .enumerate()
        .map(|(n, grant)| entry(&n.to_string(), grant))
        .chain([entry(EVERYTHING, all)]);
    let config = StreamConfig {
        gate: Gate::Tokens(Tokens::new(entries.collect(), Clock::system())),
        ..StreamConfig::default()
    };
    Server::start_with(database, LogConfig::default(), config).await
}

async fn bearer(server: &Server, token: &str) -> Bearer {
    Bearer {
        client: server.client().await,
        token: token.to_owned(),
    }
}

#[tokio::test]
async fn by_every_call_a_token_gets_what_it_is_granted_and_no_more() {
    let database = TestDatabase::create().await;
    let in_memory = serve(&database).await;
    let mut publisher = bearer(&in_memory, EVERYTHING).await;
    let request = publisher.with(atlas_events::PublishRequest {
        events: events(),
        ..Default::default()
    });
    publisher.client.publisher.publish(request).await.unwrap();
    // A server that has just started has nothing in memory.
    let from_database = serve(&database).await;
    for server in [&in_memory, &from_database] {
        let mut reader = bearer(server, EVERYTHING).await;
        for (n, grant) in grants().into_iter().enumerate() {
            reader.token = n.to_string();
            for event in events() {
                assert_eq!(reader.finds(&event).await, grant.holds(&event), "{grant:?}");
            }
            for wish in wishes() {
                let held = events().into_iter();
                let held = held.filter(|event| grant.holds(event) && wish.holds(event));
                let expected = ids(held.collect());
                let (count, kind) = (wish.types.len(), wish.types.first());
                for read in reader.reads(&wish).await {
                    match read {
                        Ok(read) => assert_eq!(read, expected, "{grant:?} {count} of {kind:?}"),
                        Err(status) => assert_eq!(error_of(&status).1, "NOT_GRANTED"),
                    }
                }
            }
        }
    }
    from_database.stop().await;
    in_memory.stop().await;
}

#[tokio::test]
async fn all_custom_types_asked_for_many_times_are_those_that_are_granted() {
    let database = TestDatabase::create().await;
    let server = serve(&database).await;
    let mut publisher = bearer(&server, EVERYTHING).await;
    let request = publisher.with(atlas_events::PublishRequest {
        events: events(),
        ..Default::default()
    });
    publisher.client.publisher.publish(request).await.unwrap();
    let own = |grant: &Grant| grant.types == TYPES[1] && grant.series.is_empty();
    let n = grants().iter().position(own).unwrap();
    let mut reader = bearer(&server, &n.to_string()).await;
    let wish = Wish {
        types: vec!["CustomEvent"; 501],
        series: Vec::new(),
    };
    let expected: BTreeSet<_> = ids(events().drain(..3).collect());
    for read in reader.reads(&wish).await {
        assert_eq!(read.unwrap(), expected);
    }
    server.stop().await;
}
