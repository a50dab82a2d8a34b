//! One to three processes that append to one log, and serve it.

use anyhow::Result;

use super::{Growth, Load, Pace, Plot, publish, receive};
use crate::{
    load::message::Size,
    stage::{Server, Stage},
};

const COLLECTORS: usize = 3;
const PUBLISHERS: usize = 8;
const WINDOW: usize = 250;
const PACE: Pace = Pace {
    events_a_second: 500,
    seconds: 5,
};

pub(super) async fn measure(growth: &mut Growth<'_>) -> Result<Vec<Plot>> {
    let x = "collectors";
    let mut rate = Plot::new(
        "collectors-rate",
        "8 publishers with 250 events in flight, spread over the collectors",
        (x, "events a second"),
        &["all together"],
    );
    let mut latency = Plot::new(
        "collectors-latency",
        "Publish to the last collector, receipt from the first, at 500 a second",
        (x, "ms"),
        &["p50", "p99"],
    );
    for collectors in 1..=growth.either(COLLECTORS, 2) {
        growth.quiet.wait().await;
        let stage = Stage::open(growth.database_url).await?;
        let mut others: Vec<Server> = Vec::new();
        for _ in 1..collectors {
            others.push(stage.another().await?);
        }
        let mut addresses = vec![stage.server.address.as_str()];
        addresses.extend(others.iter().map(|server| server.address.as_str()));
        let load = Load {
            window: WINDOW,
            size: Size::Usual,
            seconds: growth.either(3, 1),
        };
        let loaded = publish(&addresses, PUBLISHERS, load).await?;
        rate.add(collectors as f64, &[loaded.events_a_second]);
        let ends = (addresses[collectors - 1], addresses[0]);
        let received = receive(ends, 1, loaded.events, PACE).await?;
        let quantiles = [0.5, 0.99].map(|quantile| received.quantile_ms(quantile));
        latency.add(collectors as f64, &quantiles);
        for mut server in others {
            server.stop().await?;
        }
        let events = loaded.events + PACE.events();
        stage.close(growth.database_url, events).await?;
    }
    Ok(vec![rate, latency])
}
