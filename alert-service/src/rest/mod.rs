//! REST, health and metrics, described at `/openapi.json`.
//!
//! A route is in the file of its subject; what all services have in common is in `service::rest`.

mod alerts;
mod channel_view;
mod channels;
mod deliveries;
mod document;
mod person;
mod rule_test;
mod rule_view;
mod rules;

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware};
use chrono::TimeDelta;
use event_log::EventLog;
use service::rest::{Operation, Problem, ProblemKind, limit_time};
use sqlx::{PgPool, PgTransaction};
use tokio::sync::{Notify, Semaphore};
use tracing::error;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    alert::Done,
    channel::{Seal, Sender},
    context::Context,
    emission::Emissions,
    telemetry,
};

pub(crate) use rule_test::EVALUATIONS_MAX;

/// What the handlers work on.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) log: EventLog,
    pub(crate) context: Context,
    pub(crate) sender: Sender,
    pub(crate) seal: Option<Arc<Seal>>,
    /// How long a delivery is tried.
    pub(crate) patience: TimeDelta,
    /// Wakes whoever sends.
    pub(crate) wake: Arc<Notify>,
    /// Rules that are tried out at a time.
    pub(crate) evaluations: Arc<Semaphore>,
}

impl App {
    /// Commits what was changed, together with what is emitted of it.
    async fn commit(
        &self,
        mut transaction: PgTransaction<'_>,
        emissions: Emissions,
        done: &Done,
    ) -> Result<(), Problem> {
        let appended = match emissions.is_empty() {
            true => None,
            false => {
                let drafts = emissions.drafts(&self.context, &self.log.acceptance());
                let drafts = drafts.map_err(|violation| {
                    error!(%violation, "what is emitted breaks the contract");
                    Problem::new(ProblemKind::Internal, "the change cannot be emitted")
                })?;
                Some(self.log.append_in(&mut transaction, drafts).await?)
            }
        };
        transaction.commit().await?;
        if let Some(appended) = appended {
            appended.committed();
        }
        telemetry::count(done);
        self.wake.notify_one();
        Ok(())
    }
}

/// All routes. A request that takes longer than `request_timeout` is answered 504.
pub(crate) fn router(app: App, operation: Operation, request_timeout: Duration) -> Router {
    let routes = OpenApiRouter::with_openapi(document::base())
        .routes(routes!(channels::list, channels::create))
        .routes(routes!(channels::get, channels::update, channels::delete))
        .routes(routes!(channels::test))
        .routes(routes!(rules::list, rules::create))
        .routes(routes!(rules::get, rules::update, rules::delete))
        .routes(routes!(rules::pause))
        .routes(routes!(rules::resume))
        .routes(routes!(rules::snooze))
        .routes(routes!(rule_test::test))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::get))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(alerts::resolve))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::discard))
        .layer(middleware::from_fn_with_state(request_timeout, limit_time))
        .with_state(app);
    service::rest::finish(routes, operation, request_timeout)
}
