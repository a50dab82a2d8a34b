//! How cost grows: the same small measurements along one axis after the other, as plots and tables of
//! `docs/performance.md`.

mod chunks;
mod collectors;
mod document;
mod figures;
mod plot;
mod publishers;
mod sizes;
mod stored;
mod subscribers;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use tokio::time::Instant;

use self::figures::{Figures, Plot};
use crate::{
    arguments::{Axis, GrowthOptions},
    load::{self, FlatOut, Pipeline, Published, Publisher, clock::Latencies, message::Size},
    progress,
    quiet::Quiet,
    reader::Reader,
    report::{self, table},
    stage::connection::{connect, connect_many},
    workloads::publish_all,
};

/// What an axis is given.
struct Growth<'a> {
    database_url: &'a str,
    quick: bool,
    quiet: Quiet,
}

impl Growth<'_> {
    /// The small one where it is only to be seen whether all works.
    fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

pub(crate) async fn run(options: &GrowthOptions) -> Result<()> {
    let folder = options.docs.join("performance");
    let path = folder.join("growth.json");
    let mut figures = Figures::read(&path)?;
    let mut growth = Growth {
        database_url: &options.database_url,
        quick: options.quick,
        quiet: Quiet::new(options.quiet_wait),
    };
    let axes = match options.axes.as_slice() {
        [] => Axis::value_variants(),
        some => some,
    };
    for axis in axes {
        progress(&format!("measuring how cost grows with {axis:?}"));
        let plots = measure(&mut growth, *axis).await;
        for plot in plots.with_context(|| format!("{axis:?}"))? {
            progress(&table::plain(&plot.cells()));
            figures.put(plot);
        }
    }
    figures.settings = report::settings(&options.database_url).await?;
    figures.settings.push(growth.quiet.summary());
    figures.write(&path)?;
    for plot in &figures.plots {
        plot::write(plot, &folder)?;
    }
    document::update(&options.docs.join("performance.md"), &figures)
}

async fn measure(growth: &mut Growth<'_>, axis: Axis) -> Result<Vec<Plot>> {
    match axis {
        Axis::Subscribers => subscribers::measure(growth).await,
        Axis::Stored => stored::measure(growth).await,
        Axis::Chunks => chunks::measure(growth).await,
        Axis::Sizes => sizes::measure(growth).await,
        Axis::Publishers => publishers::measure(growth).await,
        Axis::Collectors => collectors::measure(growth).await,
    }
}

/// How to publish for a while.
#[derive(Clone, Copy)]
struct Load {
    window: usize,
    size: Size,
    seconds: u64,
}

/// What came of it.
struct Loaded {
    events_a_second: f64,
    acknowledged: Latencies,
    /// How many events were stored in all.
    events: u64,
}

/// Publishers on connections of their own to these servers in turn, behind a warm-up of a second. The
/// log must have been empty.
async fn publish(addresses: &[&str], publishers: usize, load: Load) -> Result<Loaded> {
    let mut pipelines: Vec<Box<dyn Publisher>> = Vec::with_capacity(publishers);
    for address in addresses.iter().cycle().take(publishers) {
        let pipeline = Pipeline::open(connect(address).await?, load.window).await?;
        pipelines.push(Box::new(pipeline));
    }
    let from = Instant::now() + Duration::from_secs(1);
    let until = from + Duration::from_secs(load.seconds);
    let how = FlatOut {
        window: load.window,
        batch: 1,
        first_number: 0,
        from,
        counted_until: until,
        until,
        size: load.size,
    };
    let published: Vec<Published> = publish_all(pipelines, how).await?;
    let mut acknowledged = Latencies::new()?;
    let mut counted = 0;
    for publisher in &published {
        acknowledged.merge(&publisher.latencies)?;
        counted += publisher.counted;
    }
    let positions = published.into_iter().flat_map(|p| p.positions);
    Ok(Loaded {
        events_a_second: counted as f64 / load.seconds as f64,
        acknowledged,
        events: load::check_complete(positions)?,
    })
}

/// How events are published while it is measured when they come.
#[derive(Clone, Copy)]
struct Pace {
    events_a_second: u64,
    seconds: u64,
}

impl Pace {
    /// The warm-up of a second included.
    fn events(self) -> u64 {
        self.events_a_second * (self.seconds + 1)
    }
}

/// Publish to receipt over all of `subscribers`, on connections of their own, of what is published
/// after a position.
async fn receive(
    (publish_at, subscribe_at): (&str, &str),
    subscribers: usize,
    after: u64,
    pace: Pace,
) -> Result<Latencies> {
    let (last, warm_up) = (after + pace.events(), after + pace.events_a_second);
    let mut receiving = tokio::task::JoinSet::new();
    for channel in connect_many(subscribe_at, subscribers).await? {
        let mut reader = Reader::live(channel, after).await?;
        receiving.spawn(async move { reader.read_to(last, warm_up).await });
    }
    let pipeline = Pipeline::open(connect(publish_at).await?, pace.events() as usize).await?;
    let rate = pace.events_a_second;
    load::paced(Box::new(pipeline), rate, pace.events(), rate).await?;
    let mut latencies = Latencies::new()?;
    for received in crate::workloads::all(receiving).await? {
        latencies.merge(&received)?;
    }
    Ok(latencies)
}

/// How fast one reader takes everything after a position; none of it may be in the server's memory.
async fn catch_up(address: &str, after: u64, last: u64) -> Result<f64> {
    ensure!(last > after, "nothing to read");
    let channel = connect(address).await?;
    let started = Instant::now();
    Reader::raw(channel, after).await?.skip_to(last).await?;
    Ok((last - after) as f64 / started.elapsed().as_secs_f64())
}
