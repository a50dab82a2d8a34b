use std::cmp::Ordering;
use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

/// Quotients are shown with so many decimals. They are computed with 28 digits.
const SHOWN_DECIMALS: u32 = 15;
/// Numbers of which a quotient is a part are compared by so many decimals of their difference: far more
/// than any source publishes, and far fewer than rounding can reach. What is equal in exact arithmetic
/// is equal, as long as no number on the way has more than 15 digits before the point.
const COMPARED_DECIMALS: u32 = 12;
/// One more than the largest number of 28 digits.
const DIGITS_END: i128 = 10_i128.pow(28);

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

    /// As it is shown: a rounded number with 15 decimals and 28 digits at the most.
    pub(crate) fn shown(self) -> Self {
        let Self::Number(number) = self else {
            return self;
        };
        let mut shown = round(number, SHOWN_DECIMALS);
        if shown.mantissa().abs() >= DIGITS_END && shown.scale() > 0 {
            shown = round(shown, shown.scale() - 1);
        }
        Self::Number(shown.normalize())
    }

    /// A number, or an overflow.
    pub(crate) fn or_overflow(number: Option<Decimal>) -> Self {
        number.map_or(Self::missing(Reason::Overflow), Self::Number)
    }
}

/// Reads digits with or without a point: exact, and 28 of them at the most.
///
/// The contract reads values of observations by the same rule, with a sign (`atlas_events::parse_decimal`). Both
/// crates depend on nothing of ours, and eight lines are no crate; a test of the engine, which knows both, compares
/// them.
pub(crate) fn parse_decimal(digits: &str) -> Option<Decimal> {
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !is_plain || !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.ends_with('.') {
        return None;
    }
    let number = Decimal::from_str_exact(digits).ok()?;
    (number.mantissa() < DIGITS_END).then_some(number)
}

/// The quotient of two numbers.
pub(crate) fn divide(dividend: Decimal, divisor: Decimal) -> Value {
    if divisor.is_zero() {
        return Value::missing(Reason::DivisionByZero);
    }
    Value::or_overflow(dividend.checked_div(divisor))
}

fn round(number: Decimal, decimals: u32) -> Decimal {
    number.round_dp_with_strategy(decimals, RoundingStrategy::MidpointNearestEven)
}

/// The order of two numbers. `rounded`: a quotient is a part of one, so that a difference which rounding
/// may have caused is none.
pub(crate) fn order(left: Decimal, right: Decimal, rounded: bool) -> Ordering {
    let exact = left.cmp(&right);
    let is_caused = || {
        let difference = left.checked_sub(right);
        difference.is_some_and(|difference| round(difference, COMPARED_DECIMALS).is_zero())
    };
    match exact {
        Ordering::Equal => exact,
        _ if rounded && is_caused() => Ordering::Equal,
        _ => exact,
    }
}

/// A divisor. `rounded`: a quotient is a part of it, so that what rounding may have left of zero is zero.
pub(crate) fn as_divisor(number: Decimal, rounded: bool) -> Decimal {
    match order(number, Decimal::ZERO, rounded) {
        Ordering::Equal => Decimal::ZERO,
        _ => number,
    }
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
        // At 28 significant digits 10.333… and 9.8333… may end at different decimals.
        let high = divide(d("31"), d("3")).number().unwrap();
        let low = divide(d("29.5"), d("3")).number().unwrap();
        assert_eq!(order(high - low, d("0.5"), true), Ordering::Equal);
        assert_eq!(Value::Number(high - low).shown(), Value::Number(d("0.5")));
    }

    #[test]
    fn exact_numbers_are_compared_exactly() {
        let (zero, tiny) = (Decimal::ZERO, d("0.0000000000000000000000000001"));
        assert_eq!(order(zero, tiny, false), Ordering::Less);
        assert_eq!(order(zero, tiny, true), Ordering::Equal);
        assert_eq!(order(zero, d("0.000000000001"), true), Ordering::Less);
        let highest = order(Decimal::MAX, Decimal::MIN, true);
        assert_eq!(highest, Ordering::Greater);
    }

    #[test]
    fn what_is_shown_has_28_digits_at_the_most() {
        let long = divide(d("80000000000000"), d("9")).number().unwrap();
        assert_eq!(long.mantissa().to_string().len(), 28);
        let longest = Decimal::from_i128_with_scale(7 * DIGITS_END + 5, 14);
        let shown = Value::Number(longest).shown().number().unwrap();
        assert!(shown.mantissa() < DIGITS_END, "{shown}");
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
