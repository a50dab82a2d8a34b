//! A stand-in for FRED: a small server that answers `fred/series`, `fred/series/observations` and
//! `fred/series/vintagedates` in FRED's exact shapes, real-time semantics and errors, from public-domain series that are
//! committed with this crate (`data/README.md`).
//!
//! It exists for demonstrations and tests, and so can do what FRED cannot: run on a day of one's choice, release or
//! revise an observation on request ([`StandInHandle::release`]) or by and by ([`StandInBuilder::hold_back`]), fail in
//! every way that has been seen of FRED ([`Fault`]), and report which requests it got and when
//! ([`StandInHandle::requests`]). The same is offered to other processes under `/stand-in/`.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use fred_stand_in::{Fault, StandIn};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let fred = StandIn::builder().series(["GDPC1"]).start(listener)?;
//! fred.fail_next(2, Fault::InternalError);
//! println!("{}/fred/series?series_id=GDPC1", fred.base_url());
//! # Ok(())
//! # }
//! ```
//!
//! What it leaves out: `units` other than `lin`, `output_type` 2 and 3, `frequency`, `vintage_dates`, every other path.

mod clock;
mod error;
mod fault;
mod series;
mod server;
mod stand_in;
mod state;

pub use error::StandInError;
pub use fault::Fault;
pub use series::bundled::bundled_ids;
pub use series::release::Release;
pub use series::{Series, SeriesInfo};
pub use server::rate_limit::{RateLimit, RefusalBody};
pub use server::recorder::RequestRecord;
pub use stand_in::{StandIn, StandInBuilder, StandInHandle};
