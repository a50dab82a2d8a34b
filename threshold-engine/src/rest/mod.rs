//! REST, health and metrics: what people and scripts use, described at `/openapi.json`.
//!
//! A route is in the file of its subject; what all services have in common is in `service::rest`.

mod document;

use std::time::Duration;

use axum::{Router, middleware};
use consumer::{ConsumerAdmin, ConsumerStatus};
use event_log::EventLog;
use service::rest::{Operation, limit_time};
use sqlx::PgPool;
use utoipa_axum::router::OpenApiRouter;

use crate::service::{Definitions, SharedMemory};

/// What the handlers work on.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) log: EventLog,
    pub(crate) memory: SharedMemory,
    pub(crate) definitions: Definitions,
    pub(crate) admin: ConsumerAdmin,
    pub(crate) status: ConsumerStatus,
}

/// All routes. A request that takes longer than `request_timeout` is answered 504.
pub(crate) fn router(app: App, operation: Operation, request_timeout: Duration) -> Router {
    let routes = OpenApiRouter::with_openapi(document::base())
        .layer(middleware::from_fn_with_state(request_timeout, limit_time))
        .with_state(app);
    service::rest::finish(routes, operation, request_timeout)
}
