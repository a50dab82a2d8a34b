use rust_decimal::Decimal;

use super::input::Input;
use crate::calendar::{Frequency, Window};
use crate::series::TIME;

/// Which node of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeIndex(pub(crate) u16);

impl NodeIndex {
    pub(crate) fn position(self) -> usize {
        usize::from(self.0)
    }
}

/// The expressions of one definition, compiled: nodes, of which each stands after those that it is made
/// of. Equal parts are one node.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<Input>,
    /// Whether every day that passes is evaluated, also without any observation.
    pub(crate) daily: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) op: Op,
    /// Inputs below, a bit for each.
    pub(crate) inputs: u64,
    /// Of the finest input below.
    pub(crate) frequency: Frequency,
    /// Of the input below that ages most quickly.
    pub(crate) max_age_days: u32,
    /// A quotient is a part of it, so that its last digits may come from rounding.
    pub(crate) rounded: bool,
    /// How far back it looks, in days.
    pub(crate) history_days: u32,
    /// Its values are kept: a window's, and those that a window runs over.
    pub(crate) kept: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    Number(Decimal),
    Truth(bool),
    Input(u8),
    /// Whether a pattern is active. Regimes only.
    Pattern(String),
    Negate(NodeIndex),
    Abs(NodeIndex),
    Binary(Arithmetic, NodeIndex, NodeIndex),
    Compare(Comparison, NodeIndex, NodeIndex),
    And(NodeIndex, NodeIndex),
    Or(NodeIndex, NodeIndex),
    Not(NodeIndex),
    /// Days from the latest observation to the date of evaluation.
    DaysSince(NodeIndex),
    /// A statistic of the values in a window.
    Rolling {
        over: NodeIndex,
        window: Window,
        excluding_current: bool,
        statistic: Statistic,
    },
    /// The value a while ago, or a change since.
    Past {
        over: NodeIndex,
        ago: Window,
        relation: Relation,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Min,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistic {
    Mean,
    Sum,
    Lowest,
    Highest,
    /// Of a sample. Floating point, 12 digits; so is the z-score.
    StandardDeviation,
    ZScore,
    /// 0 to 100: how many of the others are lower than the current value, equal ones by half.
    Percentile,
    /// Of conditions: all hold, and the window is covered.
    Sustained,
}

impl Statistic {
    /// As expressions call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Lowest => "lowest",
            Self::Highest => "highest",
            Self::StandardDeviation => "stddev",
            Self::ZScore => "zscore",
            Self::Percentile => "percentile",
            Self::Sustained => "sustained",
        }
    }

    fn rounds(self) -> bool {
        match self {
            Self::Mean | Self::StandardDeviation | Self::ZScore | Self::Percentile => true,
            Self::Sum | Self::Lowest | Self::Highest | Self::Sustained => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Value,
    Change,
    PercentChange,
}

impl Op {
    /// The nodes that it consists of.
    pub(crate) fn parts(&self) -> [Option<NodeIndex>; 2] {
        match self {
            Self::Number(_) | Self::Truth(_) | Self::Input(_) | Self::Pattern(_) => [None, None],
            Self::Negate(a) | Self::Abs(a) | Self::Not(a) | Self::DaysSince(a) => [Some(*a), None],
            Self::Rolling { over, .. } | Self::Past { over, .. } => [Some(*over), None],
            Self::Binary(_, a, b) | Self::Compare(_, a, b) | Self::And(a, b) | Self::Or(a, b) => {
                [Some(*a), Some(*b)]
            }
        }
    }

    /// Its result is rounded. A constant is, if it has more decimals than anybody would write.
    fn rounds(&self) -> bool {
        const WRITTEN_DECIMALS_MAX: u32 = 20;
        match self {
            Self::Number(number) => number.scale() > WRITTEN_DECIMALS_MAX,
            Self::Binary(arithmetic, ..) => *arithmetic == Arithmetic::Divide,
            Self::Rolling { statistic, .. } => statistic.rounds(),
            Self::Past { relation, .. } => *relation == Relation::PercentChange,
            _ => false,
        }
    }

    /// Runs over the values of a node at other dates.
    pub(crate) fn is_windowed(&self) -> bool {
        matches!(self, Self::Rolling { .. } | Self::Past { .. })
    }
}

impl Program {
    pub(crate) fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index.position()]
    }

    /// The series that the expressions read.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The series whose dates are evaluated: those of the inputs, and that of time if it is.
    pub fn series_ids(&self) -> impl Iterator<Item = &str> {
        let inputs = self.inputs.iter().map(|input| input.series.as_str());
        inputs.chain(self.daily.then_some(TIME))
    }

    /// Whether every day that passes is evaluated.
    pub fn is_daily(&self) -> bool {
        self.daily
    }

    /// Whether an expression asks how long ago something was, which changes as time passes.
    pub(crate) fn asks_for_age(&self) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.any(|node| matches!(node.op, Op::DaysSince(_)))
    }

    /// How many days of history before a date its evaluation can need.
    pub fn history_days(&self) -> u32 {
        self.nodes.iter().map(|n| n.history_days).max().unwrap_or(0)
    }

    /// Whether any expression reads the input of this index.
    pub fn reads(&self, input: usize) -> bool {
        self.nodes
            .iter()
            .any(|node| node.inputs & (1 << input) != 0)
    }

    /// The inputs that a condition reads.
    pub fn inputs_of(&self, index: NodeIndex) -> impl Iterator<Item = &Input> {
        let read = self.node(index).inputs;
        let inputs = self.inputs.iter().enumerate();
        inputs
            .filter(move |(input, _)| read & (1 << input) != 0)
            .map(|(_, input)| input)
    }

    /// The patterns that a condition asks for, each once.
    pub fn patterns_of(&self, index: NodeIndex) -> Vec<&str> {
        let mut found = Vec::new();
        self.visit(index, &mut |op| {
            if let Op::Pattern(id) = op
                && !found.contains(&id.as_str())
            {
                found.push(id.as_str());
            }
        });
        found
    }

    fn visit<'a>(&'a self, index: NodeIndex, see: &mut impl FnMut(&'a Op)) {
        let op = &self.node(index).op;
        see(op);
        for part in op.parts().into_iter().flatten() {
            self.visit(part, see);
        }
    }

    /// Both sides of the first comparison, from the left, of a condition: what is shown as value and
    /// threshold. `None` if it compares nothing.
    pub fn shown_comparison(&self, index: NodeIndex) -> Option<(NodeIndex, NodeIndex)> {
        match &self.node(index).op {
            Op::Compare(_, left, right) => Some((*left, *right)),
            Op::And(left, right) | Op::Or(left, right) => self
                .shown_comparison(*left)
                .or_else(|| self.shown_comparison(*right)),
            Op::Not(inner) => self.shown_comparison(*inner),
            Op::Rolling {
                over,
                statistic: Statistic::Sustained,
                ..
            } => self.shown_comparison(*over),
            _ => None,
        }
    }
}

