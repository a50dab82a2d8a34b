//! What a changed observation can cost at the most, known from the expressions alone.

use super::node::{Node, Op, Program, Statistic};
use crate::calendar::{Frequency, Window};

/// At most so many steps for one changed observation: about a second of a core. A step is a node at a date, or
/// a value that a window looks at.
pub(super) const STEPS_MAX: u64 = 50_000_000;

/// The work that one changed observation can bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// In all nodes.
    pub(super) steps: u64,
    /// The window that takes most of them, as it is written.
    pub(super) costliest: Option<String>,
}

/// A changed observation alters the entries of a window's column up to a window behind it, and those
/// of a window over that one up to both windows behind. For each of them a standard deviation,
/// z-score or percentile looks at every value in its window; the others take in and leave out.
pub(super) fn cost(program: &Program) -> Cost {
    let mut altered: Vec<u64> = Vec::new();
    let (mut steps, mut most) = (0_u64, (0, None));
    for node in &program.nodes {
        let parts = node.op.parts().into_iter().flatten();
        let below = parts.map(|part| altered[part.position()]).max();
        let window = window_of(node).map_or(0, |window| entries(program, node, window));
        let entries = below.unwrap_or(1).saturating_add(window);
        let of_node = entries.saturating_mul(looked_at(node, window));
        if window > 0 && of_node > most.0 {
            most = (of_node, Some(node));
        }
        steps = steps.saturating_add(of_node);
        altered.push(entries);
    }
    Cost {
        steps,
        costliest: most.1.map(written),
    }
}

fn window_of(node: &Node) -> Option<Window> {
    match node.op {
        Op::Rolling { window, .. } => Some(window),
        Op::Past { ago, .. } => Some(ago),
        _ => None,
    }
}

/// How many values one entry looks at.
fn looked_at(node: &Node, window: u64) -> u64 {
    match node.op {
        Op::Rolling {
            statistic: Statistic::StandardDeviation | Statistic::ZScore | Statistic::Percentile,
            ..
        } => window.max(1),
        _ => 1,
    }
}

/// How many dates a window holds at the most, if series are as frequent as they are declared to be.
fn entries(program: &Program, node: &Node, window: Window) -> u64 {
    let span_days = match window {
        Window::Count(count) => return count.into(),
        Window::Span(span) => u64::from(span.days_max()),
    };
    let inputs = program.inputs.iter().enumerate();
    let read = inputs.filter(|(index, _)| node.inputs & (1 << index) != 0);
    let of_each = read.map(|(_, input)| span_days / period_days_min(input.frequency) + 1);
    of_each.sum::<u64>().min(span_days)
}

fn period_days_min(frequency: Frequency) -> u64 {
    match frequency {
        Frequency::Irregular | Frequency::Daily => 1,
        Frequency::Weekly => 7,
        Frequency::Monthly => 28,
        Frequency::Quarterly => 90,
        Frequency::Annual => 365,
    }
}

fn written(node: &Node) -> String {
    let name = match &node.op {
        Op::Rolling { statistic, .. } => statistic.name(),
        _ => "change",
    };
    match window_of(node) {
        Some(Window::Span(span)) => format!(".{name}(\"{span}\")"),
        Some(Window::Count(count)) => format!(".{name}({count})"),
        None => format!(".{name}(…)"),
    }
}
