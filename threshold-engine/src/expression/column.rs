use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::rolling::Rolling;
use super::value::{Reason, Value};
use crate::series::Observations;

/// The kept values of one node, at each date of any input below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub(crate) dates: Vec<NaiveDate>,
    pub(crate) values: Vec<Value>,
    /// Where the window stands that runs over the node below.
    pub(crate) rolling: Rolling,
}

impl Column {
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
    Column(&'a [NaiveDate], &'a [Value]),
}

impl<'a> Axis<'a> {
    pub(crate) fn of_series(series: &'a Observations) -> Self {
        Self::Series(series.dates(), series.values())
    }

    pub(crate) fn of_column(column: &'a Column) -> Self {
        Self::Column(&column.dates, &column.values)
    }

    pub(crate) fn dates(self) -> &'a [NaiveDate] {
        match self {
            Self::Series(dates, _) | Self::Column(dates, _) => dates,
        }
    }

    pub(crate) fn value(self, index: usize) -> Value {
        match self {
            Self::Series(_, values) => Value::Number(values[index]),
            Self::Column(_, values) => values[index],
        }
    }
}
