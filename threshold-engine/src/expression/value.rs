use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

/// Quotients are rounded to so many decimals, half to even. A fixed number of them, so that quotients
/// which differ by an exact decimal differ by it also after rounding: 31/3 - 29.5/3 is 0.5.
const QUOTIENT_DECIMALS: u32 = 15;

/// What a node is at a date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(Decimal),
    /// A truth.
    Truth(bool),
    /// No data.
    Missing(Missing),
}

/// Why there is no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is the matter.
    pub reason: Reason,
    /// Index of the input that it is the matter with; `None` for what was computed.
    pub input: Option<u8>,
}

/// What is the matter with a value that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The input has no observation yet.
    NoObservation,
    /// The latest observation is older than the input's `max_age`.
    Stale,
    /// The series begins after the window does.
    WindowNotCovered,
    /// Nothing, or too little, lies in the window.
    WindowEmpty,
    /// There is no observation where the past was asked for.
    NoPastValue,
    /// A division by zero, also a change relative to zero or a z-score without any deviation.
    DivisionByZero,
    /// A number of more than 28 digits.
    Overflow,
    /// The pattern has not been evaluated yet.
    PatternUnknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoObservation => "no observation yet",
            Self::Stale => "the latest observation is older than max_age",
            Self::WindowNotCovered => "the series begins after its window",
            Self::WindowEmpty => "too few observations in a window",
            Self::NoPastValue => "no observation at a past date that is needed",
            Self::DivisionByZero => "division by zero",
            Self::Overflow => "a number of more than 28 digits",
            Self::PatternUnknown => "a pattern that was not evaluated yet",
        })
    }
}

impl Value {
    /// No data that is no input's fault.
    pub(crate) fn missing(reason: Reason) -> Self {
        Self::Missing(Missing {
            reason,
            input: None,
        })
    }

    /// The number, if it is one.
    pub fn number(self) -> Option<Decimal> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The truth, if it is one.
    pub fn truth(self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(truth),
            _ => None,
        }
    }

    /// Why there is no data, if there is none.
    pub fn why_missing(self) -> Option<Missing> {
        match self {
            Self::Missing(missing) => Some(missing),
            _ => None,
        }
    }

    /// A number, or an overflow.
    pub(crate) fn or_overflow(number: Option<Decimal>) -> Self {
        number.map_or(Self::missing(Reason::Overflow), Self::Number)
    }
}

/// The quotient of two numbers.
pub(crate) fn divide(dividend: Decimal, divisor: Decimal) -> Value {
    if divisor.is_zero() {
        return Value::missing(Reason::DivisionByZero);
    }
    Value::or_overflow(dividend.checked_div(divisor).map(round_quotient))
}

fn round_quotient(quotient: Decimal) -> Decimal {
    quotient.round_dp_with_strategy(QUOTIENT_DECIMALS, RoundingStrategy::MidpointNearestEven)
}

/// By how many percent `now` differs from `then`.
pub(crate) fn percent_change(now: Decimal, then: Decimal) -> Value {
    let change = now
        .checked_sub(then)
        .and_then(|difference| difference.checked_mul(Decimal::ONE_HUNDRED));
    match change {
        Some(change) => divide(change, then),
        None => Value::missing(Reason::Overflow),
    }
}

/// Floating point for statistics that have no exact form, the same on every machine.
pub(crate) fn to_float(number: Decimal) -> f64 {
    number.mantissa() as f64 / 10f64.powi(number.scale() as i32)
}

/// Back from floating point, rounded to 12 significant digits.
pub(crate) fn from_float(number: f64) -> Value {
    let exact = Decimal::from_scientific(&format!("{number:.11e}")).ok();
    Value::or_overflow(exact.map(|d| d.normalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn thirds_that_differ_by_a_half_do_so_also_where_digits_are_gained() {
        // At 28 significant digits 10.333… and 9.8333… end at different decimals.
        let high = divide(d("31"), d("3")).number().unwrap();
        let low = divide(d("29.5"), d("3")).number().unwrap();
        assert_eq!(high - low, d("0.5"));
    }

    #[test]
    fn division_by_zero_and_overflow_are_no_data() {
        let reason = |value: Value| value.why_missing().map(|m| m.reason);
        let zero = divide(Decimal::ONE, Decimal::ZERO);
        assert_eq!(reason(zero), Some(Reason::DivisionByZero));
        let overflow = divide(Decimal::MAX, d("0.1"));
        assert_eq!(reason(overflow), Some(Reason::Overflow));
        let overflow = percent_change(Decimal::MAX, Decimal::ONE);
        assert_eq!(reason(overflow), Some(Reason::Overflow));
    }

    #[test]
    fn statistics_have_twelve_digits() {
        let third = from_float(1.0 / 3.0);
        assert_eq!(third, Value::Number(d("0.333333333333")));
        assert_eq!(from_float(-2e6 / 3.0), Value::Number(d("-666666.666667")));
        assert_eq!(from_float(1e40).number(), None);
        assert_eq!(from_float(f64::NAN).number(), None);
    }

    #[test]
    fn values_are_small() {
        assert!(size_of::<Value>() <= 20);
    }
}
