use atlas_events::Draft;
use event_log::Projection;
use futures::future::BoxFuture;
use metrics::{Counter, counter};
use sqlx::PgConnection;

/// Counts the events that this process stores, whichever way they came: published over gRPC or
/// REST, or collected. It stands before another projection.
pub(crate) struct CountPublished<P> {
    inner: P,
    published: Counter,
}

impl<P: Projection> CountPublished<P> {
    pub(crate) fn before(inner: P) -> Self {
        let published = counter!("fredcollector_events_published_total");
        Self { inner, published }
    }
}

impl<P: Projection> Projection for CountPublished<P> {
    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        events: &'a [(u64, &'a Draft)],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        self.inner.apply(connection, events)
    }

    fn committed(&self, events: usize) {
        self.inner.committed(events);
        self.published.increment(events as u64);
    }
}
