//! Points of series that nothing has read so far, read in pages.

use std::{collections::HashMap, sync::Arc};

use sqlx::PgConnection;

use crate::store;
use evaluation::series::LoadedSeries;

/// So many points of a series are read at once.
const PAGE_POINTS: i64 = 16_384;

/// What was read of series, each up to a number of the sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preloaded(HashMap<String, (LoadedSeries, i64)>);

impl Preloaded {
    /// Reads what is recorded of some series up to a number. Without a lock that is to be a number
    /// which is committed.
    pub(in crate::service) async fn read(
        connection: &mut PgConnection,
        series: impl IntoIterator<Item = String>,
        to: i64,
    ) -> Result<Self, sqlx::Error> {
        let mut preloaded = Self::default();
        for id in series {
            let mut loaded = LoadedSeries::default();
            read_between(connection, &id, &mut loaded, 0, to).await?;
            preloaded.0.insert(id, (loaded, to));
        }
        Ok(preloaded)
    }

    /// What was read of each series.
    pub(in crate::service) fn copy(&self) -> Vec<(Arc<str>, LoadedSeries)> {
        let all = self.0.iter();
        all.map(|(id, (loaded, _))| (id.as_str().into(), loaded.clone()))
            .collect()
    }

    /// Takes some series out, with what lacks of them up to a number.
    pub(in crate::service) async fn complete(
        &mut self,
        connection: &mut PgConnection,
        series: Vec<String>,
        to: i64,
    ) -> Result<Vec<(Arc<str>, LoadedSeries)>, sqlx::Error> {
        let mut completed = Vec::with_capacity(series.len());
        for id in series {
            let (mut loaded, after) = self.0.remove(&id).unwrap_or_default();
            read_between(connection, &id, &mut loaded, after, to).await?;
            completed.push((id.into(), loaded));
        }
        Ok(completed)
    }
}

async fn read_between(
    connection: &mut PgConnection,
    series: &str,
    loaded: &mut LoadedSeries,
    mut after: i64,
    to: i64,
) -> Result<(), sqlx::Error> {
    loop {
        let page = store::vintages_of(&mut *connection, series, after, to, PAGE_POINTS).await?;
        for point in &page {
            loaded.take(point.date, point.known_from, point.occurred_at, point.value);
        }
        match page.last() {
            Some(last) if page.len() as i64 == PAGE_POINTS => after = last.sequence,
            _ => return Ok(()),
        }
    }
}
