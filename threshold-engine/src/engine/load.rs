//! Series that are read for the first time.

use std::{collections::HashMap, sync::Arc};

use super::Engine;
use evaluation::series::{LoadedSeries, Point};

impl Engine {
    /// The series of a definition that are not held yet, whose points [`Engine::load`] is to be given
    /// before the definition is deployed.
    pub fn series_to_load<'a>(&self, series: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let missing = |id: &&str| self.store.find(id).is_none();
        series.into_iter().filter(missing).collect()
    }

    /// Takes in, silently, points of series that nothing reads yet. Those dated in the future stay
    /// aside, unless they or another step have reached their dates.
    pub fn load<'a>(&mut self, points: impl IntoIterator<Item = &'a Point>) {
        let mut loaded: HashMap<Arc<str>, LoadedSeries> = HashMap::new();
        let mut order = Vec::new();
        for point in points {
            let series = loaded.entry(Arc::clone(&point.series)).or_insert_with(|| {
                order.push(Arc::clone(&point.series));
                LoadedSeries::default()
            });
            let occurred_at = point.cause.occurred_at;
            series.take(point.date, point.known_from, occurred_at, point.value);
        }
        let series = order.into_iter().filter_map(|id| loaded.remove_entry(&id));
        self.load_series(series.collect());
    }

    /// The same, where the points of each series were taken in already: of all missing series of one
    /// definition at once.
    pub fn load_series(&mut self, loaded: Vec<(Arc<str>, LoadedSeries)>) {
        self.undo = None;
        let reached = loaded.iter().map(|(_, series)| series.reached());
        let last = reached.max().flatten().max(self.reached);
        for (id, series) in loaded {
            let index = self.store.keep(&id);
            let (observations, future) = series.split(last);
            self.store.set(index, Arc::new(observations));
            for (date, vintage) in future {
                self.future.set(date, index, Some(vintage));
            }
        }
        self.note_readers();
    }
}
