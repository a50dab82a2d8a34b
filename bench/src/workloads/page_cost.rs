//! A page of 1,000 events from a random position, in a log of few chunks and in one of many.

use anyhow::{Context, Result, bail, ensure};
use atlas_events::{EventFilter, WantedEvents};
use event_log::{EventLog, Followed};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::Bench;
use crate::{
    load::{self, clock::now_us},
    report::{Target, median},
    stage::{Stage, connection::connect, database, serve::open_log},
    systems::System,
};

const NAME: &str = "page of 1,000 by position";
const FEW_CHUNKS: u64 = 4;
/// The interval of a chunk.
const CHUNK_US: u64 = 7 * 24 * 3_600 * 1_000_000;
pub(crate) const PAGE_EVENTS: u64 = 1_000;
/// Pages read from each chunk before it counts: its catalogue entries are to be in memory.
const WARM_UP_PAGES_A_CHUNK: u64 = 2;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    if bench.systems(0, &[System::Atlas]).is_empty() {
        return Ok(());
    }
    let events = bench.sizes.page_cost_events;
    let many_chunks = bench.sizes.page_cost_chunks;
    let few = Log::fill(bench.database_url, events, FEW_CHUNKS).await?;
    let many = Log::fill(bench.database_url, events, many_chunks).await?;
    // What was just written is not to be written while pages are read.
    database::checkpoint(bench.database_url).await?;
    for run in 0..bench.sizes.runs {
        bench.quiet.wait().await;
        let mut random = StdRng::seed_from_u64(u64::from(run));
        let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
        // Alternating, so that what disturbs the machine disturbs both.
        for _ in 0..bench.sizes.page_cost_pages {
            let after = random.random_range(0..events - PAGE_EVENTS);
            of_few.push(few.page_ms(after).await?);
            of_many.push(many.page_ms(after).await?);
        }
        of_few.sort_by(f64::total_cmp);
        of_many.sort_by(f64::total_cmp);
        let (of_few, of_many) = (median(&of_few), median(&of_many));
        let report = &mut bench.report;
        let figure = |chunks: u64| format!("{chunks} chunks, median ms");
        report.add(NAME, &figure(FEW_CHUNKS), Target::None, of_few);
        report.add(NAME, &figure(many_chunks), Target::None, of_many);
        let ratio = format!("{many_chunks} chunks against {FEW_CHUNKS}, ratio");
        report.add(NAME, &ratio, Target::AtMost(1.2), of_many / of_few);
    }
    few.close(bench.database_url, events).await?;
    many.close(bench.database_url, events).await
}

/// A log whose events are spread evenly over chunks.
pub(crate) struct Log {
    pub(crate) stage: Stage,
    log: EventLog,
}

impl Log {
    /// A log whose events are spread evenly over that many chunks, opened by this process.
    pub(crate) async fn fill(database_url: &str, events: u64, chunks: u64) -> Result<Self> {
        let stage = Stage::open(database_url).await?;
        let publisher = connect(&stage.server.address).await?;
        let span = chunks * CHUNK_US;
        // Chunks begin at multiples of their interval since 2000-01-03, a Monday, in UTC.
        let monday = 946_857_600 * 1_000_000;
        let end = monday + (now_us() - monday) / CHUNK_US * CHUNK_US;
        let step = span / events;
        load::fill(publisher, events, |number| end - span + number * step).await?;
        let log = open_log(&stage.database_url).await?;
        let log = Self { stage, log };
        let pages = WARM_UP_PAGES_A_CHUNK * chunks;
        for page in 0..pages {
            log.page_ms(page * (events - PAGE_EVENTS) / pages).await?;
        }
        Ok(log)
    }

    pub(crate) async fn page_ms(&self, after: u64) -> Result<f64> {
        page_ms(&self.log, after).await
    }

    pub(crate) async fn close(self, database_url: &str, last_position: u64) -> Result<()> {
        self.log.close().await;
        self.stage.close(database_url, last_position).await
    }
}

/// Reads the page after a position; returns how long that took.
pub(crate) async fn page_ms(log: &EventLog, after: u64) -> Result<f64> {
    let everything = EventFilter::unrestricted(WantedEvents::default());
    let mut follower = log.follow_after(after, everything).await?;
    let started = Instant::now();
    let Followed::Events(page) = follower.next().await? else {
        bail!("no events came after position {after}");
    };
    let elapsed_ms = started.elapsed().as_secs_f64() * 1_000.0;
    for (event, expected) in page.events().zip(after + 1..) {
        let position = event.context("a stored event cannot be decoded")?.position;
        ensure!(
            position == expected,
            "{position} came where {expected} was due"
        );
    }
    ensure!(page.count as u64 == PAGE_EVENTS, "{} events", page.count);
    Ok(elapsed_ms)
}
