//! Setting up, starting, steering and stopping a stand-in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use chrono::NaiveDate;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Clock, FIRST_REALTIME_DAY, LAST_DAY};
use crate::fault::FaultPlan;
use crate::series::Period;
use crate::series::bundled::{bundled, bundled_ids};
use crate::series::schedule::hold_back;
use crate::server::rate_limit::RateLimiter;
use crate::server::recorder::Recorder;
use crate::state::State;
use crate::{
    Fault, RateLimit, Release, RequestRecord, Series, SeriesInfo, StandInError,
    server::{self, admin},
};

/// A stand-in for FRED that is not running yet.
#[derive(Debug)]
pub struct StandIn;

impl StandIn {
    /// A stand-in with every committed series, on the real day, with FRED's limits, for any key that looks like one.
    pub fn builder() -> StandInBuilder {
        StandInBuilder {
            bundled: bundled_ids().map(str::to_owned).collect(),
            own: Vec::new(),
            clock: Clock::System,
            registered_keys: None,
            rate_limit: Some(RateLimit::default()),
            hold_back: 0,
            release_every: None,
        }
    }
}

/// How a stand-in is to be.
#[derive(Debug)]
pub struct StandInBuilder {
    bundled: Vec<String>,
    own: Vec<Series>,
    clock: Clock,
    registered_keys: Option<Vec<String>>,
    rate_limit: Option<RateLimit>,
    hold_back: usize,
    release_every: Option<Duration>,
}

impl StandInBuilder {
    /// Only these of the committed series ([`crate::bundled_ids`]); without it, all of them.
    #[must_use]
    pub fn series<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.bundled = ids.into_iter().map(Into::into).collect();
        self
    }

    /// One more series, in place of a committed one of the same id.
    #[must_use]
    pub fn add_series(mut self, series: Series) -> Self {
        self.own.push(series);
        self
    }

    /// The day on which the stand-in begins and stays until it is changed. What becomes known later is not shown.
    #[must_use]
    pub fn today(mut self, today: NaiveDate) -> Self {
        self.clock = Clock::Fixed(today);
        self
    }

    /// The only keys that are accepted.
    #[must_use]
    pub fn registered_keys<I: Into<String>>(mut self, keys: impl IntoIterator<Item = I>) -> Self {
        self.registered_keys = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Other limits than FRED's on the requests of a key; `None` for no limits.
    #[must_use]
    pub fn rate_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.rate_limit = limit.into();
        self
    }

    /// Holds back the newest `count` observations of each series, for [`StandInHandle::release_next`].
    ///
    /// Unless [`today`](Self::today) is set, the stand-in then begins as many days ago as there are releases to come,
    /// so that the last of them falls on the real day.
    #[must_use]
    pub fn hold_back(mut self, count: usize) -> Self {
        self.hold_back = count;
        self
    }

    /// Calls [`StandInHandle::release_next`] after each such interval, until nothing is held back any more.
    #[must_use]
    pub fn release_every(mut self, interval: Duration) -> Self {
        self.release_every = Some(interval);
        self
    }

    /// Starts to serve on the listener. Call it inside a Tokio runtime; serving ends with the handle.
    ///
    /// # Errors
    /// [`StandInError::UnknownSeries`] for an id that is not among the committed series, [`StandInError::Listener`] if
    /// the listener has no address.
    pub fn start(self, listener: TcpListener) -> Result<StandInHandle, StandInError> {
        let address = listener.local_addr()?;
        let release_every = self.release_every;
        let (stopped, _) = watch::channel(false);
        let shared = Arc::new(Shared {
            state: Mutex::new(self.into_state()?),
            stopped,
        });

        let router = Router::new()
            .merge(admin::routes())
            .fallback(server::fred)
            .with_state(shared.clone());
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY cannot be set for a connection");
            }
        });
        let until_stopped = shared.clone();
        let serving = axum::serve(listener, router)
            .with_graceful_shutdown(async move { until_stopped.stopped().await });
        let server = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the stand-in stopped serving");
            }
        });
        if let Some(interval) = release_every {
            tokio::spawn(release_by_and_by(shared.clone(), interval));
        }
        Ok(StandInHandle {
            base_url: format!("http://{address}"),
            shared,
            server: Some(server),
        })
    }

    fn into_state(self) -> Result<State, StandInError> {
        let mut series = BTreeMap::new();
        for id in &self.bundled {
            series.insert(id.clone(), bundled(id)?);
        }
        for own in self.own {
            series.insert(own.info().id.clone(), own);
        }
        let held_back = hold_back(&mut series, self.hold_back);
        let clock = match self.clock {
            Clock::System if !held_back.is_empty() => {
                Clock::Fixed(first_day(&series, self.clock.today(), held_back.len()))
            }
            clock => clock,
        };
        Ok(State {
            series,
            clock,
            registered_keys: self.registered_keys.map(|keys| keys.into_iter().collect()),
            limiter: self.rate_limit.map(RateLimiter::new),
            faults: FaultPlan::default(),
            recorder: Recorder::new(),
            held_back,
        })
    }
}

