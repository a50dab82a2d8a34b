use std::{collections::BTreeMap, sync::Arc};

use ulid::Ulid;

/// What is known of a crossing or transition: the event that emitted it last, and whether it stands.
pub(crate) type Known = (Option<Ulid>, bool);

/// What was emitted about each crossing or transition: whether it stands, and in which event that was last
/// said.
#[derive(Clone, Debug)]
pub(crate) struct Emitted<K> {
    /// Shared with copies until one of them emits more.
    by_key: Arc<BTreeMap<K, Known>>,
    /// What was known before each change, while changes may have to be undone.
    before: Option<Vec<(K, Option<Known>)>>,
}

impl<K: Ord + Clone> Emitted<K> {
    pub(crate) fn new() -> Self {
        Self::of(Arc::default())
    }

    /// Of what was emitted before.
    pub(crate) fn of(by_key: Arc<BTreeMap<K, Known>>) -> Self {
        let before = None;
        Self { by_key, before }
    }

    /// All that was emitted.
    pub(crate) fn shared(&self) -> Arc<BTreeMap<K, Known>> {
        Arc::clone(&self.by_key)
    }

    /// It stands and nothing was emitted, as it lies before the definition's time.
    pub(crate) fn assume(&mut self, key: K) {
        self.set(key, (None, true));
    }

    /// Whether it was ever emitted or assumed.
    pub(crate) fn knows(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// The event that emitted it last.
    pub(crate) fn last_event(&self, key: &K) -> Option<Ulid> {
        self.by_key.get(key).and_then(|(event, _)| *event)
    }

    /// It is emitted now, in this event.
    pub(crate) fn emit(&mut self, key: K, event: Ulid, stands: bool) {
        self.set(key, (Some(event), stands));
    }

    fn set(&mut self, key: K, known: Known) {
        let by_key = Arc::make_mut(&mut self.by_key);
        let before = by_key.insert(key.clone(), known);
        if let Some(changes) = &mut self.before {
            changes.push((key, before));
        }
    }

    /// Where both know the same to stand, the events of the one before are the ones to name.
    pub(crate) fn adopt(&mut self, before: &Self) {
        for (key, known) in Arc::make_mut(&mut self.by_key) {
            if let Some((event, stood)) = before.by_key.get(key)
                && *stood == known.1
            {
                known.0 = *event;
            }
        }
    }

    /// From now on changes can be undone, or not any more.
    pub(crate) fn keep_undo(&mut self, keeps: bool) {
        self.before = keeps.then(Vec::new);
    }

    /// Takes back all changes since [`Self::keep_undo`].
    pub(crate) fn undo(&mut self) {
        let changes = self.before.take().unwrap_or_default();
        if changes.is_empty() {
            return;
        }
        let by_key = Arc::make_mut(&mut self.by_key);
        for (key, before) in changes.into_iter().rev() {
            match before {
                Some(known) => by_key.insert(key, known),
                None => by_key.remove(&key),
            };
        }
    }
}
