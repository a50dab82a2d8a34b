//! From a hundred thousand events stored to ten million, in one chunk: nothing that is done at the end
//! of a log, or in its middle, should cost more for what lies before.

use anyhow::{Context, Result};
use tokio::time::Instant;

use super::{Growth, Pace, Plot, catch_up, receive};
use crate::{
    load::{self, clock::now_us},
    report::median,
    stage::{Stage, connection::connect, database, serve::open_log},
    workloads::page_cost,
};

const PACE: Pace = Pace {
    events_a_second: 1_000,
    seconds: 8,
};
/// Stored at a time; the last of them show how fast events are stored.
const PIECE_EVENTS: u64 = 100_000;
/// Over so long the events are spread.
const SPAN_US: u64 = 3 * 24 * 3_600 * 1_000_000;
const PAGES: u64 = 200;

pub(super) async fn measure(growth: &mut Growth<'_>) -> Result<Vec<Plot>> {
    let levels = growth.either([100_000, 1_000_000, 10_000_000], [2_000, 5_000, 10_000]);
    let piece = growth.either(PIECE_EVENTS, 1_000);
    let x = "events stored";
    let mut latency = Plot::new(
        "stored-latency",
        "Publish to receipt at 1,000 events a second, and a page from anywhere",
        (x, "ms"),
        &["receipt p50", "receipt p99", "page of 1,000, median"],
    );
    let mut rate = Plot::new(
        "stored-rate",
        "Storing and reading",
        (x, "events a second"),
        &["stored in batches of 1,000", "read by catching up"],
    );
    let mut disk = Plot::new(
        "stored-disk",
        "Disk for each event, with both indexes",
        (x, "bytes"),
        &["table and indexes"],
    );
    let mut log = Filled::open(growth, levels[levels.len() - 1]).await?;
    for level in levels {
        let level_x = level as f64;
        growth.quiet.wait().await;
        let stored = log.fill(level, piece).await?;
        disk.add(level_x, &[log.bytes_an_event().await?]);
        log.stage.restart().await?;
        let address = log.stage.server.address.clone();
        let read = catch_up(&address, log.events.saturating_sub(10 * piece), log.events).await?;
        rate.add(level_x, &[stored, read]);
        let page_ms = log.page_ms().await?;
        let received = receive((&address, &address), 1, log.events, PACE).await?;
        log.events += PACE.events();
        let [p50, p99] = [0.5, 0.99].map(|quantile| received.quantile_ms(quantile));
        latency.add(level_x, &[p50, p99, page_ms]);
    }
    log.stage.close(growth.database_url, log.events).await?;
    Ok(vec![latency, rate, disk])
}

struct Filled {
    stage: Stage,
    empty_bytes: i64,
    first_us: u64,
    step_us: u64,
    events: u64,
}

impl Filled {
    async fn open(growth: &Growth<'_>, events_max: u64) -> Result<Self> {
        let stage = Stage::open(growth.database_url).await?;
        let empty_bytes = database::bytes(&stage.database_url).await?;
        Ok(Self {
            stage,
            empty_bytes,
            first_us: now_us() - SPAN_US,
            step_us: SPAN_US / events_max,
            events: 0,
        })
    }

    /// Stores up to so many events; returns how many a second at the end.
    async fn fill(&mut self, level: u64, piece: u64) -> Result<f64> {
        let mut rate = 0.0;
        while self.events < level {
            let count = piece.min(level - self.events);
            let channel = connect(&self.stage.server.address).await?;
            let first_us = self.first_us + self.events * self.step_us;
            let started = Instant::now();
            let due_us = |number| first_us + number * self.step_us;
            load::fill(channel, count, due_us).await?;
            rate = count as f64 / started.elapsed().as_secs_f64();
            self.events += count;
        }
        Ok(rate)
    }

    async fn bytes_an_event(&self) -> Result<f64> {
        let bytes = database::bytes(&self.stage.database_url).await? - self.empty_bytes;
        Ok(bytes as f64 / self.events as f64)
    }

    /// The median over pages from evenly spread positions.
    async fn page_ms(&self) -> Result<f64> {
        let log = open_log(&self.stage.database_url).await?;
        let mut took = Vec::new();
        for page in 0..PAGES {
            let after = page * (self.events - page_cost::PAGE_EVENTS) / PAGES;
            let read = page_cost::page_ms(&log, after).await;
            took.push(read.with_context(|| format!("a page after {after}"))?);
        }
        log.close().await;
        took.sort_by(f64::total_cmp);
        Ok(median(&took))
    }
}
