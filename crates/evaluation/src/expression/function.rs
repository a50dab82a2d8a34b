//! The functions that expressions may call.

use super::node::{Relation, Statistic};
use crate::did_you_mean;

/// What a method of a series is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    /// `.mean(window)`, with `excluding_current` if wanted.
    Rolling(Statistic),
    /// `.change(window)`.
    Past(Relation),
    /// `.previous(n)`: by observations only.
    Previous,
    /// `.yoy()`, `.mom()`: percent change on so many months before.
    PercentChangeOn {
        months: u32,
    },
    DaysSince,
    Abs,
    /// `.latest()`: the series itself.
    Latest,
}

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("mean", Method::Rolling(Statistic::Mean)),
    ("sum", Method::Rolling(Statistic::Sum)),
    ("lowest", Method::Rolling(Statistic::Lowest)),
    ("highest", Method::Rolling(Statistic::Highest)),
    ("stddev", Method::Rolling(Statistic::StandardDeviation)),
    ("zscore", Method::Rolling(Statistic::ZScore)),
    ("percentile", Method::Rolling(Statistic::Percentile)),
    ("sustained", Method::Rolling(Statistic::Sustained)),
    ("change", Method::Past(Relation::Change)),
    ("pct_change", Method::Past(Relation::PercentChange)),
    ("value_at", Method::Past(Relation::Value)),
    ("previous", Method::Previous),
    ("yoy", Method::PercentChangeOn { months: 12 }),
    ("mom", Method::PercentChangeOn { months: 1 }),
    ("days_since", Method::DaysSince),
    ("abs", Method::Abs),
    ("latest", Method::Latest),
];

/// Functions that are no methods.
pub(crate) const FUNCTIONS: &[&str] = &["series", "pattern", "min", "max", "spread", "ratio"];

/// The names of all functions that expressions may call, methods first.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    let methods = METHODS.iter().map(|(name, _)| *name);
    methods.chain(FUNCTIONS.iter().copied())
}

pub(crate) fn method(name: &str) -> Option<Method> {
    let found = METHODS.iter().find(|(known, _)| *known == name);
    found.map(|(_, method)| *method)
}

/// What functions are called elsewhere.
const CALLED_ELSEWHERE: &[(&str, &str)] = &[
    ("average", "mean"),
    ("avg", "mean"),
    ("sma", "mean"),
    ("ma", "mean"),
    ("min", "lowest"),
    ("max", "highest"),
    ("std", "stddev"),
    ("stdev", "stddev"),
    ("lag", "previous"),
    ("shift", "previous"),
    ("diff", "change"),
    ("delta", "change"),
    ("growth", "pct_change"),
    ("age", "days_since"),
    ("rank", "percentile"),
];

/// As [`did_you_mean`], of the functions of a series.
pub(crate) fn method_suggestion(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match CALLED_ELSEWHERE.iter().find(|(other, _)| *other == lower) {
        Some((_, known)) => format!(", did you mean {known}?"),
        None => did_you_mean(name, METHODS.iter().map(|(known, _)| *known)),
    }
}
