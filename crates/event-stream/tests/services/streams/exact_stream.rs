//! Promise 4: exactly the matching events, once, in order: through catch-up, the switch to live,
//! falling behind, and reconnecting with a cursor.

use std::{collections::BTreeMap, sync::Arc};

use atlas_events::{CustomEvent, Event, SubscriptionRequest, event::Payload};
use event_log::LogConfig;
use event_stream::StreamConfig;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use test_support::{TestDatabase, custom_event, series_event};
use tokio::{sync::watch, task::JoinSet};
use tonic::Streaming;

use crate::common::{Client, Server, after, beating, cursor_of, is_marker, next};

const PUBLISHERS: u64 = 3;
const BATCHES_EACH: u64 = 40;
const READERS: u64 = 6;
const SERIES: [&str; 4] = ["UNRATE", "DGS2", "DGS10", "ICSA"];
const CUSTOM_TYPES: [&str; 3] = ["A", "B", "OrderPlaced"];

/// The last position, once it is known.
type Done = watch::Receiver<Option<u64>>;

#[tokio::test]
async fn through_disconnects_of_any_kind_seed_1() {
    check(1).await;
}

#[tokio::test]
async fn through_disconnects_of_any_kind_seed_2() {
    check(2).await;
}

/// Random publishers and random readers on two servers, of which one keeps so little in memory that
/// its readers fall behind all the time.
async fn check(seed: u64) {
    let database = TestDatabase::create().await;
    let mut servers = Vec::new();
    for ring_bytes_max in [LogConfig::default().ring_bytes_max, 4_000] {
        let log_config = LogConfig {
            ring_bytes_max,
            ..LogConfig::default()
        };
        servers.push(Server::start_with(&database, log_config, StreamConfig::default()).await);
    }
    let servers = Arc::new(servers);
    let (finish, done) = watch::channel(None);
    let mut reading = JoinSet::new();
    for reader in 0..READERS {
        let random = StdRng::seed_from_u64(seed * 1_000 + reader);
        reading.spawn(read(Arc::clone(&servers), random, done.clone()));
    }
    let mut publishing = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let random = StdRng::seed_from_u64(seed * 1_000 + 500 + publisher);
        publishing.spawn(publish(Arc::clone(&servers), random, publisher));
    }
    let published: BTreeMap<u64, Event> =
        publishing.join_all().await.into_iter().flatten().collect();
    let last_position = published.len() as u64;
    assert!(published.keys().copied().eq(1..=last_position));
    finish.send_replace(Some(last_position));
    for (wanted, found) in reading.join_all().await {
        let matching = published.values().filter(|event| wanted.matches(event));
        assert!(found.iter().eq(matching), "seed {seed}, {wanted:?}");
    }
}

/// Publishes random batches, some of them twice, and returns what is to be found where.
async fn publish(
    servers: Arc<Vec<Server>>,
    mut random: StdRng,
    publisher: u64,
) -> Vec<(u64, Event)> {
    let mut clients = Vec::new();
    for server in servers.iter() {
        clients.push(server.client().await);
    }
    let mut published = Vec::new();
    let mut n = publisher * 1_000_000;
    for _ in 0..BATCHES_EACH {
        let size = random.random_range(1..20);
        let batch: Vec<_> = (n..n + size)
            .map(|n| random_event(n, &mut random))
            .collect();
        n += size;
        let client = &mut clients[random.random_range(0..2)];
        let stored = client.publish(batch.clone()).await;
        if random.random_bool(0.1) {
            let again = clients[random.random_range(0..2)].publish(batch).await;
            assert_eq!(again, stored);
        }
        published.extend(stored.into_iter().map(|event| (event.position, event)));
    }
    published
}

fn random_event(n: u64, random: &mut StdRng) -> Event {
    if random.random_bool(0.5) {
        return series_event(n, SERIES.choose(random).unwrap(), "2025-01-01", "4.2");
    }
    let custom = CustomEvent {
        r#type: (*CUSTOM_TYPES.choose(random).unwrap()).to_owned(),
        data: None,
    };
    Event {
        payload: Some(Payload::Custom(custom)),
        ..custom_event(n)
    }
}

/// What a reader wants, in the plainest terms.
#[derive(Debug, Clone, Default)]
struct Wanted {
    types: Vec<String>,
    series: Vec<String>,
}

impl Wanted {
    fn random(random: &mut StdRng) -> Self {
        let types = [
            "SeriesCollectedEvent",
            "CustomEvent",
            "custom:A",
            "custom:OrderPlaced",
        ];
        let mut some = |of: &[&str]| {
            let count = random.random_range(0..3);
            let chosen = of.choose_multiple(random, count);
            chosen.map(ToString::to_string).collect::<Vec<_>>()
        };
        Self {
            types: some(&types),
            series: some(&SERIES),
        }
    }

    fn matches(&self, event: &Event) -> bool {
        let (names, series) = match event.payload.as_ref().unwrap() {
            Payload::SeriesCollected(collected) => (
                vec!["SeriesCollectedEvent".to_owned()],
                Some(&collected.series_id),
            ),
            Payload::Custom(custom) => (
                vec![
                    "CustomEvent".to_owned(),
                    format!("custom:{}", custom.r#type),
                ],
                None,
            ),
            other => panic!("{other:?}"),
        };
        let type_wanted =
            self.types.is_empty() || names.iter().any(|name| self.types.contains(name));
        let series_wanted =
            self.series.is_empty() || series.is_some_and(|id| self.series.contains(id));
        type_wanted && series_wanted
    }
}

/// Reads everything, in streams that each end after a random number of messages, and resumes each
/// time after the position of the last message.
async fn read(
    servers: Arc<Vec<Server>>,
    mut random: StdRng,
    mut done: Done,
) -> (Wanted, Vec<Event>) {
    let wanted = Wanted::random(&mut random);
    let mut events = Vec::new();
    let mut cursor = 0;
    loop {
        let server = &servers[random.random_range(0..servers.len())];
        let last_position = *done.borrow();
        if last_position.is_some_and(|last| cursor >= last) {
            return (wanted, events);
        }
        // Only markers show a filtered reader that it is at the end.
        let with_markers = last_position.is_some() || random.random_bool(0.5);
        let request = SubscriptionRequest {
            event_types: wanted.types.clone(),
            series_ids: wanted.series.clone(),
            ..after(cursor)
        };
        let request = if with_markers {
            beating(request)
        } else {
            request
        };
        let mut client: Client = server.client().await;
        // The server may not have heard of the last event that another one delivered: a cursor
        // from there is good here, too.
        let mut stream = client.subscribe(request).await;
        let count = *[8, 40, 300].choose(&mut random).unwrap();
        let count = random.random_range(1..count);
        cursor = read_some(&mut stream, cursor, count, &mut done, &mut events).await;
    }
}

/// Reads some messages, or until all has been published, and returns the cursor.
async fn read_some(
    stream: &mut Streaming<Event>,
    mut cursor: u64,
    count: usize,
    done: &mut Done,
    events: &mut Vec<Event>,
) -> u64 {
    for _ in 0..count {
        let event = tokio::select! {
            event = next(stream) => event.unwrap(),
            Ok(()) = done.changed() => return cursor,
        };
        let before = std::mem::replace(&mut cursor, cursor_of(&event));
        if is_marker(&event) {
            assert!(cursor >= before, "{event:?} after {before}");
        } else {
            assert!(cursor > before, "{event:?} after {before}");
            events.push(event);
        }
    }
    cursor
}
