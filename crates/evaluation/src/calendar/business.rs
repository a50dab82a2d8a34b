//! Business days, by rules that stand in definitions: what is evaluated must not depend on settings.

use chrono::{Datelike, Days, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};

/// Which days are business days, but for single holidays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusinessDays {
    /// Monday to Friday.
    #[default]
    Weekdays,
    /// Monday to Friday without the legal public holidays of the federal government of the United States (5 U.S.C.
    /// 6103), as the law is today; the birthday of Martin Luther King from 1986 on, Juneteenth from 2021 on.
    UsFederal,
}

impl BusinessDays {
    fn holds(self, date: NaiveDate) -> bool {
        let is_weekday = !matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
        is_weekday && (self == Self::Weekdays || !is_us_federal_holiday(date))
    }
}

/// The business days of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BusinessCalendar {
    /// Which days are business days.
    #[serde(rename = "calendar")]
    pub rule: BusinessDays,
    /// Other days that are none, ascending.
    pub holidays: Vec<NaiveDate>,
}

impl BusinessCalendar {
    fn holds(&self, date: NaiveDate) -> bool {
        self.rule.holds(date) && self.holidays.binary_search(&date).is_err()
    }

    /// The business day of that number after a date; the date itself for none.
    pub fn after(&self, date: NaiveDate, count: u32) -> NaiveDate {
        let Some(before) = count.checked_sub(1) else {
            return date;
        };
        let mut after = date.iter_days().skip(1).filter(|day| self.holds(*day));
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        after.nth(before).unwrap_or(NaiveDate::MAX)
    }
}

/// In which days the age of observations is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BusinessAge {
    /// An observation counts for so many business days after its date.
    pub days: u32,
    /// Which days those are.
    #[serde(flatten)]
    pub calendar: BusinessCalendar,
}

impl BusinessAge {
    /// Whether an observation of one date counts at another, later one.
    pub fn allows(&self, observed: NaiveDate, date: NaiveDate) -> bool {
        if (date - observed).num_days() <= i64::from(self.days) {
            return true;
        }
        let after = observed.iter_days().skip(1).take_while(|day| *day <= date);
        let business = after.filter(|day| self.calendar.holds(*day));
        let enough = usize::try_from(self.days).unwrap_or(usize::MAX);
        business.take(enough.saturating_add(1)).count() <= enough
    }

    /// No observation counts for more days of the calendar than this.
    pub fn days_max(&self) -> u32 {
        // Any seven days in a row hold four business days at least, but for single holidays.
        let single = u32::try_from(self.calendar.holidays.len()).unwrap_or(u32::MAX);
        let weeks = self.days.saturating_add(single) / 4 + 1;
        weeks.saturating_mul(7)
    }
}

/// Holidays on a Saturday are kept on the day before, those on a Sunday on the day after.
fn is_us_federal_holiday(date: NaiveDate) -> bool {
    let day_after = date.checked_add_days(Days::new(1));
    let day_before = date.checked_sub_days(Days::new(1));
    let is_moved = |day: Option<NaiveDate>| day.is_some_and(is_fixed_holiday);
    match date.weekday() {
        Weekday::Fri if is_moved(day_after) => true,
        Weekday::Mon if is_moved(day_before) => true,
        _ => is_fixed_holiday(date) || is_holiday_of_the_week(date),
    }
}

fn is_fixed_holiday(date: NaiveDate) -> bool {
    match (date.month(), date.day()) {
        (1, 1) | (7, 4) | (11, 11) | (12, 25) => true,
        (6, 19) => date.year() >= 2021,
        _ => false,
    }
}

