use atlas_events::Draft;
use event_log::Projection;
use futures::future::BoxFuture;
use metrics::{Counter, counter};
use sqlx::PgConnection;

/// Counts the events that this process stores, whichever way they came: published over gRPC or
/// REST, or collected. It stands before another projection.
///
/// An event is counted when it is written; in the rare case that its commit then fails it is counted
/// again when it is written again.
pub(crate) struct CountPublished<P> {
    inner: P,
    published: Counter,
}

impl<P: Projection> CountPublished<P> {
    pub(crate) fn before(inner: P) -> Self {
        let published = counter!("fredcollector_events_published_total");
        // So that it is there, with 0, from the start.
        published.increment(0);
        Self { inner, published }
    }
}

impl<P: Projection> Projection for CountPublished<P> {
    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        events: &'a [(u64, &'a Draft)],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            self.inner.apply(connection, events).await?;
            self.published.increment(events.len() as u64);
            Ok(())
        })
    }
}
