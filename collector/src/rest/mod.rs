//! REST, health and metrics: what people and scripts use, described at `/openapi.json`.
//!
//! A route is in the file of its subject; what all services have in common is in `service::rest`.

mod document;
mod event_page;
mod events;
mod log;
mod observations;
mod publish;
mod series;
mod series_view;
mod source_failure;

use std::time::Duration;

use axum::{Router, middleware};
use event_log::EventLog;
use service::rest::{Operation, limit_time};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{observations::Observations, series::SeriesRegistry};

/// What the handlers work on.
#[derive(Clone)]
pub struct App {
    /// The log.
    pub log: EventLog,
    /// The series that are collected.
    pub registry: SeriesRegistry,
    /// Their values.
    pub observations: Observations,
    /// Whether this collector asks the source; without a key it does not.
    pub collects: bool,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// All routes. A request that takes longer than `request_timeout` is answered 504, unless it is one
/// to collect, which takes as long as the source.
pub fn router(app: App, operation: Operation, request_timeout: Duration) -> Router {
    let prompt = OpenApiRouter::default()
        .routes(routes!(series::list, series::add))
        .routes(routes!(series::get, series::change, series::delete))
        .routes(routes!(series::pause))
        .routes(routes!(series::resume))
        .routes(routes!(observations::list))
        .routes(routes!(observations::latest))
        .routes(routes!(events::list, publish::publish))
        .routes(routes!(events::find))
        .routes(routes!(log::info))
        .layer(middleware::from_fn_with_state(request_timeout, limit_time));
    let routes = OpenApiRouter::with_openapi(document::base())
        .merge(prompt)
        .routes(routes!(series::collect))
        .routes(routes!(series::backfill))
        .with_state(app);
    service::rest::finish(routes, operation, request_timeout)
}
