//! A service that publishes, and does not give up an event before it was acknowledged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use atlas_events::{Event, PublishRequest, event_publisher_client::EventPublisherClient};
use test_support::custom_event;
use tonic::{Code, Request, transport::Channel};

use crate::{
    cluster::Cluster,
    scenario::{Progress, back_off},
};

const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Publisher {
    pub(crate) number: u64,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) progress: Arc<Progress>,
    client: Option<EventPublisherClient<Channel>>,
    next_collector: usize,
}

impl Publisher {
    pub(crate) fn new(number: u64, cluster: Arc<Cluster>, progress: Arc<Progress>) -> Self {
        let next_collector = number as usize;
        Self {
            number,
            cluster,
            progress,
            client: None,
            next_collector,
        }
    }

    /// Publishes batches of various sizes until `count` events are acknowledged. Returns the position
    /// of each by its id.
    pub(crate) async fn publish(mut self, count: u64) -> BTreeMap<String, u64> {
        let first = self.number * count;
        let mut acknowledged = BTreeMap::new();
        let mut next = first;
        while next < first + count {
            let size = (1 + next % 7).min(first + count - next);
            let events: Vec<_> = (next..next + size).map(custom_event).collect();
            let positions = self.publish_until_acknowledged(&events).await;
            for (event, position) in events.iter().zip(positions) {
                acknowledged.insert(event.event_id.clone(), position);
            }
            next += size;
            self.progress.acknowledge(size);
        }
        acknowledged
    }

    async fn publish_until_acknowledged(&mut self, events: &[Event]) -> Vec<u64> {
        loop {
            match self.try_publish(events.to_vec()).await {
                Some(positions) => return positions,
                // The outcome is unknown, or nothing was stored: sending the same ids elsewhere answers which.
                None => {
                    self.client = None;
                    self.next_collector += 1;
                    back_off().await;
                }
            }
        }
    }

    async fn try_publish(&mut self, events: Vec<Event>) -> Option<Vec<u64>> {
        let client = match &mut self.client {
            Some(client) => client,
            None => {
                let server = self.cluster.server(self.next_collector);
                let connected = EventPublisherClient::connect(server).await.ok()?;
                self.client.insert(connected)
            }
        };
        let mut request = Request::new(PublishRequest {
            events,
            ..PublishRequest::default()
        });
        request.set_timeout(PATIENCE);
        match client.publish(request).await {
            Ok(response) => {
                let receipts = response.into_inner().receipts.into_iter();
                Some(receipts.map(|receipt| receipt.position).collect())
            }
            Err(status) => {
                let honest = [
                    Code::Unavailable,
                    Code::Unknown,
                    Code::Cancelled,
                    Code::DeadlineExceeded,
                    Code::ResourceExhausted,
                    Code::Internal,
                ];
                assert!(honest.contains(&status.code()), "{status:?}");
                None
            }
        }
    }
}
