use std::collections::BTreeMap;

use ulid::Ulid;

/// What was told about each crossing or transition: whether it stands, and in which event that was last
/// said.
#[derive(Clone, Debug)]
pub(crate) struct Told<K> {
    by_key: BTreeMap<K, (Option<Ulid>, bool)>,
}

impl<K: Ord + Clone> Told<K> {
    pub(crate) fn new() -> Self {
        Self {
            by_key: BTreeMap::new(),
        }
    }

    /// It stands and nobody was told, as it lies before the definition's time.
    pub(crate) fn assume(&mut self, key: K) {
        self.by_key.insert(key, (None, true));
    }

    /// Whether it was ever told or assumed.
    pub(crate) fn knows(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// The event that told of it last.
    pub(crate) fn last_event(&self, key: &K) -> Option<Ulid> {
        self.by_key.get(key).and_then(|(event, _)| *event)
    }

    /// It is told now, in this event.
    pub(crate) fn tell(&mut self, key: K, event: Ulid, stands: bool) {
        self.by_key.insert(key, (Some(event), stands));
    }

    /// Where both know the same to stand, the events of the one before are the ones to name.
    pub(crate) fn adopt(&mut self, before: &Self) {
        for (key, known) in &mut self.by_key {
            if let Some((event, stood)) = before.by_key.get(key)
                && *stood == known.1
            {
                known.0 = *event;
            }
        }
    }
}
