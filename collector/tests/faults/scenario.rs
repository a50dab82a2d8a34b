//! Publishers and subscribers around a cluster, and what must hold afterwards.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinSet, time::timeout};

use crate::{cluster::Cluster, publisher::Publisher, subscriber};

/// A scenario that takes longer than this hangs.
const DEADLINE: Duration = Duration::from_secs(240);

/// What a client does before it tries again.
pub(crate) async fn back_off() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// How many events have been acknowledged.
#[derive(Default)]
pub(crate) struct Progress {
    acknowledged: AtomicU64,
    changed: Notify,
}

impl Progress {
    pub(crate) fn acknowledge(&self, count: u64) {
        self.acknowledged.fetch_add(count, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// How many events have been acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Waits until at least `count` events have been acknowledged.
    pub(crate) async fn reach(&self, count: u64) {
        loop {
            let changed = self.changed.notified();
            if self.acknowledged.load(Ordering::Acquire) >= count {
                return;
            }
            changed.await;
        }
    }
}

/// Publishes and reads on a cluster while `faults` happen, and checks that nothing was lost, doubled
/// or reordered.
pub(crate) async fn run(
    cluster: Arc<Cluster>,
    publishers: u64,
    events_each: u64,
    faults: impl AsyncFnOnce(&Cluster, &Progress),
) {
    let progress = Arc::new(Progress::default());
    let total = publishers * events_each;
    let mut publishing = JoinSet::new();
    for number in 0..publishers {
        let publisher = Publisher::new(number, Arc::clone(&cluster), Arc::clone(&progress));
        publishing.spawn(publisher.publish(events_each));
    }
    let mut reading = JoinSet::new();
    for collector in 0..cluster.len() {
        reading.spawn(subscriber::read_all(Arc::clone(&cluster), collector, total));
    }
    let ended = timeout(DEADLINE, async {
        faults(&cluster, &progress).await;
        (publishing.join_all().await, reading.join_all().await)
    });
    let (acknowledged, sequences) = ended.await.unwrap();
    check(total, acknowledged, &sequences);
}

fn check(total: u64, acknowledged: Vec<BTreeMap<String, u64>>, sequences: &[Vec<String>]) {
    let acknowledged: BTreeMap<_, _> = acknowledged.into_iter().flatten().collect();
    assert_eq!(
        acknowledged.len() as u64,
        total,
        "every event was acknowledged"
    );
    let first = &sequences[0];
    assert_eq!(
        first.len() as u64,
        total,
        "every position was read, and there are no more"
    );
    for (id, position) in &acknowledged {
        assert_eq!(
            &first[*position as usize - 1],
            id,
            "an acknowledged event is at its position"
        );
    }
    for sequence in sequences {
        assert!(sequence == first, "all collectors serve the same sequence");
    }
}
