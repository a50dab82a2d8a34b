//! Conditions over series of observations: written as expressions, evaluated as points come in and are revised, with
//! hysteresis and times for which they are to hold.
//!
//! Nothing here knows the time, a database or a transport: what comes out follows from the points that went in, in
//! their order. Whoever uses it keeps a [`SeriesStore`](series::SeriesStore), passes each change of it to each
//! [`ConditionRun`](machine::ConditionRun) that reads the series, and emits, stores or sends what comes of that.
//!
//! - [`expression`]: the language, of which `docs/expressions.md` is the reference. A text is checked and compiled, or
//!   refused with the place of the mistake.
//! - [`series`]: what is known of each date, by vintages; steps of points that became known together.
//! - [`calendar`]: spans, frequencies, business days.
//! - [`machine`]: from a condition's truth at each date to when it enters and clears.
//!
//! A condition over the unemployment rate that enters when its mean over three months is above 5, and clears below
//! 4.8:
//!
//! ```
//! use chrono::{DateTime, NaiveDate};
//! use evaluation::calendar::{BusinessCalendar, Frequency};
//! use evaluation::expression::InputText;
//! use evaluation::machine::{Condition, ConditionError, ConditionRun, ConditionText, Turn};
//! use evaluation::series::{SeriesStore, StepChanges};
//!
//! let unrate = || {
//!     let declared = InputText {
//!         series: None,
//!         unit: "percent".into(),
//!         frequency: Frequency::Monthly,
//!         max_age: None,
//!     };
//!     declared.input("UNRATE", &BusinessCalendar::default())
//! };
//!
//! // A mistake has a place.
//! let mistaken = r#"UNRATE.meen("3mo") > 5"#;
//! let text = ConditionText { when: mistaken, ..ConditionText::default() };
//! let Err(ConditionError::When(error)) = Condition::compile(vec![unrate()?], text) else {
//!     panic!("it compiles");
//! };
//! assert_eq!(error.reason, "there is no function .meen(…), did you mean mean?");
//! assert_eq!(
//!     error.excerpt(mistaken),
//!     "    UNRATE.meen(\"3mo\") > 5\n           ^"
//! );
//!
//! let text = ConditionText {
//!     when: r#"UNRATE.mean("3mo") > 5"#,
//!     clear_when: Some(r#"UNRATE.mean("3mo") < 4.8"#),
//!     ..ConditionText::default()
//! };
//! let condition = Condition::compile(vec![unrate()?], text)?;
//! assert!(condition.program.series_ids().eq(["UNRATE"]));
//! // Three months, and the 75 days for which a monthly observation counts.
//! assert_eq!(condition.program.history_days(), 168);
//!
//! let mut store = SeriesStore::default();
//! let mut run = ConditionRun::new(condition, &mut store);
//! let series = store.keep("UNRATE");
//!
//! let mut turns = Vec::new();
//! let mut publish = |date: &str, known_from: &str, value: &str| {
//!     let date: NaiveDate = date.parse().unwrap();
//!     let known_from: DateTime<chrono::Utc> = known_from.parse().unwrap();
//!     let value = Some(value.parse().unwrap());
//!     let mut changes = StepChanges::default();
//!     if let Some(change) = store.get_mut(series).apply(date, known_from, value) {
//!         changes.add(series, change);
//!         run.update(&store, series, change);
//!     }
//!     changes.complete(&store);
//!     for difference in run.finish_step(&store, &changes).unwrap_or_default().differences {
//!         turns.push((difference.date.to_string(), difference.after, difference.is_news));
//!     }
//! };
//! publish("2008-05-01", "2008-06-06T12:30:00Z", "5.4");
//! publish("2008-06-01", "2008-07-03T12:30:00Z", "5.6");
//! publish("2008-07-01", "2008-08-01T12:30:00Z", "5.8");
//! publish("2008-08-01", "2008-09-05T12:30:00Z", "4.4");
//! publish("2008-09-01", "2008-10-03T12:30:00Z", "4.1");
//! // The next vintage says that July was not above 5 either.
//! publish("2008-07-01", "2009-01-09T13:30:00Z", "3.0");
//!
//! let at = |date: &str, turn, is_news| (date.to_owned(), turn, is_news);
//! assert_eq!(turns, [
//!     at("2008-07-01", Some(Turn::Entered), true),
//!     at("2008-09-01", Some(Turn::Cleared), true),
//!     at("2008-07-01", None, false),
//!     at("2008-09-01", None, false),
//! ]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod calendar;
pub mod expression;
pub mod machine;
pub mod series;
mod suggestion;
mod work;

pub use suggestion::did_you_mean;
pub use work::{Work, WorkSpent};
