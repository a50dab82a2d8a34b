//! The series that are committed with this crate.

use serde::Deserialize;

use crate::{Series, SeriesInfo, StandInError};

const CATALOGUE: &str = include_str!("../../data/catalogue.json");

macro_rules! figures {
    ($($id:literal),+ $(,)?) => { &[$(($id, include_str!(concat!("../../data/", $id, ".csv")))),+] };
}

/// Id and figures of every series of the catalogue.
const FIGURES: &[(&str, &str)] = figures![
    "CPIAUCSL",
    "CPILFESL",
    "DCOILWTICO",
    "GDPC1",
    "M1SL",
    "MCOILBRENTEU",
    "MCOILWTICO",
    "PCE",
    "PCECC96",
    "PSAVERT",
    "UEMPMED",
    "UMCSENT",
    "UNEMPLOY",
    "UNRATE",
    "UNRATENSA",
    "VIXCLS",
];

/// The ids of the series that are committed with the stand-in, in alphabetical order.
pub fn bundled_ids() -> impl Iterator<Item = &'static str> {
    FIGURES.iter().map(|(id, _)| *id)
}

#[derive(Deserialize)]
struct Catalogue(Vec<SeriesInfo>);

/// A committed series with all its vintages.
pub(crate) fn bundled(id: &str) -> Result<Series, StandInError> {
    let unknown = || StandInError::UnknownSeries {
        series_id: id.to_owned(),
    };
    let Catalogue(infos) = serde_json::from_str(CATALOGUE)?;
    let info = infos
        .into_iter()
        .find(|info| info.id == id)
        .ok_or_else(unknown)?;
    let (_, figures) = FIGURES
        .iter()
        .find(|(known, _)| *known == id)
        .ok_or_else(unknown)?;

    let mut series = Series::new(info);
    for (index, row) in figures.lines().enumerate().skip(1) {
        read_row(&mut series, row).map_err(|reason| StandInError::InvalidData {
            series_id: id.to_owned(),
            line: index + 1,
            reason,
        })?;
    }
    Ok(series)
}

fn read_row(series: &mut Series, row: &str) -> Result<(), String> {
    let fields: Vec<&str> = row.split(',').collect();
    let [date, known_since, value] = fields[..] else {
        return Err(format!("{} fields instead of 3", fields.len()));
    };
    let date = date
        .parse()
        .map_err(|error| format!("date `{date}`: {error}"))?;
    let known_since = known_since
        .parse()
        .map_err(|error| format!("realtime_start `{known_since}`: {error}"))?;
    series
        .publish(date, known_since, value)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_of_the_catalogue_is_bundled_and_reads() {
        let Catalogue(infos) = serde_json::from_str(CATALOGUE).unwrap();
        let mut ids: Vec<&str> = infos.iter().map(|info| info.id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, bundled_ids().collect::<Vec<_>>());
        for id in ids {
            bundled(id).unwrap();
        }
    }

    #[test]
    fn a_broken_row_names_what_is_wrong() {
        let mut series = bundled("UNRATE").unwrap();
        let mut reason = |row| read_row(&mut series, row).unwrap_err();
        assert_eq!(reason("2000-01-01,4.0"), "2 fields instead of 3");
        assert!(reason("2000-13-01,2000-02-04,4.0").starts_with("date `2000-13-01`"));
        assert!(reason("2000-01-01,soon,4.0").starts_with("realtime_start `soon`"));
        assert!(reason("2000-01-01,2000-02-04,n/a").contains("`n/a`"));
    }
}
