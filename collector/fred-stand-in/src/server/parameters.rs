//! The parameters of a request, read as FRED reads them.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::clock::{FIRST_OBSERVATION_DAY, LAST_DAY};
use crate::series::Period;
use crate::server::refusal::Refusal;

/// The form in which an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Xml,
}

/// Which part of the rows is asked for, and in which order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) descending: bool,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl Page {
    pub(crate) fn sort_order(self) -> &'static str {
        if self.descending { "desc" } else { "asc" }
    }

    /// The asked part of rows that are in ascending order.
    pub(crate) fn of<T>(self, mut rows: Vec<T>) -> Vec<T> {
        if self.descending {
            rows.reverse();
        }
        rows.into_iter()
            .skip(self.offset)
            .take(self.limit)
            .collect()
    }
}

/// What a series of observations consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputType {
    /// Every value in force at some time in the real-time period.
    ByRealtimePeriod = 1,
    /// Of each date the value that was released first.
    InitialRelease = 4,
}

/// The parameters of a request.
pub(crate) struct Parameters<'a>(pub(crate) &'a BTreeMap<String, String>);

impl Parameters<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The form of the answer, which is XML also when an unknown one is asked for.
    pub(crate) fn format(&self) -> Format {
        match self.get("file_type") {
            Some("json") => Format::Json,
            _ => Format::Xml,
        }
    }

    pub(crate) fn check_file_type(&self) -> Result<(), Refusal> {
        self.one_of("file_type", "xml", &["xml", "json"])
            .map(|_| ())
    }

    /// The key, if it looks like one.
    pub(crate) fn api_key(&self) -> Result<&str, Refusal> {
        let key = self
            .get("api_key")
            .filter(|key| !key.is_empty())
            .ok_or_else(|| Refusal::api_key("Variable api_key is not set."))?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if key.len() != 32 || !key.bytes().all(fits) {
            return Err(Refusal::api_key(
                "The value for variable api_key is not a 32 character alpha-numeric lower-case string.",
            ));
        }
        Ok(key)
    }

    pub(crate) fn series_id(&self) -> Result<&str, Refusal> {
        self.get("series_id")
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Refusal::bad_request("Variable series_id is not set."))
    }

    /// The real-time period; `default` stands in for a bound that is absent.
    pub(crate) fn realtime(&self, default: Period, today: NaiveDate) -> Result<Period, Refusal> {
        let start = self.date("realtime_start", default.start)?;
        let end = self.date("realtime_end", default.end)?;
        if start > today {
            return Err(Refusal::bad_request(format_args!(
                "Variable realtime_start can not be after today's date ({today})."
            )));
        }
        if end > today && end != LAST_DAY {
            return Err(Refusal::bad_request(format_args!(
                "Variable realtime_end can not be after today's date ({today}) unless it's equal to the real-time max \
                 date {LAST_DAY}."
            )));
        }
        ordered("realtime", start, end)
    }

    /// The observation dates that are asked for.
    pub(crate) fn observation_dates(&self) -> Result<Period, Refusal> {
        let start = self.date("observation_start", FIRST_OBSERVATION_DAY)?;
        let end = self.date("observation_end", LAST_DAY)?;
        ordered("observation", start, end)
    }

    pub(crate) fn page(&self, limit_max: usize) -> Result<Page, Refusal> {
        let limit = match self.get("limit") {
            None => limit_max,
            Some(limit) => limit
                .parse()
                .ok()
                .filter(|limit| (1..=limit_max).contains(limit))
                .ok_or_else(|| {
                    Refusal::bad_request(format_args!(
                        "Variable limit is not between 1 and {limit_max}."
                    ))
                })?,
        };
        let offset = self.get("offset").unwrap_or("0");
        let offset = offset
            .parse()
            .map_err(|_| Refusal::bad_request("Variable offset is not 0 or a positive integer."))?;
        let order = self.one_of("sort_order", "asc", &["asc", "desc"])?;
        Ok(Page {
            descending: order == "desc",
            offset,
            limit,
        })
    }

    pub(crate) fn output_type(&self) -> Result<OutputType, Refusal> {
        match self.one_of("output_type", "1", &["1", "4"])? {
            "4" => Ok(OutputType::InitialRelease),
            _ => Ok(OutputType::ByRealtimePeriod),
        }
    }

    pub(crate) fn check_units(&self) -> Result<(), Refusal> {
        self.one_of("units", "lin", &["lin"]).map(|_| ())
    }

    fn one_of<'a>(
        &'a self,
        name: &str,
        default: &'a str,
        known: &[&str],
    ) -> Result<&'a str, Refusal> {
        let value = self.get(name).unwrap_or(default);
        if known.contains(&value) {
            return Ok(value);
        }
        let known: Vec<String> = known.iter().map(|value| format!("'{value}'")).collect();
        Err(Refusal::bad_request(format_args!(
            "Variable {name} is not one of the values: {}.",
            known.join(", ")
        )))
    }

    fn date(&self, name: &str, default: NaiveDate) -> Result<NaiveDate, Refusal> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        // The parser also takes `2000-2-4`, which FRED refuses.
        let written_out = text.len() == "2000-02-24".len();
        text.parse().ok().filter(|_| written_out).ok_or_else(|| {
            Refusal::bad_request(format_args!(
                "Variable {name} is not a YYYY-MM-DD formatted date (e.g. 2000-02-24)."
            ))
        })
    }
}

fn ordered(name: &str, start: NaiveDate, end: NaiveDate) -> Result<Period, Refusal> {
    if start > end {
        return Err(Refusal::bad_request(format_args!(
            "Variable {name}_start can not be after {name}_end."
        )));
    }
    Ok(Period { start, end })
}
