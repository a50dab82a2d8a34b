//! The healthy client beside an attack: it publishes, follows what it published, and asks for
//! readiness, all from another address than the attacker.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use atlas_events::{
    CustomEvent, Event, GetLogInfoRequest, PublishRequest, SubscriptionRequest, event::Payload,
    event_log_client::EventLogClient, event_publisher_client::EventPublisherClient,
    event_stream_client::EventStreamClient,
};
use pbjson_types::{Struct, Value, value::Kind};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use crate::{target::Target, wire::with_token};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);
const READY_INTERVAL: Duration = Duration::from_millis(500);
/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const EVENT_TYPE: &str = "Neighbour";
/// Failures beyond these are counted only.
const FAILURES_MAX: usize = 5;

/// What the client saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// How many events it published and got back.
    pub(crate) events: u64,
    /// The longest wait for an answer, and for what.
    pub(crate) worst: (Duration, &'static str),
    /// What went wrong.
    pub(crate) failures: Vec<String>,
}

/// The client, in a thread of its own, which a busy attacker does not delay.
#[derive(Debug)]
pub(crate) struct Neighbour {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<()>>,
    seen: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    published: AtomicU64,
    /// Those that were not acknowledged, and so may be missing.
    lost: Mutex<BTreeSet<u64>>,
    delivered: AtomicU64,
}

impl Shared {
    fn answered(&self, began: Instant, what: &'static str) {
        let took = began.elapsed();
        self.change(|seen| {
            if took > seen.worst.0 {
                seen.worst = (took, what);
            }
        });
    }

    fn failed(&self, failure: String) {
        self.change(|seen| {
            if seen.failures.len() < FAILURES_MAX {
                seen.failures.push(failure);
            }
        });
    }

    fn lose(&self, number: u64) {
        if let Ok(mut lost) = self.lost.lock() {
            lost.insert(number);
        }
    }

    /// Whether an event may come after another one.
    fn may_follow(&self, number: u64, last: u64) -> bool {
        let is_lost = |number| self.lost.lock().is_ok_and(|lost| lost.contains(&number));
        number > last && (last + 1..number).all(is_lost)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        if let Ok(mut seen) = self.seen.lock() {
            change(&mut seen);
        }
    }
}

/// Where to, and as who.
#[derive(Clone)]
struct Way {
    grpc: SocketAddr,
    rest: [SocketAddr; 2],
    token: String,
}

impl Neighbour {
    /// Begins, and waits until its first event has come back.
    pub(crate) async fn begin(target: &Target) -> Result<Self> {
        let way = Way {
            grpc: target.collector.grpc,
            rest: [target.collector.rest, target.engine.rest],
            token: target.tokens.neighbour.expose().to_owned(),
        };
        let (stop, stopped) = watch::channel(false);
        let seen = Arc::new(Shared::default());
        let shared = seen.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(live(way, shared, stopped))
        });
        let neighbour = Self { stop, thread, seen };
        let began = Instant::now();
        while neighbour.seen.delivered.load(Ordering::Relaxed) == 0 {
            if neighbour.thread.is_finished() || began.elapsed() > PATIENCE {
                let _ = neighbour.stop.send(true);
                bail!("the healthy client is not served before the attack");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(neighbour)
    }

    /// Ends it, once everything that it published has come back.
    pub(crate) async fn end(self) -> Seen {
        let _ = self.stop.send(true);
        let thread = self.thread;
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        let mut seen = self
            .seen
            .seen
            .lock()
            .map_or_else(|_| Seen::default(), |s| s.clone());
        seen.events = self.seen.delivered.load(Ordering::Relaxed);
        match ended {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => seen.failures.push(format!("{error:#}")),
            _ => seen.failures.push("the healthy client broke".to_owned()),
        }
        seen
    }
}

