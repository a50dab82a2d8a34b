use evaluation::{
    calendar::{BusinessCalendar, Frequency, Term},
    expression::{Input, InputText},
    machine::Rule as Turning,
};
use rust_decimal::Decimal;

use super::{
    compile::{Expression, Problems, Watched, check_series},
    definition::{Comparison, Direction, Number, Price},
};
use crate::series::book::Level;

/// A price counts until the next one: for longer than any history is kept, which leaves as much for windows.
const PRICE_AGE: &str = "18300d";

/// Bounds and window of a price, whichever its comparison asks for.
pub(super) struct PriceParts<'a> {
    value: Decimal,
    low: Decimal,
    high: Decimal,
    within: &'a str,
}

pub(super) fn parts<'a>(price: &'a Price, place: &str, problems: &mut Problems) -> PriceParts<'a> {
    let is_between = price.comparison == Comparison::Between;
    let is_change = price.comparison == Comparison::ChangesBy;
    let mut refuse = |field: &str, problem: &str| {
        problems.push((format!("{place}{field}"), problem.to_owned()));
    };
    let given = [
        ("value", price.value.is_some(), !is_between),
        ("low", price.low.is_some(), is_between),
        ("high", price.high.is_some(), is_between),
        ("within", price.within.is_some(), is_change),
    ];
    for (field, is_given, is_wanted) in given {
        match (is_given, is_wanted) {
            (false, true) => refuse(field, "is missing; this comparison needs it"),
            (true, false) => refuse(field, "is not for this comparison"),
            _ => {}
        }
    }
    if !is_change && price.is_percent {
        refuse("is_percent", "is not for this comparison");
    }
    if !is_change && price.direction.is_some() {
        refuse("direction", "is not for this comparison");
    }
    let of = |number: Option<Number>| number.map(|n| n.0).unwrap_or_default();
    let parts = PriceParts {
        value: of(price.value),
        low: of(price.low),
        high: of(price.high),
        within: price.within.as_deref().unwrap_or_default(),
    };
    if is_between && parts.low > parts.high {
        refuse("high", "is less than low");
    }
    if is_change && price.value.is_some() && parts.value <= Decimal::ZERO {
        refuse("value", "is to be above 0");
    }
    let is_count = !parts.within.is_empty() && parts.within.bytes().all(|b| b.is_ascii_digit());
    let is_span = matches!(Term::parse(parts.within), Some(Term::Span(_)));
    if is_change && price.within.is_some() && !is_count && !is_span {
        refuse(
            "within",
            "is no span such as \"5d\", \"4w\" or \"3mo\", and no number of observations",
        );
    }
    parts
}

pub(super) fn of_price(price: &Price, problems: &mut Problems) -> Option<Watched> {
    check_series(&price.series, "condition.series", problems);
    let given = parts(price, "condition.", problems);
    if !problems.is_empty() {
        return None;
    }
    let level = match price.comparison {
        Comparison::Gt => Level::Above(given.value, false),
        Comparison::Gte => Level::Above(given.value, true),
        Comparison::Lt => Level::Below(given.value, false),
        Comparison::Lte => Level::Below(given.value, true),
        Comparison::Eq => Level::Between(given.value, given.value),
        Comparison::Between => Level::Between(given.low, given.high),
        Comparison::CrossesAbove => Level::CrossesAbove(given.value),
        Comparison::CrossesBelow => Level::CrossesBelow(given.value),
        Comparison::ChangesBy => {
            return Some(Watched::Expression(Expression {
                inputs: vec![price_input("price", &price.series)?],
                when: changes_by(price, "price", &given),
                clear_when: None,
                turning: Turning::default(),
            }));
        }
    };
    let series = price.series.clone();
    Some(Watched::Level { series, level })
}

pub(super) fn price_input(name: &str, series: &str) -> Option<Input> {
    let text = InputText {
        series: Some(series.to_owned()),
        unit: String::new(),
        frequency: Frequency::Irregular,
        max_age: Term::parse(PRICE_AGE),
    };
    text.input(name, &BusinessCalendar::default()).ok()
}

/// The value is so far from the lowest or the highest of the window, which ends with it.
fn changes_by(price: &Price, name: &str, given: &PriceParts<'_>) -> String {
    let window = match given.within.bytes().all(|b| b.is_ascii_digit()) {
        true => given.within.to_owned(),
        false => format!("{:?}", given.within),
    };
    let amount = |from: &str| match price.is_percent {
        true => format!(
            "{name}.{from}({window}).abs() * {} / 100",
            Number(given.value)
        ),
        false => Number(given.value).to_string(),
    };
    let rises = format!("{name} - {name}.lowest({window}) >= {}", amount("lowest"));
    let falls = format!("{name}.highest({window}) - {name} >= {}", amount("highest"));
    match price.direction {
        Some(Direction::Up) => rises,
        Some(Direction::Down) => falls,
        None => format!("{rises} || {falls}"),
    }
}

/// A price as an expression, within a composite.
pub(super) fn price_text(price: &Price, name: &str, given: &PriceParts<'_>) -> String {
    let (value, low, high) = (Number(given.value), Number(given.low), Number(given.high));
    match price.comparison {
        Comparison::Gt => format!("{name} > {value}"),
        Comparison::Gte => format!("{name} >= {value}"),
        Comparison::Lt => format!("{name} < {value}"),
        Comparison::Lte => format!("{name} <= {value}"),
        Comparison::Eq => format!("{name} == {value}"),
        Comparison::Between => format!("{name} >= {low} && {name} <= {high}"),
        Comparison::CrossesAbove => format!("{name} > {value} && {name}.previous(1) <= {value}"),
        Comparison::CrossesBelow => format!("{name} < {value} && {name}.previous(1) >= {value}"),
        Comparison::ChangesBy => changes_by(price, name, given),
    }
}
