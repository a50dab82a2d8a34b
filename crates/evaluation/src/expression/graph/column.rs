use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::rolling::Rolling;
use crate::expression::value::{Reason, Value};
use crate::series::Observations;

/// The kept values of one node, at each date of any input below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub(crate) dates: Vec<NaiveDate>,
    pub(crate) values: Vec<Value>,
    /// Where the window stands that runs over the node below.
    pub(crate) rolling: Rolling,
    /// Index of the first value that is data: where the computed series begins. The number of dates if
    /// there is none.
    begin: usize,
    /// The later of the two dates between which the latest change moved the beginning, the end of time
    /// for a series that has none; `None` if it stands where it stood.
    pub(crate) begin_moved: Option<NaiveDate>,
}

impl Column {
    /// The first date with data.
    pub(crate) fn begin_date(&self) -> Option<NaiveDate> {
        self.dates.get(self.begin).copied()
    }

    /// Looks for the beginning again after the values from an index on may have changed. The values before
    /// both that index and the old beginning are still no data.
    pub(crate) fn find_begin(&mut self, changed_from: usize) {
        let from = self.begin.min(changed_from).min(self.values.len());
        let is_missing = |value: &&Value| matches!(value, Value::Missing(_));
        let missing = self.values[from..].iter().take_while(is_missing);
        self.begin = from + missing.count();
    }

    /// Notes how far the beginning moved from where it was.
    pub(crate) fn note_begin(&mut self, before: Option<NaiveDate>) {
        let now = self.begin_date();
        let end = NaiveDate::MAX;
        self.begin_moved = (before != now).then(|| before.unwrap_or(end).max(now.unwrap_or(end)));
    }

    /// Has the date if, and only if, `present`. The value of a new one is to be computed.
    pub(crate) fn sync(&mut self, date: NaiveDate, present: bool) {
        let place = match self.dates.last() {
            Some(last) if *last < date => Err(self.dates.len()),
            _ => self.dates.binary_search(&date),
        };
        match place {
            Err(index) if present => {
                if index < self.dates.len() {
                    self.rolling.forget();
                }
                self.dates.insert(index, date);
                self.values
                    .insert(index, Value::missing(Reason::NoObservation));
            }
            Ok(index) if !present => {
                self.rolling.forget();
                self.dates.remove(index);
                self.values.remove(index);
            }
            _ => {}
        }
    }
}

/// Dates and values that a window runs over: those of a series or of a node.
#[derive(Clone, Copy)]
pub(crate) enum Axis<'a> {
    Series(&'a [NaiveDate], &'a [Decimal]),
    Column(&'a Column),
}

impl<'a> Axis<'a> {
    pub(crate) fn of_series(series: &'a Observations) -> Self {
        Self::Series(series.dates(), series.values())
    }

    pub(crate) fn of_column(column: &'a Column) -> Self {
        Self::Column(column)
    }

    pub(crate) fn dates(self) -> &'a [NaiveDate] {
        match self {
            Self::Series(dates, _) => dates,
            Self::Column(column) => &column.dates,
        }
    }

    pub(crate) fn value(self, index: usize) -> Value {
        match self {
            Self::Series(_, values) => Value::Number(values[index]),
            Self::Column(column) => column.values[index],
        }
    }

    /// Index of the first date with data: where the series begins. The number of dates if it does not.
    pub(crate) fn begin(self) -> usize {
        match self {
            Self::Series(..) => 0,
            Self::Column(column) => column.begin,
        }
    }
}