/// The day so many days before the last one, but not one on which something that is not held back was still unknown.
fn first_day(series: &BTreeMap<String, Series>, last_day: NaiveDate, days: usize) -> NaiveDate {
    let whole = Period {
        start: FIRST_REALTIME_DAY,
        end: LAST_DAY,
    };
    let vintages = series
        .values()
        .filter_map(|series| series.vintage_dates(whole, LAST_DAY).pop_last());
    let newest = vintages.max().unwrap_or(FIRST_REALTIME_DAY);
    let days = chrono::Days::new(u64::try_from(days).unwrap_or(u64::MAX));
    last_day
        .checked_sub_days(days)
        .map_or(newest, |day| day.max(newest))
}

async fn release_by_and_by(shared: Arc<Shared>, interval: Duration) {
    loop {
        tokio::select! {
            () = shared.stopped() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let released = shared.state().release_next();
        match released {
            Ok(None) => {
                tracing::info!("every observation has been released");
                return;
            }
            Ok(Some((series_id, releases))) => {
                for release in releases {
                    let Release { date, value, .. } = release;
                    tracing::info!(series_id, %date, value, "released");
                }
            }
            Err(error) => {
                tracing::error!(%error, "an observation could not be released");
                return;
            }
        }
    }
}

/// What the server, the ticker and the handle have in common.
pub(crate) struct Shared {
    state: Mutex<State>,
    stopped: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked did so in a test of ours, which fails for that; the others may go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_today(&self, today: NaiveDate) {
        self.state().clock = Clock::Fixed(today);
    }

    pub(crate) async fn sleep_unless_stopped(&self, duration: Duration) {
        tokio::select! {
            () = self.stopped() => {}
            () = tokio::time::sleep(duration) => {}
        }
    }

    async fn stopped(&self) {
        // The sender lives as long as `self`, so this waits for nothing else.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}

/// A running stand-in. Dropping it stops it: requests under way are answered, then connections are closed.
pub struct StandInHandle {
    base_url: String,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl StandInHandle {
    /// Where it serves, such as `http://127.0.0.1:43211`; FRED's paths begin with `/fred/` after it.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The requests that arrived so far (the newest 100,000), in the order of arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.state().requests()
    }

    /// Lets the next `times` requests meet a fault, after those planned before.
    pub fn fail_next(&self, times: usize, fault: Fault) {
        self.shared.state().plan_fault(times, fault, None);
    }

    /// The same, for requests for one series only.
    pub fn fail_next_of(&self, series_id: &str, times: usize, fault: Fault) {
        self.shared
            .state()
            .plan_fault(times, fault, Some(series_id.to_owned()));
    }

    /// Forgets the faults that were not met yet.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Makes a value known: a new observation, or a revision. Gives the release with its `realtime_start` filled in.
    ///
    /// # Errors
    /// [`StandInError::UnknownSeries`], [`StandInError::InvalidValue`].
    pub fn release(&self, series_id: &str, release: Release) -> Result<Release, StandInError> {
        self.shared.state().release(series_id, release)
    }

    /// Has the series described otherwise from now on.
    ///
    /// # Errors
    /// [`StandInError::UnknownSeries`].
    pub fn describe(&self, info: SeriesInfo) -> Result<(), StandInError> {
        self.shared.state().describe(info)
    }

    /// Has the series begin with `first` from today on, as when a licence allows fewer years: what it had of earlier
    /// dates was known until yesterday.
    ///
    /// # Errors
    /// [`StandInError::UnknownSeries`].
    pub fn begin_at(&self, series_id: &str, first: NaiveDate) -> Result<(), StandInError> {
        self.shared.state().begin_at(series_id, first)
    }

    /// Moves today by one day and releases the next observation that is held back, with the revision of the series'
    /// previous one if that was not final. `None` when nothing is held back any more.
    ///
    /// # Errors
    /// [`StandInError::DayOutOfRange`] at the end of the calendar.
    pub fn release_next(&self) -> Result<Option<(String, Vec<Release>)>, StandInError> {
        self.shared.state().release_next()
    }

    /// What day it is for the stand-in.
    pub fn today(&self) -> NaiveDate {
        self.shared.state().today()
    }

    /// Sets the day. Going back hides what becomes known later.
    pub fn set_today(&self, today: NaiveDate) {
        self.shared.set_today(today);
    }

    /// Stops serving and waits until every connection is closed.
    pub async fn stop(mut self) {
        self.shared.stopped.send_replace(true);
        if let Some(server) = self.server.take() {
            // It ends with an error only if it panicked, which the runtime has reported.
            let _ = server.await;
        }
    }
}

impl Drop for StandInHandle {
    fn drop(&mut self) {
        self.shared.stopped.send_replace(true);
    }
}

impl std::fmt::Debug for StandInHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandInHandle")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}
