use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use atlas_events::Clock;
use backon::{ExponentialBuilder, Retryable};
use chrono::NaiveDate;
use metrics::{counter, histogram};
use reqwest::{Response, StatusCode, header, redirect};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use sqlx::PgPool;
use tracing::{Instrument, Span, debug, field::Empty};

use super::{
    CircuitState, FredConfig, FredError, FredFailure, FredObservation, FredSeries,
    answer::{self, ObservationsAnswer, SeriesAnswer, VintageDatesAnswer},
    circuit::Circuit,
    pace::{Pace, Turn},
    redact::redacted,
    validate,
};

/// How often a call begins again because rows came or went while it turned pages.
const RESTARTS_MAX: usize = 3;

/// Which observations are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservationsQuery {
    /// The series.
    pub series_id: String,
    /// The first and the last day of the real-time period (9999-12-31 for until now): values that were
    /// known on one of its days are given. `None` for today.
    pub realtime: Option<(NaiveDate, NaiveDate)>,
    /// The first observation date; `None` for all.
    pub observation_start: Option<NaiveDate>,
}

/// Asks FRED. Clones share pace, connections and circuit breaker.
#[derive(Clone)]
pub struct FredClient(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    config: FredConfig,
    pace: Pace,
    circuit: Circuit,
    clock: Clock,
}

