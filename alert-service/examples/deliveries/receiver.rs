//! Who receives the webhooks.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, time::Instant};

/// A message that was taken over.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    path: String,
    pub(crate) title: String,
    pub(crate) at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    is_away: Arc<AtomicBool>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    /// How many there are, by path.
    counts: watch::Sender<HashMap<String, usize>>,
}

impl Receiver {
    /// A path that begins with `hangs` is never answered.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Self {
            address: listener.local_addr()?,
            is_away: Arc::default(),
            arrivals: Arc::default(),
            counts: watch::Sender::default(),
        };
        let router = Router::new()
            .route("/{path}", post(receive))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(receiver)
    }

    /// Whether everything is answered 503.
    pub(crate) fn go_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// What was taken over at a path, in order.
    pub(crate) fn of(&self, path: &str) -> Vec<Arrival> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let arrivals = arrivals.iter();
        arrivals
            .filter(|arrival| arrival.path == path)
            .cloned()
            .collect()
    }

    /// Waits until so many were taken over at a path.
    pub(crate) async fn arrived(&self, path: &str, count: usize) {
        let mut counts = self.counts.subscribe();
        let enough = |counts: &HashMap<String, usize>| counts.get(path) >= Some(&count);
        // The sender is in this.
        let _ = counts.wait_for(enough).await;
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    Path(path): Path<String>,
    Json(body): Json<Value>,
) -> StatusCode {
    let at = Instant::now();
    if path.starts_with("hangs") {
        std::future::pending::<()>().await;
    }
    if receiver.is_away.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let title = body["data"]["title"].as_str().unwrap_or_default();
    let title = title.to_owned();
    let arrival = Arrival {
        path: path.clone(),
        title,
        at,
    };
    let mut arrivals = receiver
        .arrivals
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    arrivals.push(arrival);
    drop(arrivals);
    receiver
        .counts
        .send_modify(|counts| *counts.entry(path).or_default() += 1);
    StatusCode::OK
}