async fn live(way: Way, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) -> Result<()> {
    let endpoint = Endpoint::from_shared(format!("http://{}", way.grpc))?;
    let endpoint = endpoint.local_address(Some(ADDRESS)).timeout(PATIENCE);
    let channel = timeout(PATIENCE, endpoint.connect()).await??;
    // Streams have no time limit; on a connection of their own they are not behind publishes.
    let streaming = Endpoint::from_shared(format!("http://{}", way.grpc))?;
    let streaming = streaming.local_address(Some(ADDRESS)).connect().await?;
    let info = EventLogClient::new(channel.clone())
        .get_log_info(with_token(GetLogInfoRequest {}, &way.token))
        .await?;
    let after = info.into_inner().last_position;
    let request = SubscriptionRequest {
        after_position: Some(after),
        event_types: vec![format!("custom:{EVENT_TYPE}")],
        ..SubscriptionRequest::default()
    };
    let stream = EventStreamClient::new(streaming)
        .subscribe_to_events(with_token(request, &way.token))
        .await?
        .into_inner();
    let publishing = publish(&way, channel, &shared, stopped.clone());
    let following = follow(stream, &shared, stopped.clone());
    let asking = async {
        let client = client()?;
        loop {
            for address in way.rest {
                ask_readiness(&client, address, &shared).await;
            }
            let stop = stopped.wait_for(|stopped| *stopped);
            if timeout(READY_INTERVAL, stop).await.is_ok() {
                return anyhow::Ok(());
            }
        }
    };
    let (published, followed, asked) = futures::join!(publishing, following, asking);
    published.and(followed).and(asked)
}

/// Each request on a connection of its own: whether a new one is let in is what matters.
fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .local_address(ADDRESS)
        .pool_max_idle_per_host(0)
        .timeout(PATIENCE);
    Ok(client.build()?)
}

async fn ask_readiness(client: &reqwest::Client, address: SocketAddr, shared: &Shared) {
    let began = Instant::now();
    let answer = client.get(format!("http://{address}/readyz")).send().await;
    match answer {
        Ok(answer) if answer.status().is_success() => shared.answered(began, "/readyz"),
        Ok(answer) => {
            let (status, why) = (answer.status(), answer.text().await.unwrap_or_default());
            shared.failed(format!("/readyz: {status} {why}"));
        }
        Err(error) => shared.failed(format!("/readyz: {}", causes(&error.into()))),
    }
}

async fn publish(
    way: &Way,
    channel: Channel,
    shared: &Shared,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let mut client = EventPublisherClient::new(channel);
    for number in 1_u64.. {
        let began = Instant::now();
        let request = PublishRequest {
            events: vec![event(number)],
            ..PublishRequest::default()
        };
        match client.publish(with_token(request, &way.token)).await {
            Ok(_) => {
                shared.answered(began, "Publish");
                shared.published.store(number, Ordering::Relaxed);
            }
            Err(status) => {
                shared.lose(number);
                shared.failed(format!("Publish {number}: {}", causes(&status.into())));
            }
        }
        let stop = stopped.wait_for(|stopped| *stopped);
        if timeout(PUBLISH_INTERVAL, stop).await.is_ok() {
            break;
        }
    }
    Ok(())
}

fn event(number: u64) -> Event {
    let fields = HashMap::from([("n".to_owned(), Value::from(number as f64))]);
    let custom = CustomEvent {
        r#type: EVENT_TYPE.to_owned(),
        data: Some(Struct::from(fields)),
    };
    Event {
        source_service: EVENT_TYPE.to_owned(),
        payload: Some(Payload::Custom(custom)),
        ..Event::default()
    }
}

fn number_of(event: Event) -> Option<u64> {
    let Some(Payload::Custom(custom)) = event.payload else {
        return None;
    };
    match custom.data?.fields.remove("n")?.kind? {
        Kind::NumberValue(number) => Some(number as u64),
        _ => None,
    }
}

async fn follow(
    mut stream: Streaming<Event>,
    shared: &Shared,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let mut last = 0;
    let mut deadline = None;
    loop {
        if deadline.is_some() && last >= shared.published.load(Ordering::Relaxed) {
            return Ok(());
        }
        let next = tokio::select! {
            next = stream.message() => next,
            () = until(deadline) => bail!("event {} never came back", last + 1),
            _ = stopped.changed(), if deadline.is_none() => {
                deadline = Some(Instant::now() + PATIENCE);
                continue;
            }
        };
        let event =
            next.map_err(|status| anyhow!("the stream ended: {}", causes(&status.into())))?;
        let number = event.and_then(number_of).context("the stream ended")?;
        ensure!(
            shared.may_follow(number, last),
            "event {number} came after event {last}"
        );
        last = number;
        shared.delivered.store(last, Ordering::Relaxed);
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// An error with what caused it, in one line.
fn causes(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    text.truncate(text.floor_char_boundary(200));
    text
}
