//! REST, health and metrics, described at `/openapi.json`.
//!
//! A route is in the file of its subject; what all services have in common is in `service::rest`.

mod alerts;
mod calm;
mod channels;
mod deliveries;
mod document;
mod external;
mod page;
mod person;
mod refusal;
pub(crate) mod rules;
mod stream;
mod turns;

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::EventLog;
use service::rest::{Operation, Problem, ProblemKind, limit_time};
use sqlx::{PgConnection, PgPool, PgTransaction};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::error;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    alert::{Done, Writer},
    calm::Links,
    channel::{Seal, Sender},
    context::Context,
    emission::Emissions,
    series::History,
    telemetry,
};

pub(crate) use person::ANONYMOUS;
pub(crate) use rules::test::EVALUATIONS_MAX;
pub(crate) use stream::Streams;
pub(crate) use turns::Turns;

/// What the handlers work on.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) log: EventLog,
    pub(crate) context: Context,
    pub(crate) sender: Sender,
    pub(crate) seal: Option<Arc<Seal>>,
    /// Reads the links of messages; `None`: there are none.
    pub(crate) links: Option<Arc<Links>>,
    /// How long a delivery is tried.
    pub(crate) patience: TimeDelta,
    /// Wakes whoever sends.
    pub(crate) wake: Arc<Notify>,
    /// Rules that are tried out at a time.
    pub(crate) evaluations: Arc<Semaphore>,
    /// How far back expressions look.
    pub(crate) history: History,
    /// How many rules of one owner may have expressions.
    pub(crate) expressions_max: u32,
    /// Places for streams of alerts.
    pub(crate) streams: Streams,
    /// Places for requests of each caller.
    pub(crate) turns: Turns,
    /// Cancelled when the service is to end.
    pub(crate) stopping: CancellationToken,
}

impl App {
    /// What alerts are changed with.
    pub(crate) fn writer<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        emissions: &'a mut Emissions,
        done: &'a mut Done,
        now: DateTime<Utc>,
    ) -> Writer<'a> {
        Writer {
            connection,
            context: &self.context,
            now,
            patience: self.patience,
            emissions,
            done,
        }
    }

    /// Commits what was changed, together with what is emitted of it.
    pub(crate) async fn commit(
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
        .routes(routes!(rules::test::test))
        .routes(routes!(alerts::list, external::send))
        .routes(routes!(external::alertmanager))
        .routes(routes!(stream::follow))
        .routes(routes!(alerts::get))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(alerts::resolve))
        .routes(routes!(calm::snooze::snooze))
        .routes(routes!(calm::silences::list, calm::silences::create))
        .routes(routes!(calm::silences::get))
        .routes(routes!(calm::silences::end))
        .routes(routes!(calm::preferences::get, calm::preferences::update))
        .routes(routes!(calm::links::show, calm::links::follow))
        .routes(routes!(calm::unsubscribe::show, calm::unsubscribe::end))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::discard))
        .layer(middleware::from_fn_with_state(
            app.turns.clone(),
            turns::in_turn,
        ))
        .layer(middleware::from_fn_with_state(request_timeout, limit_time))
        .with_state(app);
    service::rest::finish(routes, operation, request_timeout)
}
