//! Is the process alive, can it serve, and what does it count?

use std::time::Duration;

use axum::{Json, extract::State, http::header, response::IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    document::Always,
    problem::{Problem, ProblemKind},
};

/// A database that takes longer to tell where the log stands is as good as away.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `alive` or `ready`.
    status: &'static str,
}

/// Is the process alive?
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "operation",
    responses((status = 200, description = "The process answers", body = Health))
)]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "alive" })
}

/// Can it serve?
///
/// It can while its database tells where the log stands and it is not shutting down.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReadiness", tag = "operation",
    responses((status = 200, description = "It can serve", body = Health), Always)
)]
pub(super) async fn ready(State(app): State<App>) -> Result<Json<Health>, Problem> {
    if app.stopping.is_cancelled() {
        return Err(Problem::new(
            ProblemKind::ShuttingDown,
            "the collector is shutting down",
        ));
    }
    match tokio::time::timeout(DATABASE_PATIENCE, app.log.head()).await {
        Ok(head) => head?,
        Err(_) => {
            return Err(Problem::new(
                ProblemKind::DatabaseUnavailable,
                "the database does not answer",
            ));
        }
    };
    Ok(Json(Health { status: "ready" }))
}

/// Metrics
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "operation",
    responses((status = 200, description = "In the text format of Prometheus",
        body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let text = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (text, app.metrics.render())
}