impl fmt::Debug for FredClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FredClient")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl FredClient {
    /// A client whose pace is kept in the database of `pool`, which [`crate::series::migrate`] has
    /// prepared.
    ///
    /// # Errors
    /// [`FredError::Connection`] if the machine's TLS certificates or proxy settings cannot be used.
    ///
    /// # Panics
    /// If the process has installed no `rustls` provider.
    pub fn new(config: FredConfig, pool: PgPool, clock: Clock) -> Result<Self, FredError> {
        let http = reqwest::Client::builder()
            .timeout(config.request_timeout)
            // A redirect would carry the key to wherever it points.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("atlas-collector/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| FredError::Connection {
                message: describe(&error.without_url()),
            })?;
        let pace = Pace::new(pool, &config.api_key, config.request_interval);
        let circuit = Circuit::new(
            config.circuit_failures_max,
            config.circuit_cool_down,
            clock.clone(),
        );
        Ok(Self(Arc::new(Inner {
            http,
            config,
            pace,
            circuit,
            clock,
        })))
    }

    /// What FRED says about a series.
    ///
    /// # Errors
    /// Every [`FredError`].
    pub async fn series(&self, series_id: &str) -> Result<FredSeries, FredFailure> {
        let SeriesAnswer { seriess: [series] } = self.call("series", series_id, &[]).await?;
        validate::check_series(&series).map_err(once)?;
        Ok(series)
    }

    /// Observations with their vintages, by date and then by the day from which they were known.
    ///
    /// The period may hold at most 2,000 vintage dates. FRED cuts the days of each row to the
    /// period: a value known before it is given as known since its first day.
    ///
    /// # Errors
    /// Every [`FredError`].
    pub async fn observations(
        &self,
        query: &ObservationsQuery,
    ) -> Result<Vec<FredObservation>, FredFailure> {
        let mut parameters = Vec::new();
        if let Some((start, end)) = query.realtime {
            parameters.push(("realtime_start", start.to_string()));
            parameters.push(("realtime_end", end.to_string()));
        }
        if let Some(start) = query.observation_start {
            parameters.push(("observation_start", start.to_string()));
        }
        let page_rows = self.0.config.observations_page_rows;
        let turn = |answer: ObservationsAnswer| (answer.count, answer.observations);
        let path = "series/observations";
        let pages = self.pages(path, &query.series_id, parameters, page_rows, turn);
        let rows = pages.await?;
        validate::check_observations(&rows, self.today()).map_err(once)?;
        Ok(rows)
    }

    /// The days from `realtime_start` on, until today, on which anything of a series became known
    /// or was revised, in order.
    ///
    /// # Errors
    /// Every [`FredError`].
    pub async fn vintage_dates(
        &self,
        series_id: &str,
        realtime_start: NaiveDate,
    ) -> Result<Vec<NaiveDate>, FredFailure> {
        let parameters = vec![("realtime_start", realtime_start.to_string())];
        let page_rows = self.0.config.vintage_dates_page_rows;
        let turn = |answer: VintageDatesAnswer| (answer.count, answer.vintage_dates);
        let path = "series/vintagedates";
        let pages = self.pages(path, series_id, parameters, page_rows, turn);
        let days = pages.await?;
        validate::check_vintage_dates(&days, self.today()).map_err(once)?;
        Ok(days)
    }

    /// The day in UTC, where days begin earlier than at FRED.
    fn today(&self) -> NaiveDate {
        self.0.clock.now().date_naive()
    }

    /// Whether FRED is asked at present.
    pub fn circuit(&self) -> CircuitState {
        self.0.circuit.state()
    }

    /// Whether a call made now would reach FRED.
    pub(crate) fn is_askable(&self) -> bool {
        self.0.circuit.admits()
    }

    /// How long a collection may take.
    pub(crate) fn collection_timeout(&self) -> Duration {
        self.0.config.collection_timeout
    }

    /// That a collection has no more rows than are held in memory.
    pub(crate) fn check_rows(&self, rows: usize) -> Result<(), FredFailure> {
        let rows_max = self.0.config.rows_max;
        if rows <= rows_max {
            return Ok(());
        }
        let limit = format!("{rows_max} rows");
        Err(once(FredError::TooLarge { limit }))
    }

    /// Turns pages until all rows are there. A release in between shifts the rows, which shows in
    /// their number; the pages then do not fit together and are asked for again.
    async fn pages<A: DeserializeOwned, R>(
        &self,
        path: &'static str,
        series_id: &str,
        parameters: Vec<(&'static str, String)>,
        page_rows: usize,
        turn: impl Fn(A) -> (usize, Vec<R>),
    ) -> Result<Vec<R>, FredFailure> {
        for _ in 0..RESTARTS_MAX {
            let mut rows = Vec::new();
            let mut rows_total = None;
            loop {
                let mut parameters = parameters.clone();
                parameters.push(("limit", page_rows.to_string()));
                parameters.push(("offset", rows.len().to_string()));
                let (count, page) = turn(self.call(path, series_id, &parameters).await?);
                self.check_rows(count)?;
                let fits = *rows_total.get_or_insert(count) == count;
                let expected = page_rows.min(count.saturating_sub(rows.len()));
                if !fits || page.len() != expected {
                    debug!(path, series_id, "the rows changed while pages were turned");
                    break;
                }
                rows.extend(page);
                if rows.len() == count {
                    return Ok(rows);
                }
            }
        }
        let problem = "pages do not hold as many rows as announced".to_owned();
        Err(once(FredError::Malformed { problem }))
    }

    /// One answer, with all the attempts that it takes.
    async fn call<A: DeserializeOwned>(
        &self,
        path: &'static str,
        series_id: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<A, FredFailure> {
        let call = self.0.circuit.admit().map_err(|retry_in| {
            let error = FredError::CircuitOpen { retry_in };
            FredFailure { error, attempts: 0 }
        })?;
        let config = &self.0.config;
        let backoff = ExponentialBuilder::default()
            .with_min_delay(config.backoff_min)
            .with_max_delay(config.backoff_max)
            .with_max_times(usize::try_from(config.attempts_max.saturating_sub(1)).unwrap_or(0))
            .with_jitter();
        let attempts = AtomicU32::new(0);
        let answer = (|| async {
            attempts.fetch_add(1, Ordering::Relaxed);
            self.attempt(path, series_id, parameters).await
        })
        .retry(backoff)
        .when(FredError::is_retryable)
        .adjust(|error, wait| Some(self.longer_if_asked(error, wait?)))
        .notify(|error, wait| debug!(path, series_id, %error, ?wait, "FRED is asked again"))
        .await;
        match &answer {
            Err(error) if error.is_outage() => call.failed(),
            // Whatever is wrong with the request, FRED answers.
            Ok(_) | Err(_) => call.succeeded(),
        }
        answer.map_err(|error| FredFailure {
            error,
            attempts: attempts.into_inner(),
        })
    }

    fn longer_if_asked(&self, error: &FredError, wait: Duration) -> Duration {
        let FredError::RateLimited {
            retry_after: Some(retry_after),
        } = error
        else {
            return wait;
        };
        wait.max(*retry_after).min(self.0.config.backoff_max)
    }

    async fn attempt<A: DeserializeOwned>(
        &self,
        path: &'static str,
        series_id: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<A, FredError> {
        let turn = self.0.pace.wait().await.map_err(FredError::Pace)?;
        let span = trace_context::child!(
            "fetch",
            otel.kind = "client",
            http.request.method = "GET",
            // Without the query, which holds the key.
            url.path = path,
            atlas.series.id = series_id,
            http.response.status_code = Empty,
        );
        let asked = Instant::now();
        let asking = self.ask(turn, path, series_id, parameters);
        let answer = asking.instrument(span.clone()).await;
        histogram!("fredcollector_source_request_seconds", "source" => "fred")
            .record(asked.elapsed());
        let outcome = if answer.is_ok() { "ok" } else { "error" };
        counter!("fredcollector_source_requests_total", "source" => "fred", "outcome" => outcome)
            .increment(1);
        if let Err(error) = &answer {
            trace_context::failed(&span, error);
            counter!("fredcollector_source_errors_total", "source" => "fred", "code" => error.code())
                .increment(1);
        }
        answer
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        turn: Turn,
        path: &'static str,
        series_id: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<A, FredError> {
        let config = &self.0.config;
        let response = self
            .0
            .http
            .get(format!("{}/{path}", config.base_url))
            .query(&[
                ("series_id", series_id),
                ("file_type", "json"),
                ("api_key", config.api_key.expose_secret()),
            ])
            .query(parameters)
            .send()
            .await;
        self.0.pace.arrived(turn).await;
        let response = response.map_err(|error| self.transport(error))?;
        let status = response.status();
        Span::current().record("http.response.status_code", i64::from(status.as_u16()));
        let retry_after = retry_after(&response);
        let body = self.body(response).await?;
        match status {
            StatusCode::OK => answer::decode(&body, &config.api_key),
            StatusCode::TOO_MANY_REQUESTS => Err(FredError::RateLimited { retry_after }),
            _ => Err(answer::refusal(status, &body, series_id, &config.api_key)),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, FredError> {
        let bytes_max = self.0.config.answer_bytes_max;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(error))?
        {
            if body.len() + chunk.len() > bytes_max {
                let limit = format!("{bytes_max} bytes");
                return Err(FredError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn transport(&self, error: reqwest::Error) -> FredError {
        if error.is_timeout() {
            let timeout = self.0.config.request_timeout;
            return FredError::Timeout { timeout };
        }
        // The URL holds the key.
        let message = redacted(&describe(&error.without_url()), &self.0.config.api_key);
        FredError::Connection { message }
    }
}

fn once(error: FredError) -> FredFailure {
    FredFailure { error, attempts: 1 }
}

/// `Retry-After` in seconds; FRED's firewall sends no dates.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error with what caused it, which is where reqwest says what is wrong.
fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
