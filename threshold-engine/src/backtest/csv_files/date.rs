use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Which of day and month comes first in "03/04/2024".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    DayFirst,
    MonthFirst,
}

/// What the dates of a column say about the order of day and month, each with the first that says it.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    day_first: Option<String>,
    month_first: Option<String>,
    doubtful: Option<String>,
}

impl Evidence {
    /// Takes one date into account.
    pub(super) fn add(&mut self, text: &str) {
        let Some((first, second, _)) = numbers(day_part(text).0) else {
            return;
        };
        let slot = match (first > 12, second > 12) {
            (true, false) => &mut self.day_first,
            (false, true) => &mut self.month_first,
            (false, false) if first != second => &mut self.doubtful,
            _ => return,
        };
        slot.get_or_insert_with(|| text.to_owned());
    }

    /// The order of the whole column, or why it is not known.
    pub(super) fn decide(&self) -> Result<Order, String> {
        match (&self.day_first, &self.month_first, &self.doubtful) {
            (Some(day), Some(month), _) => Err(format!(
                "{day:?} begins with the day, {month:?} with the month; write dates as YYYY-MM-DD"
            )),
            (None, None, Some(text)) => Err(format!(
                "{text:?} may begin with the day or the month, and no other date of the file decides \
                 it; write dates as YYYY-MM-DD"
            )),
            (Some(_), None, _) => Ok(Order::DayFirst),
            _ => Ok(Order::MonthFirst),
        }
    }
}

/// Day, month and year in numbers with slashes or hyphens, in whatever order the first two are.
fn numbers(text: &str) -> Option<(u32, u32, i32)> {
    let separator = text.chars().find(|c| !c.is_ascii_digit())?;
    if !matches!(separator, '/' | '-') {
        return None;
    }
    split(text, separator)
}

fn split(text: &str, separator: char) -> Option<(u32, u32, i32)> {
    let mut parts = text.split(separator);
    let (first, second, year) = (parts.next()?, parts.next()?, parts.next()?);
    let short = |part: &str| (1..=2).contains(&part.len());
    let good = parts.next().is_none() && short(first) && short(second) && year.len() == 4;
    let all_digits = [first, second, year]
        .iter()
        .all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if !good || !all_digits {
        return None;
    }
    Some((
        first.parse().ok()?,
        second.parse().ok()?,
        year.parse().ok()?,
    ))
}

