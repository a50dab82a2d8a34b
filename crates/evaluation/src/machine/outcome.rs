use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::expression::{Graph, NodeIndex, Value, View};

/// What a condition is at a date, with everything that it was computed from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether the condition holds; absent: no data.
    pub holds: Option<bool>,
    /// Left side of the condition's first comparison.
    pub value: Option<Decimal>,
    /// Right side of it.
    pub threshold: Option<Decimal>,
    /// Why there is no data, where there is none.
    pub no_data: Option<String>,
    /// Every input as it counts at the date.
    pub inputs: Vec<InputUse>,
}

/// An input as it counts at a date.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputUse {
    /// Name in expressions.
    pub name: String,
    /// Id of the series.
    pub series: String,
    /// Unit of the value.
    pub unit: String,
    /// Absent if there is none, or none that is young enough.
    pub value: Option<Decimal>,
    /// Date of the latest observation, also if it is too old.
    pub date: Option<NaiveDate>,
    /// Vintage of that observation.
    pub known_from: Option<DateTime<Utc>>,
    /// Why there is no value, where there is none.
    pub no_data: Option<String>,
}

impl Outcome {
    /// Evaluates a condition for showing.
    pub(crate) fn of(graph: &Graph, condition: NodeIndex, date: NaiveDate, view: View<'_>) -> Self {
        let result = graph.evaluate(condition, date, view);
        let (value, threshold) = shown(graph, condition, date, view);
        let inputs = 0..graph.program().inputs().len();
        Self {
            holds: result.truth(),
            value,
            threshold,
            no_data: why_missing(graph, result),
            inputs: inputs
                .map(|index| input_use(graph, index, date, view))
                .collect(),
        }
    }
}

/// Both sides of the comparison that is shown.
pub(crate) fn shown(
    graph: &Graph,
    condition: NodeIndex,
    date: NaiveDate,
    view: View<'_>,
) -> (Option<Decimal>, Option<Decimal>) {
    match graph.program().shown_comparison(condition) {
        Some((left, right)) => {
            let number = |node| graph.evaluate(node, date, view).number();
            (number(left), number(right))
        }
        None => (None, None),
    }
}

fn why_missing(graph: &Graph, value: Value) -> Option<String> {
    let missing = value.why_missing()?;
    Some(match missing.input {
        Some(input) => {
            let name = &graph.input(usize::from(input)).name;
            format!("{name}: {}", missing.reason)
        }
        None => missing.reason.to_string(),
    })
}

fn input_use(graph: &Graph, index: usize, date: NaiveDate, view: View<'_>) -> InputUse {
    let input = graph.input(index);
    let observed = graph.observe(index, date, view.store);
    let latest = view.store.get(graph.series()[index]).at(date);
    InputUse {
        name: input.name.clone(),
        series: input.series.clone(),
        unit: input.unit.clone(),
        value: observed.ok().map(|o| o.value),
        date: latest.map(|o| o.date),
        known_from: latest.map(|o| o.known_from),
        no_data: observed.err().map(|missing| missing.reason.to_string()),
    }
}
