//! What health checks are answered.

use std::time::Duration;

use event_log::EventLog;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

/// So long may an answer be out of date. Balancers ask about once a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Says that services serve for as long as the log is vouched for, so that balancers send nobody to a
/// process that would refuse. On `shutdown`, notifies watchers that the services stop, and ends
/// their streams, which would otherwise keep their connections open.
pub(crate) async fn follow(
    mut health: HealthReporter,
    served: &[&'static str],
    log: EventLog,
    shutdown: &CancellationToken,
) {
    // The empty name stands for the server as a whole.
    let names: Vec<_> = served.iter().copied().chain([""]).collect();
    let following = async {
        let mut timer = interval(LOOK_INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = ServingStatus::Serving;
        loop {
            timer.tick().await;
            let status = match log.verified() {
                Ok(()) => ServingStatus::Serving,
                Err(_) => ServingStatus::NotServing,
            };
            if known != status {
                known = status;
                for name in &names {
                    health.set_service_status(name, status).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(following).await;
    for name in &names {
        health
            .set_service_status(name, ServingStatus::NotServing)
            .await;
        health.clear_service_status(name).await;
    }
}
