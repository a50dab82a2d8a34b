//! The same events over more and more chunks, which are years of a log.

use anyhow::Result;

use super::{Growth, Plot};
use crate::{
    load::{
        Pipeline, Publisher,
        clock::{Latencies, now_us},
        message,
    },
    report::median,
    stage::connection::connect,
    workloads::page_cost::Log,
};

const CHUNKS: [u64; 3] = [4, 50, 200];
const EVENTS: u64 = 200_000;
const PAGES: u64 = 300;
const PUBLISHES: u64 = 1_000;

pub(super) async fn measure(growth: &mut Growth<'_>) -> Result<Vec<Plot>> {
    let events = growth.either(EVENTS, 5_000);
    let chunks_max = growth.either(200, 4);
    let mut plot = Plot::new(
        "chunks",
        "A page from anywhere, and a single publish",
        ("chunks", "ms"),
        &["page of 1,000, median", "acknowledged, p50"],
    );
    for chunks in CHUNKS.into_iter().filter(|chunks| *chunks <= chunks_max) {
        growth.quiet.wait().await;
        let log = Log::fill(growth.database_url, events, chunks).await?;
        let mut took = Vec::new();
        for page in 0..PAGES {
            // In leaps, so that one page does not warm the next.
            let after = page * 7_919 % (events / 1_000 - 1) * 1_000;
            took.push(log.page_ms(after).await?);
        }
        took.sort_by(f64::total_cmp);
        let acknowledged = one_at_a_time(&log.stage.server.address).await?;
        plot.add(
            chunks as f64,
            &[median(&took), acknowledged.quantile_ms(0.5)],
        );
        log.close(growth.database_url, events + PUBLISHES).await?;
    }
    Ok(vec![plot])
}

async fn one_at_a_time(address: &str) -> Result<Latencies> {
    let mut pipeline = Pipeline::open(connect(address).await?, 1).await?;
    let mut latencies = Latencies::new()?;
    for number in 0..PUBLISHES {
        let due_us = now_us();
        pipeline.send(vec![message::event(number, due_us)], due_us)?;
        latencies.record_since(pipeline.acknowledged().await?.due_us)?;
    }
    Ok(latencies)
}
