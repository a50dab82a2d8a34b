//! A handler that writes one effect for each event, fails on demand, and keeps a memory that has to
//! agree with the database.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use consumer::{BoxError, Handler, HandlerError, SourcedEvent};
use sqlx::PgConnection;
use tokio::{sync::Notify, time::timeout};

use crate::support::common::DEADLINE;

/// How the processing of an event fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This many times, and then no more.
    Transient(u32),
    /// Names the event.
    Permanent,
    /// Is known before anything is done.
    Unprocessable,
    /// Names a pattern, but no event.
    PermanentOfUnknown,
    Panic,
    /// The database refuses what is written for it.
    BadData,
    /// As if nothing had failed, although the transaction cannot commit any more.
    Silent,
}

/// What is to fail, by position, and what was seen; shared by the handlers of a test.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Mutex<HashMap<u64, Fault>>,
    pub(crate) resets: AtomicU64,
    pub(crate) batches: AtomicU64,
    /// Events that were reported to handlers as committed.
    pub(crate) reported: AtomicU64,
    /// A handler's memory was found to differ from the database.
    pub(crate) disagreed: AtomicBool,
    /// Where the next reset stops once it has read the database.
    pub(crate) reset_gate: Mutex<Option<Arc<Gate>>>,
    /// Where the next batch stops once its effects are written.
    pub(crate) batch_gate: Mutex<Option<Arc<Gate>>>,
}

/// Where a handler waits until the test lets it pass.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    reached: Notify,
    opened: Notify,
}

impl Gate {
    /// Puts a gate in the way.
    pub(crate) fn put(place: &Mutex<Option<Arc<Self>>>) -> Arc<Self> {
        Arc::clone(place.lock().unwrap().insert(Arc::default()))
    }

    pub(crate) async fn until_reached(&self) {
        let reached = timeout(DEADLINE, self.reached.notified());
        reached.await.expect("a handler comes here in time");
    }

    pub(crate) fn open(&self) {
        self.opened.notify_one();
    }

    async fn pass(place: &Mutex<Option<Arc<Self>>>) {
        let gate = place.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.reached.notify_one();
            gate.opened.notified().await;
        }
    }
}

impl Faults {
    pub(crate) fn none() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn at(faults: &[(u64, Fault)]) -> Arc<Self> {
        let planned = Mutex::new(faults.iter().copied().collect());
        Arc::new(Self {
            planned,
            ..Self::default()
        })
    }

    /// From now on nothing fails.
    pub(crate) fn mend(&self) {
        self.planned.lock().unwrap().clear();
    }

    fn next(&self, position: u64) -> Option<Fault> {
        let mut planned = self.planned.lock().unwrap();
        let fault = *planned.get(&position)?;
        match fault {
            Fault::Transient(1) | Fault::Silent => drop(planned.remove(&position)),
            Fault::Transient(times) => {
                planned.insert(position, Fault::Transient(times - 1));
            }
            _ => {}
        }
        Some(fault)
    }
}

pub(crate) struct Recorder {
    faults: Arc<Faults>,
    /// How many effects there are, as it remembers.
    count: i64,
    /// Events of the last batch.
    handled: u64,
}

impl Recorder {
    pub(crate) fn new(faults: Arc<Faults>) -> Self {
        Self {
            faults,
            count: -1,
            handled: 0,
        }
    }

    async fn check_memory(&self, connection: &mut PgConnection) -> Result<(), HandlerError> {
        if self.count != count(connection).await? {
            self.faults.disagreed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn fail(
        &self,
        connection: &mut PgConnection,
        index: usize,
        fault: Fault,
    ) -> Result<(), HandlerError> {
        match fault {
            Fault::Transient(_) => return Err(HandlerError::transient("not now")),
            Fault::Permanent => return Err(HandlerError::permanent(index, "cannot be evaluated")),
            Fault::Unprocessable => panic!("it is not to be handled"),
            Fault::PermanentOfUnknown => {
                return Err(HandlerError::Permanent {
                    event: None,
                    handler: Some("sahm-rule".to_owned()),
                    reason: "one of them is bad".to_owned(),
                });
            }
            Fault::Panic => panic!("a bug"),
            Fault::BadData => {
                sqlx::query("select 'x'::text::int")
                    .execute(connection)
                    .await?;
            }
            Fault::Silent => {
                let failed = sqlx::query("select 1 / 0").execute(connection).await;
                assert!(failed.is_err());
            }
        }
        Ok(())
    }
}

async fn count(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select count(*) from effects")
        .fetch_one(connection)
        .await
}

impl Handler for Recorder {
    async fn handle(
        &mut self,
        connection: &mut PgConnection,
        events: &[SourcedEvent],
    ) -> Result<(), HandlerError> {
        self.faults.batches.fetch_add(1, Ordering::Relaxed);
        self.check_memory(connection).await?;
        let (mut sources, mut positions, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut silent = false;
        for (index, event) in events.iter().enumerate() {
            self.count += 1;
            if let Some(fault) = self.faults.next(event.position()) {
                silent |= fault == Fault::Silent;
                self.fail(connection, index, fault).await?;
            }
            sources.push(event.source.to_string());
            positions.push(event.position() as i64);
            ids.push(event.event.event_id.clone());
        }
        let insert = "insert into effects (source, position, event_id)
                      select * from unnest($1::text[], $2::bigint[], $3::text[])";
        let inserted = sqlx::query(insert)
            .bind(sources)
            .bind(positions)
            .bind(ids)
            .execute(connection)
            .await;
        if !silent {
            inserted?;
        }
        self.handled = events.len() as u64;
        Gate::pass(&self.faults.batch_gate).await;
        Ok(())
    }

    fn unprocessable(&self, events: &[SourcedEvent]) -> Vec<(usize, String)> {
        let planned = self.faults.planned.lock().unwrap();
        let refused = events
            .iter()
            .enumerate()
            .filter(|(_, event)| planned.get(&event.position()) == Some(&Fault::Unprocessable));
        let reason = || "cannot be read".to_owned();
        refused.map(|(index, _)| (index, reason())).collect()
    }

    fn committed(&mut self) {
        self.faults
            .reported
            .fetch_add(self.handled, Ordering::Relaxed);
    }

    async fn reset(&mut self, connection: &mut PgConnection) -> Result<(), BoxError> {
        self.faults.resets.fetch_add(1, Ordering::Relaxed);
        self.count = count(connection).await?;
        Gate::pass(&self.faults.reset_gate).await;
        Ok(())
    }
}
