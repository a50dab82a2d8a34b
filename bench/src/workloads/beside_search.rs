//! What live delivery takes while hundreds of readers search all that is stored for what is not there.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;
use tokio::task::JoinSet;

use super::Bench;
use crate::{
    load::{
        self, Pipeline,
        clock::{Latencies, now_us},
    },
    reader::{Reader, search},
    report::Target,
    stage::{
        Stage,
        connection::{connect, connect_many},
    },
    systems::System,
};

const RATE: u64 = 1_000;
/// Connections of those who search.
const CONNECTIONS: usize = 10;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for run in 0..bench.sizes.runs {
        if bench.systems(run, &[System::Atlas]).is_empty() {
            return Ok(());
        }
        let readers = bench.sizes.search_readers;
        let name = format!("latency beside {readers} readers that search");
        let (without, _) = measure(bench, 0).await?;
        let (with, searched) = measure(bench, readers).await?;
        let report = &mut bench.report;
        for (figure, target, value) in [
            (
                "without them, p50 ms",
                Target::None,
                without.quantile_ms(0.5),
            ),
            (
                "without them, p99 ms",
                Target::None,
                without.quantile_ms(0.99),
            ),
            (
                "at the end before it was over",
                Target::None,
                searched as f64,
            ),
            ("with them, p50 ms", Target::None, with.quantile_ms(0.5)),
            ("with them, p99 ms", Target::None, with.quantile_ms(0.99)),
            (
                "with them against without, p99, ratio",
                Target::AtMost(2.0),
                with.quantile_ms(0.99) / without.quantile_ms(0.99),
            ),
        ] {
            report.add(&name, figure, target, value);
        }
    }
    Ok(())
}

/// From when an event is due to when a live subscriber has it.
/// Also how many had searched all that is stored before that was over.
async fn measure(bench: &mut Bench<'_>, readers: usize) -> Result<(Latencies, usize)> {
    bench.quiet.wait().await;
    let sizes = &bench.sizes;
    let stored = sizes.catch_up_events;
    let warm_up = RATE * sizes.warm_up_seconds;
    let events = warm_up + RATE * sizes.latency_seconds;
    let mut stage = Stage::open(bench.database_url).await?;
    load::fill(connect(&stage.server.address).await?, stored, |_| now_us()).await?;
    stage.restart().await?;
    let address = &stage.server.address;
    let mut subscriber = Reader::live(connect(address).await?, stored).await?;
    let ended = Arc::new(AtomicUsize::new(0));
    let mut searching = JoinSet::new();
    let channels = connect_many(address, CONNECTIONS.min(readers)).await?;
    for channel in channels.iter().cycle().take(readers) {
        let (channel, ended) = (channel.clone(), Arc::clone(&ended));
        searching.spawn(async move {
            search(channel).await?;
            ended.fetch_add(1, Ordering::Relaxed);
            anyhow::Ok(())
        });
    }
    let receiving =
        tokio::spawn(async move { subscriber.read_to(stored + events, stored + warm_up).await });
    let publisher = Pipeline::open(connect(address).await?, events as usize).await?;
    load::paced(Box::new(publisher), RATE, events, warm_up).await?;
    let received = receiving.await??;
    let searched = ended.load(Ordering::Relaxed);
    searching.shutdown().await;
    drop(channels);
    stage.close(bench.database_url, stored + events).await?;
    Ok((received, searched))
}
