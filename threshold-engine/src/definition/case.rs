use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Deserialize;
use toml::Spanned;

use super::place::{File, Refusal};
use evaluation::calendar::Span;

/// At most this many values of one series in one test.
const VALUES_MAX: usize = 5_000;
/// At most this many tests in one definition.
const CASES_MAX: usize = 100;
/// At most this many values in all tests of one definition.
const VALUES_OF_ALL_MAX: usize = 200_000;
/// At most this many series in one test.
const SERIES_MAX: usize = 64;
/// At most this many lines in what a test expects.
const EXPECTED_MAX: usize = 1_000;

/// A test that stands in a definition's file.
#[derive(Clone, Debug, PartialEq)]
pub struct TestCase {
    /// What it shows.
    pub name: String,
    /// Where it stands, from 1.
    pub line: usize,
    /// Observations by series id.
    pub series: Vec<ExpectedSeries>,
    /// Until when days pass in a definition that is evaluated daily; else to the last observation.
    pub until: Option<NaiveDate>,
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
    until: Option<Spanned<String>>,
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

/// Reads all tests of a definition.
pub(crate) fn cases(raw: Vec<RawCase>, file: File<'_>) -> Result<Vec<TestCase>, Refusal> {
    let mut cases = Vec::new();
    let mut values = 0;
    for case in raw {
        let place = Spanned::new(case.name.span(), ());
        if cases.len() == CASES_MAX {
            let reason = format!("a definition has at most {CASES_MAX} tests");
            return Err(Refusal::at(&place, reason));
        }
        let case = case.case(file)?;
        let series = case.series.iter();
        values += series
            .map(|series| series.observations.len())
            .sum::<usize>();
        if values > VALUES_OF_ALL_MAX {
            let reason = format!("its tests have more than {VALUES_OF_ALL_MAX} values");
            return Err(Refusal::at(&place, reason));
        }
        cases.push(case);
    }
    Ok(cases)
}

impl RawCase {
    fn case(self, file: File<'_>) -> Result<TestCase, Refusal> {
        let line = file.line(self.name.span().start);
        let mut series = Vec::new();
        if self.series.len() > SERIES_MAX {
            let reason = format!("a test has at most {SERIES_MAX} series");
            return Err(Refusal::at(&self.name, reason));
        }
        if self.expect.get_ref().len() > EXPECTED_MAX {
            let reason = format!("a test expects at most {EXPECTED_MAX} lines");
            return Err(Refusal::at(&self.expect, reason));
        }
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
        let until = match &self.until {
            None => None,
            Some(text) => {
                let date = text.get_ref().parse::<NaiveDate>();
                let reason = || format!("{:?} is no date such as \"2020-04-01\"", text.get_ref());
                Some(date.map_err(|_| Refusal::at(text, reason()))?)
            }
        };
        Ok(TestCase {
            until,
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
            let left = VALUES_MAX - index as usize;
            let times = times
                .filter(|times| *times <= left)
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
