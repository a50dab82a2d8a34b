//! Events of a hundred bytes to ten kilobytes.

use anyhow::Result;

use super::{Growth, Load, Plot, catch_up, publish};
use crate::{load::message::Size, stage::Stage};

/// Bytes on the wire, about, and the data points that make them.
const SIZES: [(f64, u64); 3] = [(100.0, 1), (1_000.0, 48), (10_000.0, 520)];
const PUBLISHERS: usize = 8;
const WINDOW: usize = 250;

pub(super) async fn measure(growth: &mut Growth<'_>) -> Result<Vec<Plot>> {
    let lines = ["published, 8 x 250 in flight", "read by catching up"];
    let x = "bytes of an event";
    let title = "Events of all sizes";
    let mut rate = Plot::new("sizes-rate", title, (x, "events a second"), &lines);
    let title = "The same in megabytes";
    let mut bytes = Plot::new("sizes-bytes", title, (x, "MB a second"), &lines);
    for (size, points) in SIZES {
        growth.quiet.wait().await;
        let mut stage = Stage::open(growth.database_url).await?;
        let load = Load {
            window: WINDOW,
            size: Size::Points(points),
            seconds: growth.either(3, 1),
        };
        let published = publish(&[&stage.server.address], PUBLISHERS, load).await?;
        stage.restart().await?;
        let read = catch_up(&stage.server.address, 0, published.events).await?;
        let rates = [published.events_a_second, read];
        rate.add(size, &rates);
        bytes.add(size, &rates.map(|rate| rate * size / 1e6));
        stage.close(growth.database_url, published.events).await?;
    }
    Ok(vec![rate, bytes])
}
