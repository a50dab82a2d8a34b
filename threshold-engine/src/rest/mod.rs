//! REST, health and metrics: what people and scripts use, described at `/openapi.json`.
//!
//! A route is in the file of its subject; what all services have in common is in `service::rest`.

mod consumption;
mod definitions;
mod document;
mod evaluate;
mod inputs;
mod parked;
mod pattern_view;
mod patterns;
mod regimes;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use consumer::{ConsumerAdmin, ConsumerStatus};
use service::rest::{Operation, Problem, ProblemKind, limit_time};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tracing::error;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::service::{Definitions, Progress, ReloadError, SharedMemory};

/// What the handlers work on.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) memory: SharedMemory,
    pub(crate) definitions: Definitions,
    pub(crate) admin: ConsumerAdmin,
    pub(crate) status: ConsumerStatus,
    /// Whoever evaluates a pattern takes one.
    pub(crate) evaluations: Arc<Semaphore>,
    pub(crate) progress: Arc<Progress>,
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Database(error) => error.into(),
            ReloadError::Log(error) => error.into(),
            ReloadError::Event(violation) => {
                error!(%violation, "a lifecycle event of a definition violates the contract");
                Self::new(
                    ProblemKind::Internal,
                    "what becomes of it cannot be emitted",
                )
            }
        }
    }
}

/// As many as there may be evaluations at a time.
pub(crate) fn evaluations() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(evaluate::EVALUATIONS_MAX))
}

/// All routes. A request that takes longer than `request_timeout` is answered 504.
pub(crate) fn router(app: App, operation: Operation, request_timeout: Duration) -> Router {
    let routes = OpenApiRouter::with_openapi(document::base())
        .routes(routes!(patterns::list))
        .routes(routes!(patterns::get))
        .routes(routes!(patterns::enable))
        .routes(routes!(patterns::disable))
        .routes(routes!(definitions::get))
        .routes(routes!(definitions::reload))
        .routes(routes!(evaluate::evaluate))
        .routes(routes!(inputs::list))
        .routes(routes!(regimes::list))
        .routes(routes!(parked::list))
        .routes(routes!(parked::retry))
        .routes(routes!(parked::discard))
        .routes(routes!(consumption::list))
        .routes(routes!(consumption::reset))
        .layer(middleware::from_fn_with_state(request_timeout, limit_time))
        .layer(middleware::from_fn_with_state(app.clone(), once_it_knows))
        .with_state(app);
    service::rest::finish(routes, operation, request_timeout)
}

/// An engine that does not know everything yet answers nothing about it.
async fn once_it_knows(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.progress.obstacle() {
        Some(reason) => Problem::new(ProblemKind::Stopped, reason).into_response(),
        None => next.run(request).await,
    }
}