/// The date, and what follows it: a time of day.
fn day_part(text: &str) -> (&str, Option<&str>) {
    let before_colon = text.find(':').map(|colon| &text[..colon]);
    match before_colon.and_then(|before| before.rfind(['T', ' '])) {
        Some(at) => (text[..at].trim_end(), Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// Reads the date of an observation.
pub(super) fn parse(text: &str, order: Order) -> Result<NaiveDate, String> {
    let (day, time) = day_part(text);
    let date = date(day, order).ok_or_else(|| no_date(text))?;
    let Some(time) = time else {
        return Ok(date);
    };
    let (time, zone) = time_of_day(time).ok_or_else(|| no_date(text))?;
    // Midnight of one zone is the day before in another.
    if zone.is_some() && time != NaiveTime::MIN {
        return Err(format!(
            "{text:?} is a moment, of which the date depends on the zone; write the date alone"
        ));
    }
    Ok(date)
}

/// Reads from when something was known: a date, or a time, which without a zone is UTC.
pub(super) fn instant(text: &str, order: Order) -> Result<DateTime<Utc>, String> {
    let refuse = || format!("{text:?} is no date or time");
    let (day, time) = day_part(text);
    let date = date(day, order).ok_or_else(refuse)?;
    let (time, zone) = match time {
        Some(time) => time_of_day(time).ok_or_else(refuse)?,
        None => (NaiveTime::MIN, None),
    };
    let offset = chrono::Duration::seconds(zone.unwrap_or(0).into());
    let local = NaiveDateTime::new(date, time);
    Ok(local
        .checked_sub_signed(offset)
        .ok_or_else(refuse)?
        .and_utc())
}

fn no_date(text: &str) -> String {
    let hint = match text.len() {
        4 | 6 if text.bytes().all(|b| b.is_ascii_digit()) => {
            "; write the first day of the period as YYYY-MM-DD"
        }
        _ => "; write dates as YYYY-MM-DD",
    };
    format!("{text:?} is no date{hint}")
}

fn date(text: &str, order: Order) -> Option<NaiveDate> {
    let date = numeric(text, order).or_else(|| named(text))?;
    (1000..=9999).contains(&date.year()).then_some(date)
}

fn numeric(text: &str, order: Order) -> Option<NaiveDate> {
    if let Some((first, second, year)) = numbers(text) {
        let (day, month) = match order {
            Order::DayFirst => (first, second),
            Order::MonthFirst => (second, first),
        };
        return NaiveDate::from_ymd_opt(year, month, day);
    }
    // With points the day comes first wherever they are used.
    if let Some((day, month, year)) = split(text, '.') {
        return NaiveDate::from_ymd_opt(year, month, day);
    }
    let year: i32 = text.get(..4)?.parse().ok()?;
    let rest = &text[4..];
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| digits(text).then(|| text.parse::<u32>().ok()).flatten();
    let separator = rest.chars().next()?;
    match separator {
        '0'..='9' if rest.len() == 4 => {
            NaiveDate::from_ymd_opt(year, number(rest.get(..2)?)?, number(rest.get(2..)?)?)
        }
        '-' | '/' | '.' | ' ' | 'Q' | 'q' => {
            let rest = rest.trim_start_matches(['-', ' ']);
            if let Some(quarter) = rest.strip_prefix(['Q', 'q']) {
                let quarter = number(quarter).filter(|quarter| (1..=4).contains(quarter))?;
                return NaiveDate::from_ymd_opt(year, quarter * 3 - 2, 1);
            }
            let rest = rest.trim_start_matches(['/', '.']);
            match rest.split_once(separator) {
                Some((month, day)) => NaiveDate::from_ymd_opt(year, number(month)?, number(day)?),
                None if rest.len() == 2 => NaiveDate::from_ymd_opt(year, number(rest)?, 1),
                None => None,
            }
        }
        _ => None,
    }
}

/// With the English name of the month.
fn named(text: &str) -> Option<NaiveDate> {
    let year = text.rsplit(['-', ' ']).next()?;
    if year.len() != 4 {
        return None;
    }
    let day = ["%d-%b-%Y", "%d %b %Y", "%b %d, %Y"]
        .iter()
        .find_map(|format| NaiveDate::parse_from_str(text, format).ok());
    day.or_else(|| {
        let first = format!("1 {}", text.replace('-', " "));
        NaiveDate::parse_from_str(&first, "%d %b %Y").ok()
    })
}

/// Time of day, and the seconds by which its zone is ahead of UTC, if it says so.
fn time_of_day(text: &str) -> Option<(NaiveTime, Option<i32>)> {
    let (clock, zone) = match text.find(['Z', '+', '-']) {
        Some(at) => (&text[..at], Some(zone(&text[at..])?)),
        None => match text.strip_suffix("UTC") {
            Some(clock) => (clock, Some(0)),
            None => (text, None),
        },
    };
    let clock = clock.trim();
    let time = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p"]
        .iter()
        .find_map(|format| NaiveTime::parse_from_str(clock, format).ok())?;
    Some((time, zone))
}

/// "Z", "+01", "+0100", "+01:00".
fn zone(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let digits = text[1..].replace(':', "");
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = digits.get(2..4).map_or(Some(0), |m| {
        if m.is_empty() {
            Some(0)
        } else {
            m.parse().ok()
        }
    })?;
    let seconds = (hours * 60 + minutes) * 60;
    Some(if text.starts_with('-') {
        -seconds
    } else {
        seconds
    })
}
