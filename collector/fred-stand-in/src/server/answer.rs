//! The three answers, in FRED's order of fields, as JSON and as XML.

use std::fmt::Write as _;

use chrono::NaiveDate;
use serde::Serialize;

/// What FRED answers to a good request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Series(SeriesAnswer),
    Observations(ObservationsAnswer),
    VintageDates(VintageDatesAnswer),
}

#[derive(Debug, Serialize)]
pub(crate) struct SeriesAnswer {
    pub(crate) realtime_start: NaiveDate,
    pub(crate) realtime_end: NaiveDate,
    pub(crate) seriess: [SeriesRow; 1],
}

#[derive(Debug, Serialize)]
pub(crate) struct SeriesRow {
    pub(crate) id: String,
    pub(crate) realtime_start: NaiveDate,
    pub(crate) realtime_end: NaiveDate,
    pub(crate) title: String,
    pub(crate) observation_start: NaiveDate,
    pub(crate) observation_end: NaiveDate,
    pub(crate) frequency: String,
    pub(crate) frequency_short: String,
    pub(crate) units: String,
    pub(crate) units_short: String,
    pub(crate) seasonal_adjustment: String,
    pub(crate) seasonal_adjustment_short: String,
    pub(crate) last_updated: String,
    pub(crate) popularity: u8,
    pub(crate) notes: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ObservationsAnswer {
    pub(crate) realtime_start: NaiveDate,
    pub(crate) realtime_end: NaiveDate,
    pub(crate) observation_start: NaiveDate,
    pub(crate) observation_end: NaiveDate,
    pub(crate) units: &'static str,
    pub(crate) output_type: u8,
    pub(crate) file_type: &'static str,
    pub(crate) order_by: &'static str,
    pub(crate) sort_order: &'static str,
    pub(crate) count: usize,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
    pub(crate) observations: Vec<ObservationRow>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ObservationRow {
    pub(crate) realtime_start: NaiveDate,
    pub(crate) realtime_end: NaiveDate,
    pub(crate) date: NaiveDate,
    pub(crate) value: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct VintageDatesAnswer {
    pub(crate) realtime_start: NaiveDate,
    pub(crate) realtime_end: NaiveDate,
    pub(crate) order_by: &'static str,
    pub(crate) sort_order: &'static str,
    pub(crate) count: usize,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
    pub(crate) vintage_dates: Vec<NaiveDate>,
}

impl Answer {
    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        // FRED writes `\/`. A slash stands only inside strings, so every one may be replaced.
        serde_json::to_string(self).map(|json| json.replace('/', "\\/"))
    }

    /// The same fields as attributes, each row an element.
    pub(crate) fn to_xml(&self) -> Result<String, serde_json::Error> {
        let (outer, rows, row) = match self {
            Self::Series(_) => ("seriess", "seriess", "series"),
            Self::Observations(_) => ("observations", "observations", "observation"),
            Self::VintageDates(_) => ("vintage_dates", "vintage_dates", "vintage_date"),
        };
        let mut fields = match serde_json::to_value(self)? {
            serde_json::Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        let rows = fields.remove(rows);
        fields
            .entry("file_type")
            .and_modify(|file_type| *file_type = "xml".into());

        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n");
        open(&mut xml, outer, &fields);
        xml.push_str(">\n");
        for value in rows.iter().filter_map(|rows| rows.as_array()).flatten() {
            match value {
                serde_json::Value::Object(fields) => {
                    open(&mut xml, row, fields);
                    xml.push_str("/>\n");
                }
                plain => writeln_element(&mut xml, row, &text_of(plain)),
            }
        }
        let _ = writeln!(xml, "</{outer}>");
        Ok(xml)
    }
}

fn open(xml: &mut String, name: &str, fields: &serde_json::Map<String, serde_json::Value>) {
    let _ = write!(xml, "<{name}");
    for (name, value) in fields {
        let _ = write!(xml, " {name}=\"{}\"", escaped(&text_of(value)));
    }
}

fn writeln_element(xml: &mut String, name: &str, text: &str) {
    let _ = writeln!(xml, "<{name}>{}</{name}>", escaped(text));
}

fn text_of(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Text as it may stand in an attribute or element.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
