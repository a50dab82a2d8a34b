use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit};

/// How many attempts of this process are under way, by destination.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<HashMap<String, i64>>>);

/// An attempt that is under way, or whose outcome is not recorded yet. Dropping it makes room for the next.
#[derive(Debug)]
pub(super) struct Place {
    lanes: Lanes,
    destination: String,
    wake: Arc<Notify>,
    _slot: OwnedSemaphorePermit,
}

impl Lanes {
    /// Takes a place.
    pub(super) fn enter(
        &self,
        destination: &str,
        slot: OwnedSemaphorePermit,
        wake: &Arc<Notify>,
    ) -> Place {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *lanes.entry(destination.to_owned()).or_default() += 1;
        Place {
            lanes: self.clone(),
            destination: destination.to_owned(),
            wake: Arc::clone(wake),
            _slot: slot,
        }
    }

    /// Destinations and how many attempts each has.
    pub(super) fn busy(&self) -> (Vec<String>, Vec<i64>) {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .iter()
            .map(|(name, count)| (name.clone(), *count))
            .unzip()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = self.lanes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = lanes.get_mut(&self.destination) {
            *count -= 1;
            if *count == 0 {
                lanes.remove(&self.destination);
            }
        }
        self.wake.notify_one();
    }
}
