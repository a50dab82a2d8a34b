use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Deserialize;
use toml::Spanned;

use super::place::{File, Refusal};
use crate::calendar::Span;

/// At most this many values of one series in one test.
const VALUES_MAX: usize = 5_000;

/// A test that stands in a definition's file.
#[derive(Clone, Debug, PartialEq)]
pub struct TestCase {
    /// What it shows.
    pub name: String,
    /// Where it stands, from 1.
    pub line: usize,
    /// Observations by series id.
    pub series: Vec<ExpectedSeries>,
    /// What has to come out, in order: "2020-04-01 entered", or "2020-04-01 crisis" of a regime.
    pub expect: Vec<String>,
}

/// The observations of one series in a test.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedSeries {
    /// Id of the series, or name of the input.
    pub name: String,
    /// By date; dates without a value are left out.
    pub observations: Vec<(NaiveDate, Decimal)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCase {
    name: Spanned<String>,
    series: BTreeMap<String, Spanned<SeriesText>>,
    expect: Spanned<Vec<String>>,
}

/// Observations at even distances, as a test writes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesText {
    /// Date of the first.
    from: String,
    /// Distance of two.
    every: Span,
    /// Values with spaces between: "3.5 3.6 . 4.0*12"; "." is none, "*12" twelve times.
    values: String,
}

impl RawCase {
    pub(crate) fn case(self, file: File<'_>) -> Result<TestCase, Refusal> {
        let line = file.line(self.name.span().start);
        let mut series = Vec::new();
        for (name, text) in self.series {
            match text.get_ref().observations() {
                Ok(observations) => series.push(ExpectedSeries { name, observations }),
                Err(reason) => return Err(Refusal::at(&text, reason)),
            }
        }
        for expected in self.expect.get_ref() {
            let date = expected.split_whitespace().next().unwrap_or_default();
            if date.parse::<NaiveDate>().is_err() || expected.split_whitespace().count() != 2 {
                let reason = format!("{expected:?} is not like \"2020-04-01 entered\"");
                return Err(Refusal::at(&self.expect, reason));
            }
        }
        Ok(TestCase {
            name: self.name.into_inner(),
            line,
            series,
            expect: self.expect.into_inner(),
        })
    }
}

impl SeriesText {
    fn observations(&self) -> Result<Vec<(NaiveDate, Decimal)>, String> {
        let from: NaiveDate = self
            .from
            .parse()
            .map_err(|_| format!("{:?} is no date such as \"2020-04-01\"", self.from))?;
        if self.every.is_zero() {
            return Err("every has to be longer than that".into());
        }
        let mut observations = Vec::new();
        let mut index = 0;
        for word in self.values.split_whitespace() {
            let (text, times) = match word.split_once('*') {
                Some((text, times)) => (text, times.parse::<usize>().ok()),
                None => (word, Some(1)),
            };
            let value = match text {
                "." => None,
                text => Some(
                    atlas_events::parse_decimal(text)
                        .ok_or_else(|| format!("{word:?} is no value such as 3.5, 3.5*12 or ."))?,
                ),
            };
            let times = times
                .filter(|times| index as usize + times <= VALUES_MAX)
                .ok_or_else(|| format!("{word:?}: a series has at most {VALUES_MAX} values"))?;
            for _ in 0..times {
                let date = self.every.times(index).after(from);
                observations.extend(value.map(|value| (date, value)));
                index += 1;
            }
        }
        Ok(observations)
    }
}
