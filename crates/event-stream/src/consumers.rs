//! The streams that are open, and how far behind their consumers are.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Gauge, gauge};
use tokio_util::sync::CancellationToken;

const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The open streams of a server.
#[derive(Debug)]
pub(crate) struct Consumers {
    open: Mutex<HashMap<u64, Consumer>>,
    open_max: usize,
    next_number: AtomicU64,
    prefix: String,
    open_streams: Gauge,
}

#[derive(Debug)]
struct Consumer {
    name: String,
    cursor: Arc<AtomicU64>,
}

impl Consumers {
    pub(crate) fn new(prefix: &str, open_max: usize) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            open_max,
            next_number: AtomicU64::new(0),
            prefix: prefix.to_owned(),
            open_streams: gauge!(format!("{prefix}_grpc_subscriptions")),
        })
    }

    /// Admits a stream; `None` if too many are open. `name` may be empty.
    pub(crate) fn admit(self: &Arc<Self>, name: &str, cursor: Arc<AtomicU64>) -> Option<Admission> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.open_max {
            return None;
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        open.insert(
            number,
            Consumer {
                name: name.to_owned(),
                cursor,
            },
        );
        self.open_streams.increment(1);
        Some(Admission {
            consumers: Arc::clone(self),
            number,
        })
    }

    /// Tells the lag of named consumers until `stop`. A stalled reader's stream is not polled, so
    /// its lag has to be looked at from outside.
    pub(crate) async fn sample(self: Arc<Self>, tail: impl Fn() -> u64, stop: CancellationToken) {
        let mut timer = tokio::time::interval(SAMPLE_INTERVAL);
        while stop.run_until_cancelled(timer.tick()).await.is_some() {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            for consumer in open.values().filter(|consumer| !consumer.name.is_empty()) {
                let lag = tail().saturating_sub(consumer.cursor.load(Ordering::Acquire));
                self.lag_of(&consumer.name).set(lag as f64);
            }
        }
    }

    fn lag_of(&self, name: &str) -> Gauge {
        gauge!(format!("{}_consumer_lag_events", self.prefix), "consumer" => name.to_owned())
    }
}

/// A place among the open streams, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    consumers: Arc<Consumers>,
    number: u64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self
            .consumers
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.number);
        self.consumers.open_streams.decrement(1);
    }
}
