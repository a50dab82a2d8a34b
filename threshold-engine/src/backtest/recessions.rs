//! Recessions, where the observations have them.

use std::collections::BTreeMap;

use chrono::{Months, NaiveDate};
use serde::Serialize;

use crate::library::Library;
use evaluation::series::Point;

/// The series whose values are 1 in months of recession and 0 in others: that of the National Bureau of
/// Economic Research, as FRED has it.
pub const RECESSIONS: &str = "USREC";

/// A recession.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recession {
    /// First day of its first month.
    pub from: NaiveDate,
    /// First day of the month after its last one, as far as there are values.
    pub until: NaiveDate,
}

/// The recessions up to a date. Their points are played only if a definition reads the series: shading
/// is no observation that is evaluated.
pub(super) fn take(points: &mut Vec<Point>, library: &Library, to: NaiveDate) -> Vec<Recession> {
    let of_series = points.iter().filter(|p| p.series.as_ref() == RECESSIONS);
    let mut months: BTreeMap<NaiveDate, &Point> = BTreeMap::new();
    for point in of_series.filter(|point| point.date <= to) {
        match months.get(&point.date) {
            Some(known) if known.known_from > point.known_from => {}
            _ => drop(months.insert(point.date, point)),
        }
    }
    let recessions = runs(months.into_values());
    if !library.series().contains(RECESSIONS) {
        points.retain(|point| point.series.as_ref() != RECESSIONS);
    }
    recessions
}

fn runs<'a>(months: impl Iterator<Item = &'a Point>) -> Vec<Recession> {
    let mut runs: Vec<Recession> = Vec::new();
    for point in months.filter(|point| point.value.is_some_and(|value| !value.is_zero())) {
        let from = point.date;
        let until = from.checked_add_months(Months::new(1)).unwrap_or(from);
        match runs.last_mut() {
            Some(last) if last.until >= from => last.until = until,
            _ => runs.push(Recession { from, until }),
        }
    }
    runs
}
