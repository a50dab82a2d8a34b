//! FRED's three paths.

use chrono::NaiveDate;

use crate::Series;
use crate::clock::{FIRST_REALTIME_DAY, LAST_DAY};
use crate::series::Period;
use crate::server::answer::{
    Answer, ObservationRow, ObservationsAnswer, SeriesAnswer, SeriesRow, VintageDatesAnswer,
};
use crate::server::parameters::{OutputType, Parameters};
use crate::server::refusal::Refusal;
use crate::state::State;

const OBSERVATIONS_MAX: usize = 100_000;
const VINTAGE_DATES_MAX: usize = 10_000;
/// More vintage dates than this in a request for observations are refused.
const VINTAGES_MAX: usize = 2_000;

/// The answer to a request, or what is wrong with it.
pub(crate) fn answer(
    state: &State,
    path: &str,
    parameters: &Parameters<'_>,
) -> Result<Answer, Refusal> {
    let route = match path.trim_end_matches('/') {
        "/fred/series" => series,
        "/fred/series/observations" => observations,
        "/fred/series/vintagedates" => vintage_dates,
        _ => return Err(Refusal::not_found()),
    };
    let key = parameters.api_key()?;
    if state
        .registered_keys
        .as_ref()
        .is_some_and(|registered| !registered.contains(key))
    {
        return Err(Refusal::api_key(
            "The value for variable api_key is not registered.",
        ));
    }
    parameters.check_file_type()?;
    let asked = state
        .series
        .get(parameters.series_id()?)
        .ok_or_else(|| Refusal::bad_request("The series does not exist."))?;
    route(asked, parameters, state.today())
}

fn series(
    series: &Series,
    parameters: &Parameters<'_>,
    today: NaiveDate,
) -> Result<Answer, Refusal> {
    let period = parameters.realtime(only(today), today)?;
    let began = check_archived(series, period, today)?;
    let known = series.known_in(period, today);
    let dates = || {
        known
            .iter()
            .filter(|known| known.value != ".")
            .map(|known| known.date)
    };
    let until = Period {
        start: FIRST_REALTIME_DAY,
        end: period.end,
    };
    let updated = series
        .vintage_dates(until, today)
        .pop_last()
        .unwrap_or(began);
    let info = series.info().clone();
    Ok(Answer::Series(SeriesAnswer {
        realtime_start: period.start,
        realtime_end: period.end,
        seriess: [SeriesRow {
            id: info.id,
            realtime_start: period.start.max(began),
            realtime_end: period.end,
            title: info.title,
            observation_start: dates().min().unwrap_or(LAST_DAY),
            observation_end: dates().max().unwrap_or(LAST_DAY),
            frequency: info.frequency,
            frequency_short: info.frequency_short,
            units: info.units,
            units_short: info.units_short,
            seasonal_adjustment: info.seasonal_adjustment,
            seasonal_adjustment_short: info.seasonal_adjustment_short,
            last_updated: format!("{updated} 07:46:02-06"),
            popularity: info.popularity,
            notes: info.notes,
        }],
    }))
}

fn observations(
    series: &Series,
    parameters: &Parameters<'_>,
    today: NaiveDate,
) -> Result<Answer, Refusal> {
    let period = parameters.realtime(only(today), today)?;
    let dates = parameters.observation_dates()?;
    let page = parameters.page(OBSERVATIONS_MAX)?;
    let output_type = parameters.output_type()?;
    parameters.check_units()?;
    check_archived(series, period, today)?;
    let vintages = series.vintage_dates(period, today).len();
    if vintages > VINTAGES_MAX {
        return Err(Refusal::bad_request(format_args!(
            "There are {vintages} vintage dates in the specified real-time period: {} to {}.  This exceeds the maximum \
             number of vintage dates allowed ({VINTAGES_MAX}).",
            period.start, period.end
        )));
    }

    let mut known = match output_type {
        OutputType::ByRealtimePeriod => series.known_in(period, today),
        OutputType::InitialRelease => series.first_known_in(period, today),
    };
    known.retain(|observation| (dates.start..=dates.end).contains(&observation.date));
    let count = known.len();
    let rows = page
        .of(known)
        .into_iter()
        .map(|observation| ObservationRow {
            realtime_start: observation.in_force.start,
            realtime_end: observation.in_force.end,
            date: observation.date,
            value: observation.value,
        });
    Ok(Answer::Observations(ObservationsAnswer {
        realtime_start: period.start,
        realtime_end: period.end,
        observation_start: dates.start,
        observation_end: dates.end,
        units: "lin",
        output_type: output_type as u8,
        file_type: "json",
        order_by: "observation_date",
        sort_order: page.sort_order(),
        count,
        offset: page.offset,
        limit: page.limit,
        observations: rows.collect(),
    }))
}

fn vintage_dates(
    series: &Series,
    parameters: &Parameters<'_>,
    today: NaiveDate,
) -> Result<Answer, Refusal> {
    let whole = Period {
        start: FIRST_REALTIME_DAY,
        end: LAST_DAY,
    };
    let period = parameters.realtime(whole, today)?;
    let page = parameters.page(VINTAGE_DATES_MAX)?;
    let dates: Vec<NaiveDate> = series.vintage_dates(period, today).into_iter().collect();
    Ok(Answer::VintageDates(VintageDatesAnswer {
        realtime_start: period.start,
        realtime_end: period.end,
        order_by: "vintage_date",
        sort_order: page.sort_order(),
        count: dates.len(),
        offset: page.offset,
        limit: page.limit,
        vintage_dates: page.of(dates),
    }))
}

fn only(day: NaiveDate) -> Period {
    Period {
        start: day,
        end: day,
    }
}

/// The first vintage date, or FRED's refusal of a period in which nothing of the series was known yet.
fn check_archived(series: &Series, period: Period, today: NaiveDate) -> Result<NaiveDate, Refusal> {
    series
        .first_vintage_date(today)
        .filter(|began| *began <= period.end)
        .ok_or_else(|| {
            Refusal::bad_request(
                "The series does not exist in ALFRED but may exist in FRED.  Try setting realtime_start and \
                 realtime_end to today's date or removing the realtime_start and realtime_end variables.",
            )
        })
}