fn is_holiday_of_the_week(date: NaiveDate) -> bool {
    // Which of its weekday in its month, from 1.
    let nth = (date.day() - 1) / 7 + 1;
    match (date.month(), date.weekday(), nth) {
        (1, Weekday::Mon, 3) => date.year() >= 1986,
        (2, Weekday::Mon, 3) | (9, Weekday::Mon, 1) | (10, Weekday::Mon, 2) => true,
        (5, Weekday::Mon, _) => date.day() > 24,
        (11, Weekday::Thu, 4) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn weekdays_off(year: i32) -> Vec<String> {
        let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        let days = first.iter_days().take_while(|day| day.year() == year);
        let off = days.filter(|day| {
            BusinessDays::Weekdays.holds(*day) && !BusinessDays::UsFederal.holds(*day)
        });
        off.map(|day| day.format("%m-%d").to_string()).collect()
    }

    /// As the Office of Personnel Management published them.
    #[test]
    fn federal_holidays_are_those_published() {
        let published = [
            (
                2021,
                "01-01 01-18 02-15 05-31 06-18 07-05 09-06 10-11 11-11 11-25 12-24 12-31",
            ),
            (
                2024,
                "01-01 01-15 02-19 05-27 06-19 07-04 09-02 10-14 11-11 11-28 12-25",
            ),
            (
                2026,
                "01-01 01-19 02-16 05-25 06-19 07-03 09-07 10-12 11-11 11-26 12-25",
            ),
        ];
        for (year, days) in published {
            assert_eq!(weekdays_off(year).join(" "), days, "{year}");
        }
        assert!(!weekdays_off(1985).contains(&"01-21".to_owned()));
        assert!(!weekdays_off(2020).contains(&"06-19".to_owned()));
    }

    #[test]
    fn weekends_and_holidays_make_nothing_older() {
        let mut age = BusinessAge {
            days: 1,
            calendar: BusinessCalendar {
                rule: BusinessDays::UsFederal,
                holidays: Vec::new(),
            },
        };
        // A Friday, before Memorial Day.
        let friday = day("2024-05-24");
        assert!(age.allows(friday, day("2024-05-28")));
        assert!(!age.allows(friday, day("2024-05-29")));
        age.calendar.rule = BusinessDays::Weekdays;
        assert!(age.allows(friday, day("2024-05-27")));
        assert!(!age.allows(friday, day("2024-05-28")));
        age.calendar.holidays = vec![day("2024-05-27"), day("2024-05-28")];
        assert!(age.allows(friday, day("2024-05-29")));
        assert!(!age.allows(friday, day("2024-05-30")));
        age.days = 0;
        assert!(age.allows(friday, friday) && age.allows(friday, day("2024-05-26")));
    }

    /// Beside a list that is written out: the days off of 2024 as published, in the test above.
    #[test]
    fn the_business_day_of_a_number_is_found_by_counting() {
        let calendar = BusinessCalendar {
            rule: BusinessDays::UsFederal,
            holidays: vec![day("2024-03-29")],
        };
        for (from, count, expected) in [
            ("2024-03-28", 0, "2024-03-28"),
            ("2024-03-27", 1, "2024-03-28"),
            ("2024-03-28", 1, "2024-04-01"),
            ("2024-03-30", 1, "2024-04-01"),
            ("2024-05-24", 2, "2024-05-29"),
            ("2024-12-24", 1, "2024-12-26"),
            ("2024-12-20", 5, "2024-12-30"),
            ("2024-01-01", 250, "2024-12-31"),
        ] {
            assert_eq!(calendar.after(day(from), count), day(expected), "{from}");
        }
        assert_eq!(calendar.after(NaiveDate::MAX, 1), NaiveDate::MAX);
    }

    #[test]
    fn no_age_is_longer_than_its_bound() {
        for (days, holidays) in [(0, 0), (1, 0), (3, 1), (4, 2), (10, 5)] {
            let listed = |from: NaiveDate| from.iter_days().take(holidays).collect();
            let mut from = day("1971-01-01");
            while from < day("2040-01-01") {
                let age = BusinessAge {
                    days,
                    calendar: BusinessCalendar {
                        rule: BusinessDays::UsFederal,
                        holidays: listed(from),
                    },
                };
                let behind = from + Days::new(u64::from(age.days_max()) + 1);
                assert!(!age.allows(from, behind), "{days} {holidays} {from}");
                from = from + Days::new(1);
            }
        }
    }
}
