//! REST, health and metrics: what people and scripts use, described at `/openapi.json`.
//!
//! Where to change what: a route in the file of its subject, what errors look like in [`problem`],
//! which failure is which problem in `failure`, what happens around every request in `layers`.

mod document;
mod event_page;
mod events;
mod extract;
mod failure;
mod health;
mod layers;
mod log;
mod observations;
mod problem;
mod publish;
mod series;
mod series_view;
mod source_failure;

use std::time::Duration;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use event_log::EventLog;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
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
    /// Renders the metrics of the process.
    pub metrics: PrometheusHandle,
    /// Whether this collector asks the source; without a key it does not.
    pub collects: bool,
    /// Cancelled once the service is to end, which is when it stops to be ready.
    pub stopping: CancellationToken,
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
pub fn router(app: App, request_timeout: Duration) -> Router {
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
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .layer(middleware::from_fn_with_state(
            request_timeout,
            layers::limit_time,
        ));
    let (router, api) = OpenApiRouter::with_openapi(document::base())
        .merge(prompt)
        .routes(routes!(series::collect))
        .routes(routes!(series::backfill))
        .routes(routes!(document::openapi))
        .split_for_parts();
    router
        .method_not_allowed_fallback(layers::method_not_allowed)
        .fallback(layers::not_found)
        .with_state(app)
        .layer(axum::Extension(document::Document::new(api)))
        .layer(DefaultBodyLimit::max(atlas_events::MESSAGE_BYTES_MAX))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(layers::around))
}
