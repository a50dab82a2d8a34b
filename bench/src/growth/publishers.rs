//! From one publisher to 64: some that have many events in flight, and some that wait for each.

use anyhow::Result;

use super::{Growth, Load, Loaded, Plot, publish};
use crate::{load::message::Size, stage::Stage};

const PUBLISHERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const WINDOW: usize = 250;

pub(super) async fn measure(growth: &mut Growth<'_>) -> Result<Vec<Plot>> {
    let x = "publishers";
    let mut pipelined = Plot::new(
        "publishers-pipelined",
        "Publishers with 250 events in flight each",
        (x, "events a second"),
        &["all together"],
    );
    let mut waiting = Plot::new(
        "publishers-waiting",
        "Publishers that wait for each acknowledgement",
        (x, "events a second"),
        &["all together"],
    );
    let mut latency = Plot::new(
        "publishers-latency",
        "How long a publisher waits for an acknowledgement",
        (x, "ms"),
        &["waiting for each, p50", "waiting for each, p99"],
    );
    let most = growth.either(64, 2);
    for publishers in PUBLISHERS.into_iter().filter(|count| *count <= most) {
        let x = publishers as f64;
        let loaded = flat_out(growth, publishers, WINDOW).await?;
        pipelined.add(x, &[loaded.events_a_second]);
        let loaded = flat_out(growth, publishers, 1).await?;
        waiting.add(x, &[loaded.events_a_second]);
        let quantile = |quantile| loaded.acknowledged.quantile_ms(quantile);
        latency.add(x, &[0.5, 0.99].map(quantile));
    }
    Ok(vec![pipelined, waiting, latency])
}

async fn flat_out(growth: &mut Growth<'_>, publishers: usize, window: usize) -> Result<Loaded> {
    growth.quiet.wait().await;
    let stage = Stage::open(growth.database_url).await?;
    let load = Load {
        window,
        size: Size::Usual,
        seconds: growth.either(3, 1),
    };
    let loaded = publish(&[&stage.server.address], publishers, load).await?;
    stage.close(growth.database_url, loaded.events).await?;
    Ok(loaded)
}
