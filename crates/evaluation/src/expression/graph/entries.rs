//! The entries of columns: what a windowed node is at each of its dates.

use super::column::{Axis, Column};
use super::past::PastSpec;
use super::rolling::RollingSpec;
use super::{Graph, View};
use crate::expression::node::{Node, Op};
use crate::series::SeriesStore;

impl Graph {
    pub(super) fn compute(
        &self,
        node: &Node,
        column: &mut Column,
        entries: std::ops::Range<usize>,
        store: &SeriesStore,
    ) {
        let Some(first) = entries.clone().next() else {
            return;
        };
        let Column {
            dates,
            values,
            rolling,
            ..
        } = column;
        if let (Some(spec), Some(axis)) = (self.rolling_spec(node), self.axis_below(node, store)) {
            // A window goes on only to a date that is new at the end.
            let appended = entries.len() == 1 && first + 1 == dates.len();
            if !appended {
                rolling.forget();
            }
            for index in entries {
                let value = rolling.step(axis, &spec, index);
                values[index] = self.unless_stale(node, dates[index], store, value);
                self.spend(rolling.cost(&spec));
                if self.is_spent() {
                    return;
                }
            }
        } else if let (Some(spec), Some(axis)) =
            (self.past_spec(node), self.axis_below(node, store))
        {
            self.spend(entries.len());
            for index in entries {
                let value = spec.value(axis, index);
                values[index] = self.unless_stale(node, dates[index], store, value);
            }
        } else {
            let view = View::of(store);
            for index in entries {
                values[index] = self.evaluate_op(node, dates[index], view);
                self.spend(1);
                if self.is_spent() {
                    return;
                }
            }
        }
    }

    /// What a windowed node runs over.
    fn axis_below<'a>(&'a self, node: &Node, store: &'a SeriesStore) -> Option<Axis<'a>> {
        let [Some(below), None] = node.op.parts() else {
            return None;
        };
        match self.program.node(below).op {
            Op::Input(input) => {
                let series = store.get(self.series[usize::from(input)]);
                Some(Axis::of_series(series))
            }
            _ => Some(Axis::of_column(self.columns[below.position()].as_ref()?)),
        }
    }

    fn rolling_spec(&self, node: &Node) -> Option<RollingSpec> {
        match node.op {
            Op::Rolling {
                over,
                window,
                excluding_current,
                statistic,
            } => Some(RollingSpec {
                window,
                excluding_current,
                statistic,
                frequency: node.frequency,
                rounded: self.program.node(over).rounded,
            }),
            _ => None,
        }
    }

    pub(super) fn past_spec(&self, node: &Node) -> Option<PastSpec> {
        match node.op {
            Op::Past {
                over,
                ago,
                relation,
            } => Some(PastSpec {
                ago,
                relation,
                frequency: node.frequency,
                max_age_days: node.max_age_days,
                rounded: self.program.node(over).rounded,
            }),
            _ => None,
        }
    }
}
