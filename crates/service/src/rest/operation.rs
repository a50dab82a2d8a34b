//! Is the process alive, can it serve, and what does it count?

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::header, response::IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;

use event_log::EventLog;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{Security, telemetry::Metrics};

use super::{
    document::Always,
    problem::{Problem, ProblemKind},
};

/// A database that takes longer to answer where the log ends counts as unreachable.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// What a service is watched by.
#[derive(Clone)]
pub struct Operation {
    /// Its log, which is in its database.
    pub log: EventLog,
    /// Renders the metrics of the process.
    pub metrics: Metrics,
    /// First part of the names of its metrics.
    pub metrics_prefix: &'static str,
    /// Who is let in, and what they changed.
    pub security: Security,
    /// Cancelled once the service is to end, which is when it stops to be ready.
    pub stopping: CancellationToken,
    /// Why the service is not ready although its database is, if so.
    pub obstacle: Obstacle,
}

/// Returns why a service cannot do its work; `None` if it can.
pub type Obstacle = Arc<dyn Fn() -> Option<String> + Send + Sync>;

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `alive` or `ready`.
    status: &'static str,
}

/// Is the process alive?
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "operation", security(()),
    responses((status = 200, description = "The process answers", body = Health))
)]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "alive" })
}

/// Can it serve?
///
/// It can while its database answers where the log ends, the log is the one that it was, the database
/// keeps what it commits, the service is not shutting down, and nothing has stopped its work until an
/// operator decides.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReadiness", tag = "operation", security(()),
    responses((status = 200, description = "It can serve", body = Health), Always)
)]
pub(super) async fn ready(State(operation): State<Operation>) -> Result<Json<Health>, Problem> {
    if operation.stopping.is_cancelled() {
        return Err(Problem::new(
            ProblemKind::ShuttingDown,
            "the service is shutting down",
        ));
    }
    if let Some(reason) = (operation.obstacle)() {
        return Err(Problem::new(ProblemKind::Stopped, reason));
    }
    if let Some(task) = operation.log.failure() {
        error!(task, "not ready: a task of the log panicked");
        return Err(Problem::new(
            ProblemKind::Internal,
            "the log does not work any more; the process has to be started again",
        ));
    }
    match tokio::time::timeout(DATABASE_PATIENCE, operation.log.head()).await {
        Ok(head) => head.map(drop)?,
        Err(_) => {
            return Err(Problem::new(
                ProblemKind::DatabaseUnavailable,
                "the database does not answer",
            ));
        }
    };
    operation.log.verified()?;
    Ok(Json(Health { status: "ready" }))
}

/// Metrics
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "operation",
    security(("token" = ["read", "unlimited"])),
    responses((status = 200, description = "In the text format of Prometheus",
        body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(operation): State<Operation>) -> impl IntoResponse {
    let text = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    metrics_process::Collector::default().collect();
    operation.log.sample();
    operation.security.sample();
    (text, operation.metrics.render())
}
