//! What one caller may take of what all share, so that others find some of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use access::Caller;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use service::rest::{Problem, ProblemKind};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The requests of one caller take this part of the connections to the database at the most.
const CONNECTION_SHARES: u32 = 4;
/// How long a request waits for others of its caller.
const PATIENCE: Duration = Duration::from_secs(10);
/// Places of those who have none taken are looked for once there are this many.
const SWEEP_MIN: usize = 1_024;

/// Places of which each caller has a number. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    each_max: usize,
    by_caller: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Turns {
    /// So many places for each.
    pub(crate) fn new(each_max: usize) -> Self {
        Self(Arc::new(Inner {
            each_max,
            by_caller: Mutex::default(),
        }))
    }

    /// Places for requests that take one of so many connections to the database each.
    pub(crate) fn of_connections(connections: u32) -> Self {
        let each_max = connections / CONNECTION_SHARES;
        Self::new(usize::try_from(each_max).unwrap_or_default().max(1))
    }

    /// A place if there is one now.
    pub(crate) fn try_take(&self, caller: &str) -> Option<OwnedSemaphorePermit> {
        self.places(caller).try_acquire_owned().ok()
    }

    /// How many places each has.
    pub(crate) fn each_max(&self) -> usize {
        self.0.each_max
    }

    fn places(&self, caller: &str) -> Arc<Semaphore> {
        let by_caller = self.0.by_caller.lock();
        let mut by_caller = by_caller.unwrap_or_else(PoisonError::into_inner);
        if by_caller.len() >= SWEEP_MIN {
            // Whoever has a place, or waits for one, holds them.
            by_caller.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = by_caller.entry(caller.to_owned());
        let places = places.or_insert_with(|| Arc::new(Semaphore::new(self.0.each_max)));
        Arc::clone(places)
    }
}

/// The layer: requests of one caller wait for each other before they take anything that others need. In the database
/// they may wait as well, with a connection each.
pub(super) async fn in_turn(State(turns): State<Turns>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    let share = caller.map(Caller::share).unwrap_or_default();
    let waiting = turns.places(&share).acquire_owned();
    match timeout(PATIENCE, waiting).await {
        Ok(Ok(_turn)) => next.run(request).await,
        Ok(Err(_)) | Err(_) => {
            let detail = "too many requests of the same caller are under way";
            Problem::new(ProblemKind::Overloaded, detail).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_its_places_and_those_of_nobody_are_forgotten() {
        let turns = Turns::of_connections(11);
        let taken: Vec<_> = (0..5).filter_map(|_| turns.try_take("a")).collect();
        assert_eq!(taken.len(), 2);
        assert!(turns.try_take("b").is_some());
        for n in 0..10_000 {
            assert!(turns.try_take(&n.to_string()).is_some());
        }
        assert!(turns.0.by_caller.lock().unwrap().len() <= SWEEP_MIN);
        assert!(turns.try_take("a").is_none());
        drop(taken);
        assert!(turns.try_take("a").is_some());
        assert!(Turns::of_connections(2).try_take("a").is_some());
    }
}
