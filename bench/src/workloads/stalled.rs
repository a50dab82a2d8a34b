//! A reader that stops reading under full load and then reads everything: what it does to the
//! others, and whether it misses anything.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::{Bench, NUMBERS_A_PUBLISHER, publish_all};
use crate::{
    connection::connect, load, process::resident_mib, reader::Reader, report::Target, stage::Stage,
};

const NAME: &str = "stalled reader, 8 x 250 in flight";
const PUBLISHERS: usize = 8;
const WINDOW: usize = 250;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for _ in 0..bench.sizes.runs {
        let (without, _) = measure(bench, false).await?;
        let (with, read) = measure(bench, true).await?;
        let report = &mut bench.report;
        report.add(NAME, "published a second without it", Target::None, without);
        report.add(NAME, "published a second with it", Target::None, with);
        report.add(
            NAME,
            "with it against without, ratio",
            Target::None,
            with / without,
        );
        report.add(NAME, "it then reads, events a second", Target::None, read);
    }
    Ok(())
}

/// Load with one reader that keeps up, and perhaps one that does not read meanwhile. Returns the
/// events published a second, and those that the stalled reader read a second afterwards.
async fn measure(bench: &mut Bench<'_>, with_stalled: bool) -> Result<(f64, f64)> {
    let seconds = bench.sizes.stall_seconds;
    let stage = Stage::open(bench.database_url).await?;
    let address = &stage.server.address;
    let mut stalled = match with_stalled {
        true => Some(Reader::raw(connect(address).await?, 0).await?),
        false => None,
    };
    let mut healthy = Reader::raw(connect(address).await?, 0).await?;
    let from = Instant::now() + Duration::from_secs(bench.sizes.warm_up_seconds);
    let until = from + Duration::from_secs(seconds);
    let keeping_up = tokio::spawn(async move {
        while Instant::now() < until {
            healthy.next().await?;
        }
        anyhow::Ok(healthy)
    });
    let published = publish_all(
        address,
        PUBLISHERS,
        WINDOW,
        (from, until),
        NUMBERS_A_PUBLISHER,
    );
    let published = published.await?;
    let memory = resident_mib(stage.server.pid);
    let mut healthy = keeping_up.await??;
    let positions = published.iter().flat_map(|p| p.positions.iter().copied());
    let last_position = load::check_complete(positions)?;
    let lag = last_position - healthy.position();
    healthy.skip_to(last_position).await?;
    drop(healthy);

    let started = Instant::now();
    if let Some(stalled) = &mut stalled {
        stalled.skip_to(last_position).await?;
    }
    let read = last_position as f64 / started.elapsed().as_secs_f64();
    drop(stalled);
    if with_stalled {
        let lag = lag as f64;
        let report = &mut bench.report;
        report.add(
            NAME,
            "lag of the other reader at the end, events",
            Target::None,
            lag,
        );
        report.add(NAME, "server memory with it, MiB", Target::None, memory);
    }
    stage.close(bench.database_url, last_position).await?;
    let counted: u64 = published.iter().map(|p| p.counted).sum();
    Ok((counted as f64 / seconds as f64, read))
}
