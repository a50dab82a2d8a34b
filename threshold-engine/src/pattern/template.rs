//! Messages of crossings.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use toml::Spanned;

use super::Pattern;
use crate::definition::Refusal;
use crate::pattern::Direction;
use evaluation::expression::Input;
use evaluation::machine::{Outcome, Turn};

/// At most this many bytes in a template.
const TEMPLATE_BYTES_MAX: usize = 1_000;
/// Values are shown with so many decimals; the event has them in full.
const SHOWN_DECIMALS: u32 = 4;

/// At most this many characters in a message, as in the contract.
const MESSAGE_CHARS_MAX: usize = 10_000;

const WITH_VALUE: &str = "{name} {direction} on {date}: {value} against {threshold}";

/// The parts of a message.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Which way.
    pub direction: Direction,
    /// What happened at the date, or did not after all.
    pub turn: Turn,
    /// False: it did not.
    pub stands: bool,
    /// For which date.
    pub date: NaiveDate,
    /// The condition at the date.
    pub outcome: &'a Outcome,
}

#[derive(Clone, Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Name,
    Id,
    Severity,
    Direction,
    Date,
    Value,
    Threshold,
    /// By its place in the program.
    Input(usize),
}

impl Part {
    /// How many characters it is replaced with at most.
    fn chars_max(&self) -> usize {
        match self {
            Self::Text(text) => text.chars().count(),
            // As definitions are read.
            Self::Name | Self::Id => 100,
            // The longest is that of a decimal: 29 digits, a sign and a point.
            _ => 40,
        }
    }
}

impl Template {
    pub(super) fn parse(
        written: Option<&Spanned<String>>,
        inputs: &[Input],
    ) -> Result<Self, Refusal> {
        let text = written.map_or(WITH_VALUE, |text| text.get_ref());
        let refuse = |reason: String| match written {
            Some(place) => Refusal::at(place, reason),
            None => Refusal {
                offset: 0,
                reason,
                is_exact: false,
            },
        };
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(refuse(format!("longer than {TEMPLATE_BYTES_MAX} bytes")));
        }
        if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return Err(refuse("holds a control character".into()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err(refuse("\"{\" without \"}\"".into()));
            };
            parts.push(Part::Text(before.into()));
            let part = part(name, inputs);
            parts.push(part.ok_or_else(|| refuse(format!("{{{name}}} is not known")))?);
            rest = after;
        }
        parts.push(Part::Text(rest.into()));
        let chars_max: usize = parts.iter().map(Part::chars_max).sum();
        if chars_max > MESSAGE_CHARS_MAX {
            let reason = format!("may become longer than {MESSAGE_CHARS_MAX} characters");
            return Err(refuse(reason));
        }
        Ok(Self { parts })
    }

    pub(super) fn render(&self, pattern: &Pattern, facts: &Facts<'_>) -> String {
        if let Turn::NoData | Turn::Data = facts.turn {
            return of_data(pattern, facts);
        }
        let mut message = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => message += text,
                Part::Name => message += &pattern.name,
                Part::Id => message += &pattern.id,
                Part::Severity => message += pattern.severity.name(),
                Part::Direction => message += direction(facts),
                Part::Date => message += &facts.date.to_string(),
                Part::Value => message += &shown(facts.outcome.value),
                Part::Threshold => message += &shown(facts.outcome.threshold),
                Part::Input(index) => {
                    let input = facts.outcome.inputs.get(*index);
                    message += &shown(input.and_then(|input| input.value));
                }
            }
        }
        message
    }
}

fn part(name: &str, inputs: &[Input]) -> Option<Part> {
    Some(match name {
        "name" => Part::Name,
        "id" => Part::Id,
        "severity" => Part::Severity,
        "direction" => Part::Direction,
        "date" => Part::Date,
        "value" => Part::Value,
        "threshold" => Part::Threshold,
        name => Part::Input(inputs.iter().position(|input| input.name == name)?),
    })
}

/// What is emitted about data that end or come back. A pattern's own message is about values.
fn of_data(pattern: &Pattern, facts: &Facts<'_>) -> String {
    let (name, date) = (&pattern.name, facts.date);
    let emitted = direction(facts);
    match facts.outcome.no_data.as_deref() {
        Some(reason) => format!("{name} {emitted} on {date}: {reason}"),
        None => format!("{name} {emitted} on {date}"),
    }
}

fn direction(facts: &Facts<'_>) -> &'static str {
    match (facts.direction, facts.turn, facts.stands) {
        (Direction::Entered, ..) => "entered",
        (Direction::Cleared, ..) => "cleared",
        (Direction::NoData, ..) => "has no data",
        (Direction::Data, ..) => "has data again",
        (Direction::Revised, Turn::NoData, true) => "after revision had no data",
        (Direction::Revised, Turn::NoData, false) => "after revision did have data",
        (Direction::Revised, Turn::Data, true) => "after revision had data again",
        (Direction::Revised, Turn::Data, false) => "after revision had no data again",
        (Direction::Revised, Turn::Entered, true) => "after revision entered",
        (Direction::Revised, Turn::Cleared, true) => "after revision cleared",
        (Direction::Revised, Turn::Entered, false) => "after revision not entered",
        (Direction::Revised, Turn::Cleared, false) => "after revision not cleared",
    }
}

fn shown(value: Option<Decimal>) -> String {
    match value {
        Some(value) => value.round_dp(SHOWN_DECIMALS).normalize().to_string(),
        None => "no data".into(),
    }
}
