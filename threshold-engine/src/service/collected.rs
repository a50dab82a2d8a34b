//! Which series there are to read, as far as that can be known.

use std::{collections::BTreeSet, fmt, sync::Arc};

use futures::future::BoxFuture;
use sqlx::PgConnection;

use crate::{
    config::{PatternsConfig, Uncollected},
    store,
};

type Ask = dyn Fn() -> BoxFuture<'static, Result<BTreeSet<String>, sqlx::Error>> + Send + Sync;

/// A registry of the collected series in the same process.
#[derive(Clone)]
pub struct Registry(Arc<Ask>);

impl Registry {
    /// `ask` is called whenever definitions are read, and every time that their files are looked at.
    pub fn new(
        ask: impl Fn() -> BoxFuture<'static, Result<BTreeSet<String>, sqlx::Error>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

/// What is known of the series that are collected.
#[derive(Clone, Debug)]
pub(crate) struct Collected {
    /// As configured.
    listed: Option<Arc<BTreeSet<String>>>,
    registry: Option<Registry>,
    /// Whether a definition that reads another series is refused.
    refuses: bool,
}

/// What is known at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct KnownSeries {
    /// Listed or registered. `None`: unknown.
    collected: Option<BTreeSet<String>>,
    /// Of the series that were asked about, those of which anything was ever received.
    received: BTreeSet<String>,
}

impl Collected {
    pub(crate) fn new(config: &PatternsConfig, registry: Option<Registry>) -> Self {
        Self {
            listed: config.collected.clone().map(Arc::new),
            registry,
            refuses: config.uncollected == Uncollected::Refuse,
        }
    }

    /// What is known of some series now.
    pub(crate) async fn known(
        &self,
        connection: &mut PgConnection,
        series: &BTreeSet<String>,
    ) -> Result<KnownSeries, sqlx::Error> {
        let registered = match &self.registry {
            Some(registry) => registry.0().await?,
            None => BTreeSet::new(),
        };
        let mut collected = registered;
        if let Some(listed) = &self.listed {
            collected.extend(listed.iter().cloned());
        }
        // An empty registry says nothing.
        let is_known = self.refuses && (self.listed.is_some() || !collected.is_empty());
        let series: Vec<_> = series.iter().cloned().collect();
        Ok(KnownSeries {
            collected: is_known.then_some(collected),
            received: store::received_of(connection, &series).await?,
        })
    }
}

impl KnownSeries {
    /// False only where it is known that nobody sends it.
    pub(crate) fn may_come(&self, series: &str) -> bool {
        let collected = self.collected.as_ref();
        collected.is_none_or(|known| known.contains(series)) || self.was_received(series)
    }

    pub(crate) fn was_received(&self, series: &str) -> bool {
        self.received.contains(series)
    }
}
