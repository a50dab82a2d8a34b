//! Conditions that are combined become one expression.

use std::collections::BTreeMap;

use evaluation::{calendar::BusinessCalendar, expression::Input, machine::Rule as Turning};

use super::{
    compile::{Expression, Problems, Watched, check_series, problems},
    definition::{Composite, Operator, Part},
    indicator::{hold_of, inputs_of},
    price::{parts, price_input, price_text},
};
use crate::rule::Condition;

const PARTS_MAX: usize = 20;
const DEPTH_MAX: usize = 4;

/// What a composite becomes, step by step.
#[derive(Default)]
struct Combining {
    inputs: BTreeMap<String, Input>,
    /// Series of prices: input `price_0` is the first of them.
    prices: Vec<String>,
    parts: usize,
    problems: Problems,
}

impl Combining {
    fn refuse(&mut self, field: String, problem: impl Into<String>) {
        self.problems.push((field, problem.into()));
    }

    fn add(&mut self, input: Input, field: &str) {
        match self.inputs.get(&input.name) {
            Some(other) if *other != input => {
                let problem = format!("input {} is declared otherwise elsewhere", input.name);
                self.refuse(field.to_owned(), problem);
            }
            _ => drop(self.inputs.insert(input.name.clone(), input)),
        }
    }

    fn part(&mut self, part: &Part, place: &str, depth: usize) -> String {
        self.parts += 1;
        match part {
            Part::Price(price) => {
                check_series(&price.series, &format!("{place}series"), &mut self.problems);
                let given = parts(price, place, &mut self.problems);
                let known = self
                    .prices
                    .iter()
                    .position(|series| *series == price.series);
                let number = known.unwrap_or_else(|| {
                    self.prices.push(price.series.clone());
                    self.prices.len() - 1
                });
                let name = format!("price_{number}");
                if let Some(input) = price_input(&name, &price.series) {
                    self.add(input, place);
                }
                price_text(price, &name, &given)
            }
            Part::Indicator(indicator) => {
                let turning = [
                    ("clear_when", indicator.clear_when.is_some()),
                    ("for", indicator.hold.is_some()),
                    ("n_of_m", indicator.n_of_m.is_some()),
                    ("keep_for", indicator.keep_for.is_some()),
                    ("cooldown", indicator.cooldown.is_some()),
                ];
                for (field, _) in turning.into_iter().filter(|(_, is_given)| *is_given) {
                    let problem = "is not for a part of a composite";
                    self.refuse(format!("{place}{field}"), problem);
                }
                for input in inputs_of(indicator, place, &mut self.problems) {
                    self.add(input, place);
                }
                // By itself first, so that a mistake has its place.
                let alone = Condition::Indicator(indicator.clone());
                let found = problems(&alone).into_iter();
                self.problems.extend(found.map(|(field, problem)| {
                    let field = field.strip_prefix("condition.").unwrap_or(&field);
                    (format!("{place}{field}"), problem)
                }));
                indicator.when.clone()
            }
            Part::Composite(composite) => {
                if composite.hold.is_some() {
                    self.refuse(format!("{place}for"), "is for the outermost condition");
                }
                self.composite(composite, place, depth + 1)
            }
        }
    }

    fn composite(&mut self, composite: &Composite, place: &str, depth: usize) -> String {
        if depth > DEPTH_MAX || self.parts > PARTS_MAX {
            let problem = format!(
                "has more than {PARTS_MAX} conditions, or more than {DEPTH_MAX} inside one another"
            );
            self.refuse(format!("{place}conditions"), problem);
            return String::new();
        }
        let count = composite.conditions.len();
        let is_not = composite.operator == Operator::Not;
        if count == 0 || (is_not && count != 1) {
            let problem = if is_not {
                "is to have one condition"
            } else {
                "is empty"
            };
            self.refuse(format!("{place}conditions"), problem);
            return String::new();
        }
        let n = composite.n.and_then(|n| usize::try_from(n).ok());
        match (composite.operator, n) {
            (Operator::NOfM, Some(n)) if (1..=count).contains(&n) => {}
            (Operator::NOfM, _) => {
                self.refuse(format!("{place}n"), format!("is to be from 1 to {count}"));
            }
            (_, Some(_)) => self.refuse(format!("{place}n"), "is for n_of_m only"),
            (_, None) => {}
        }
        let texts: Vec<_> = (0..)
            .zip(&composite.conditions)
            .map(|(index, part): (usize, _)| {
                let place = format!("{place}conditions[{index}].");
                format!("({})", self.part(part, &place, depth))
            })
            .collect();
        match composite.operator {
            Operator::And => texts.join(" && "),
            Operator::Or => texts.join(" || "),
            Operator::Not => format!("!{}", texts.concat()),
            Operator::NOfM => n_of(n.unwrap_or(1), &texts),
        }
    }
}

/// `n` at least of these hold: the first and one less of the others, or as many of the others.
fn n_of(n: usize, texts: &[String]) -> String {
    match texts {
        _ if n > texts.len() => String::new(),
        _ if n == texts.len() => texts.join(" && "),
        _ if n <= 1 => texts.join(" || "),
        [first, others @ ..] => {
            let (with, without) = (n_of(n - 1, others), n_of(n, others));
            format!("({first} && ({with})) || ({without})")
        }
        [] => String::new(),
    }
}

pub(super) fn of_composite(composite: &Composite, problems: &mut Problems) -> Option<Watched> {
    let mut combining = Combining::default();
    let when = combining.composite(composite, "condition.", 1);
    let turning = Turning {
        hold: hold_of("for", composite.hold.as_ref(), &mut combining.problems),
        ..Turning::default()
    };
    let turning = turning.with_business(BusinessCalendar::default());
    problems.append(&mut combining.problems);
    Some(Watched::Expression(Expression {
        inputs: combining.inputs.into_values().collect(),
        when,
        clear_when: None,
        turning,
    }))
}