/// An operation with what follows from its parts, which are among `nodes`.
pub(super) fn describe(op: Op, inputs: &[Input], nodes: &[Node]) -> Node {
    let mut node = Node {
        inputs: 0,
        frequency: Frequency::Annual,
        max_age_days: u32::MAX,
        rounded: op.rounds(),
        history_days: 0,
        kept: op.is_windowed(),
        op,
    };
    if let Op::Input(index) = node.op {
        let input = &inputs[usize::from(index)];
        node.inputs = 1 << index;
        node.frequency = input.frequency;
        node.max_age_days = input.max_age_days;
        node.history_days = input.max_age_days;
    }
    for part in node.op.parts().into_iter().flatten() {
        let part = &nodes[part.position()];
        node.inputs |= part.inputs;
        node.rounded |= part.rounded;
        node.frequency = node.frequency.min(part.frequency);
        node.max_age_days = node.max_age_days.min(part.max_age_days);
        node.history_days = node.history_days.max(part.history_days);
    }
    let window = match node.op {
        Op::Rolling { window, .. } => Some(window),
        Op::Past { ago, .. } => Some(ago),
        _ => None,
    };
    let window_days = window.map_or(0, |window| match window {
        Window::Span(span) => span.days_max(),
        Window::Count(count) => count.saturating_mul(node.frequency.period_days_max().max(1)),
    });
    node.history_days = node.history_days.saturating_add(window_days);
    node
}
