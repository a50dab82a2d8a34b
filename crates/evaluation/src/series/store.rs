use std::collections::HashMap;
use std::sync::Arc;

use super::observations::Observations;

/// Which series of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesIndex(pub usize);

/// The series that are kept in memory: those that a pattern or a regime reads.
#[derive(Clone, Debug, Default)]
pub struct SeriesStore {
    by_id: HashMap<Arc<str>, SeriesIndex>,
    ids: Vec<Arc<str>>,
    /// Shared with copies of the store until one of them changes the series.
    series: Vec<Arc<Observations>>,
}

impl SeriesStore {
    /// The series of this id, made empty if it is not kept yet.
    pub fn keep(&mut self, id: &str) -> SeriesIndex {
        if let Some(index) = self.find(id) {
            return index;
        }
        let index = SeriesIndex(self.series.len());
        let id: Arc<str> = id.into();
        self.by_id.insert(id.clone(), index);
        self.ids.push(id);
        self.series.push(Arc::default());
        index
    }

    /// The series of this id, if it is kept.
    pub fn find(&self, id: &str) -> Option<SeriesIndex> {
        self.by_id.get(id).copied()
    }

    /// Its observations in force.
    pub fn get(&self, index: SeriesIndex) -> &Observations {
        &self.series[index.0]
    }

    /// Its observations in force, to be changed.
    pub fn get_mut(&mut self, index: SeriesIndex) -> &mut Observations {
        Arc::make_mut(&mut self.series[index.0])
    }

    /// All of it, to be kept beside the store.
    pub fn shared(&self, index: SeriesIndex) -> Arc<Observations> {
        Arc::clone(&self.series[index.0])
    }

    /// Replaces all of it.
    pub fn set(&mut self, index: SeriesIndex, observations: Arc<Observations>) {
        self.series[index.0] = observations;
    }

    /// Its id.
    pub fn id(&self, index: SeriesIndex) -> &Arc<str> {
        &self.ids[index.0]
    }

    /// Ids of all that are kept, in the order in which they were first asked for.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ids.iter()
    }
}
