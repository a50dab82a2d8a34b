//! A service that reads everything and resumes wherever it was cut off.

use std::sync::Arc;

use atlas_events::{Event, SubscriptionRequest, event_stream_client::EventStreamClient};
use tonic::Status;

use crate::{cluster::Cluster, scenario::back_off};

/// Reads the ids of positions 1 to `last` from one collector, across its restarts.
pub(crate) async fn read_all(cluster: Arc<Cluster>, collector: usize, last: u64) -> Vec<String> {
    let mut ids = Vec::new();
    while (ids.len() as u64) < last {
        // Cut off, refused or not reached: go on after what has been read.
        let _ = read_on(&cluster, collector, last, &mut ids).await;
        back_off().await;
    }
    ids
}

async fn read_on(
    cluster: &Cluster,
    collector: usize,
    last: u64,
    ids: &mut Vec<String>,
) -> Result<(), Status> {
    let server = cluster.server(collector);
    let connected = EventStreamClient::connect(server).await;
    let mut client = connected.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = SubscriptionRequest {
        after_position: Some(ids.len() as u64),
        ..SubscriptionRequest::default()
    };
    let mut events = client.subscribe_to_events(request).await?.into_inner();
    while (ids.len() as u64) < last {
        let Some(Event {
            event_id, position, ..
        }) = events.message().await?
        else {
            break;
        };
        assert_eq!(
            position,
            ids.len() as u64 + 1,
            "collector {collector} left out a position"
        );
        ids.push(event_id);
    }
    Ok(())
}
