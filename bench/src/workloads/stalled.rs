//! A reader that stops reading under full load and then reads everything: what it does to the
//! others, and whether it misses anything.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::{Bench, publish_all};
use crate::{
    load::{self, FlatOut, Pipeline, Publisher, message::Size},
    reader::Reader,
    report::Target,
    stage::{
        Stage,
        connection::{connect, connect_many},
        process::resident_mib,
    },
    systems::System,
};

const PUBLISHERS: usize = 8;
const WINDOW: usize = 250;
/// What is published with and without it is compared over so long, from the same beginning.
const COMPARED_SECONDS: u64 = 10;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for run in 0..bench.sizes.runs {
        if bench.systems(run, &[System::Atlas]).is_empty() {
            return Ok(());
        }
        let name = format!(
            "stalled for {} s, 8 x 250 in flight",
            bench.sizes.stall_seconds
        );
        let compared = COMPARED_SECONDS.min(bench.sizes.stall_seconds);
        let without = measure(bench, &name, compared, false).await?;
        let with = measure(bench, &name, bench.sizes.stall_seconds, true).await?;
        let report = &mut bench.report;
        for (figure, value) in [
            ("published a second without it", without),
            ("published a second with it", with),
            ("with it against without, ratio", with / without),
        ] {
            report.add(&name, figure, Target::None, value);
        }
    }
    Ok(())
}

/// Load with one reader that keeps up, and perhaps one that does not read meanwhile. Returns the
/// events published a second at the beginning.
async fn measure(
    bench: &mut Bench<'_>,
    name: &str,
    seconds: u64,
    with_stalled: bool,
) -> Result<f64> {
    bench.quiet.wait().await;
    let stage = Stage::open(bench.database_url).await?;
    let address = &stage.server.address;
    let mut stalled = match with_stalled {
        true => Some(Reader::raw(connect(address).await?, 0).await?),
        false => None,
    };
    let mut healthy = Reader::raw(connect(address).await?, 0).await?;
    let mut publishers: Vec<Box<dyn Publisher>> = Vec::new();
    for channel in connect_many(address, PUBLISHERS).await? {
        publishers.push(Box::new(Pipeline::open(channel, WINDOW).await?));
    }
    let from = Instant::now() + Duration::from_secs(bench.sizes.warm_up_seconds);
    let compared_seconds = COMPARED_SECONDS.min(seconds);
    let until = from + Duration::from_secs(seconds);
    let how = FlatOut {
        window: WINDOW,
        batch: 1,
        first_number: 0,
        from,
        counted_until: from + Duration::from_secs(compared_seconds),
        until,
        size: Size::Usual,
    };
    let keeping_up = tokio::spawn(async move {
        while Instant::now() < until {
            healthy.next().await?;
        }
        anyhow::Ok(healthy)
    });
    let published = publish_all(publishers, how).await?;
    let memory = resident_mib(stage.server.pid);
    let mut healthy = keeping_up.await??;
    let positions = published.iter().flat_map(|p| p.positions.iter().copied());
    let last_position = load::check_complete(positions)?;
    let lag = last_position - healthy.position();
    healthy.skip_to(last_position).await?;
    drop(healthy);
    if let Some(stalled) = &mut stalled {
        let started = Instant::now();
        stalled.skip_to(last_position).await?;
        let read = last_position as f64 / started.elapsed().as_secs_f64();
        let report = &mut bench.report;
        for (figure, value) in [
            ("events stored meanwhile", last_position as f64),
            ("lag of the other reader at the end, events", lag as f64),
            ("server memory with it, MiB", memory),
            ("it then reads, events a second", read),
        ] {
            report.add(name, figure, Target::None, value);
        }
    }
    drop(stalled);
    stage.close(bench.database_url, last_position).await?;
    let counted: u64 = published.iter().map(|p| p.counted).sum();
    Ok(counted as f64 / compared_seconds as f64)
}
