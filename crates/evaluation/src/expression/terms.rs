//! Words of expressions: windows and operators.

use std::cmp::Ordering;

use rust_decimal::Decimal;

use super::check::{CompileError, refuse};
use super::node::{Arithmetic, Comparison, Statistic};
use super::parse::{Syntax, Term, instead_of_business_days, meant_span};
use super::value::{Value, divide};
use crate::calendar::{Span, Window};

/// At most this many observations in one window.
const COUNT_MAX: u32 = 10_000;

/// What leaves the current point out of a window.
pub(super) const EXCLUDING: &str = "excluding_current";

pub(super) fn window_of(at: &Syntax, function: &str) -> Result<Window, CompileError> {
    match &at.term {
        Term::Text(text) => match Span::parse(text) {
            Some(span) if !span.is_zero() => Ok(Window::Span(span)),
            _ => {
                if let Some(instead) = instead_of_business_days(text) {
                    return refuse(at, instead);
                }
                let meant = meant_span(text);
                let meant = meant
                    .as_deref()
                    .unwrap_or(r#""90d", "52w", "3mo", "1y" or a number"#);
                refuse(at, format!("\"{text}\" is no window: write {meant}"))
            }
        },
        Term::Number(number) => {
            let count = u32::try_from(*number).ok();
            let whole = number.fract().is_zero();
            match count.filter(|count| whole && (1..=COUNT_MAX).contains(count)) {
                Some(count) => Ok(Window::Count(count)),
                None => refuse(at, format!("a window has 1 to {COUNT_MAX} observations")),
            }
        }
        _ => refuse(
            at,
            format!(".{function}(…) takes a window such as \"3mo\" or 5, which is fixed"),
        ),
    }
}

pub(super) fn excluding(
    rest: &[Syntax],
    name: &str,
    statistic: Statistic,
) -> Result<bool, CompileError> {
    match rest {
        [] => Ok(false),
        [word]
            if word.term == Term::Name(EXCLUDING.into()) && statistic != Statistic::Sustained =>
        {
            Ok(true)
        }
        [other, ..] => refuse(
            other,
            format!(".{name}(…) takes a window and nothing but {EXCLUDING} after it"),
        ),
    }
}

pub(super) fn arithmetic(function: &str) -> Option<Arithmetic> {
    Some(match function {
        "+" => Arithmetic::Add,
        "-" | "spread" => Arithmetic::Subtract,
        "*" => Arithmetic::Multiply,
        "/" | "ratio" => Arithmetic::Divide,
        "min" => Arithmetic::Min,
        "max" => Arithmetic::Max,
        _ => return None,
    })
}

pub(super) fn comparison(function: &str) -> Option<Comparison> {
    Some(match function {
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        _ => return None,
    })
}

impl Arithmetic {
    pub(crate) fn apply(self, left: Decimal, right: Decimal) -> Value {
        match self {
            Self::Add => Value::or_overflow(left.checked_add(right)),
            Self::Subtract => Value::or_overflow(left.checked_sub(right)),
            Self::Multiply => Value::or_overflow(left.checked_mul(right)),
            Self::Divide => divide(left, right),
            Self::Min => Value::Number(left.min(right)),
            Self::Max => Value::Number(left.max(right)),
        }
    }
}

impl Comparison {
    /// `order`: that of the left side and the right one.
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
        }
    }
}
