//! ATLAS: the stage of the other workloads, as one system among others.

use anyhow::Result;
use futures::future::BoxFuture;

use super::{Running, Subscriber};
use crate::{
    load::{Pipeline, Publisher, clock::Latencies},
    reader::{Reader, raw::Scanned},
    stage::{Stage, connection::connect},
};

pub(super) struct Atlas {
    stage: Stage,
    database_url: String,
}

impl Atlas {
    pub(super) async fn start(database_url: &str) -> Result<Self> {
        Ok(Self {
            stage: Stage::open(database_url).await?,
            database_url: database_url.to_owned(),
        })
    }
}

impl Running for Atlas {
    fn pid(&self) -> u32 {
        self.stage.server.pid
    }

    fn publisher(&self, window: usize) -> BoxFuture<'_, Result<Box<dyn Publisher>>> {
        Box::pin(async move {
            let channel = connect(&self.stage.server.address).await?;
            Ok(Box::new(Pipeline::open(channel, window).await?) as Box<dyn Publisher>)
        })
    }

    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>>> {
        Box::pin(async {
            let channel = connect(&self.stage.server.address).await?;
            Ok(Box::new(Reader::raw(channel, 0).await?) as Box<dyn Subscriber>)
        })
    }

    fn forget(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.stage.restart())
    }

    fn close(self: Box<Self>, events: u64) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.stage.close(&self.database_url, events).await })
    }
}

impl Subscriber for Reader<Scanned> {
    fn read_to(&mut self, last: u64, warm_up: u64) -> BoxFuture<'_, Result<Latencies>> {
        Box::pin(Self::read_to(self, last, warm_up))
    }

    fn skip_to(&mut self, last: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::skip_to(self, last))
    }
}
