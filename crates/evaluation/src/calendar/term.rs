//! Times that pass: "3d", "2mo", and "3bd" in business days; and numbers of observations beside them.

use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{BusinessCalendar, Span};

/// At most this many business days.
const BUSINESS_DAYS_MAX: u32 = 250;

/// A length of time, of days of the calendar or of business days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// By the calendar.
    Span(Span),
    /// So many business days.
    Business(u32),
}

impl Term {
    /// Reads a span, or "3bd" for business days. `None` for anything else, and for more than 250 of them.
    pub fn parse(text: &str) -> Option<Self> {
        let Some(count) = text.strip_suffix("bd") else {
            return Span::parse(text).map(Self::Span);
        };
        let count = (count.bytes().all(|b| b.is_ascii_digit())).then(|| count.parse().ok())??;
        (count <= BUSINESS_DAYS_MAX).then_some(Self::Business(count))
    }

    /// The first date at which it is over, if it begins at `date`, or the last date that there is.
    pub fn after(self, date: NaiveDate, calendar: &BusinessCalendar) -> NaiveDate {
        match self {
            Self::Span(span) => span.after(date),
            Self::Business(count) => calendar.after(date, count),
        }
    }

    /// Whether it has no length.
    pub fn is_zero(self) -> bool {
        match self {
            Self::Span(span) => span.is_zero(),
            Self::Business(count) => count == 0,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span(span) => span.fmt(f),
            Self::Business(count) => write!(f, "{count}bd"),
        }
    }
}

impl Serialize for Term {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let forms = "\"90d\", \"52w\", \"3mo\", \"1y\" or, in business days, \"2bd\"";
            de::Error::custom(format_args!("\"{text}\" is no span: write {forms}"))
        })
    }
}

/// For how long a condition is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// For a time.
    Term(Term),
    /// At so many observations in a row.
    Count(u32),
}

impl Serialize for Hold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Term(term) => term.serialize(serializer),
            Self::Count(count) => serializer.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Hold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TermOrCount;
        impl de::Visitor<'_> for TermOrCount {
            type Value = Hold;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a span such as \"90d\", \"3mo\" or \"2bd\", or a number of observations",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hold, E> {
                let term = Term::parse(text);
                term.map(Hold::Term)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Hold, E> {
                u32::try_from(count)
                    .map(Hold::Count)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(count), &self))
            }
        }
        deserializer.deserialize_any(TermOrCount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_and_others_refused() {
        assert_eq!(Term::parse("3bd"), Some(Term::Business(3)));
        assert_eq!(Term::parse("3mo"), Some(Term::Span(Span::Months(3))));
        assert_eq!(Term::parse("250bd"), Some(Term::Business(250)));
        for text in ["bd", "-1bd", "+1bd", "251bd", "1.5bd", "3 bd", "3b", "3BD"] {
            assert_eq!(Term::parse(text), None, "{text}");
        }
        for term in [Term::Business(2), Term::Span(Span::Days(4))] {
            assert_eq!(Term::parse(&term.to_string()), Some(term));
        }
    }
}
