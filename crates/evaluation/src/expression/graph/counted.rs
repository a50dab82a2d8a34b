//! Which dates count where a number of observations is asked for.

use chrono::NaiveDate;

use super::Graph;
use crate::calendar::Frequency;
use crate::expression::node::NodeIndex;
use crate::series::SeriesStore;

impl Graph {
    /// The inputs of a node whose observations are counted, as bits: those of the coarsest frequency.
    /// None where all are irregular, as these have their observations on dates of their own.
    pub fn counted_inputs(&self, node: NodeIndex) -> u64 {
        let inputs = self.program.node(node).inputs;
        let read = || {
            let all = self.program.inputs.iter().enumerate();
            all.filter(move |(index, _)| inputs & (1 << index) != 0)
        };
        let coarsest = read().map(|(_, input)| input.frequency).max();
        if coarsest == Some(Frequency::Irregular) {
            return 0;
        }
        read()
            .filter(|(_, input)| Some(input.frequency) == coarsest)
            .fold(0, |bits, (index, _)| bits | 1 << index)
    }

    /// Whether every one of some inputs has an observation for exactly this date.
    pub fn all_have(&self, inputs: u64, date: NaiveDate, store: &SeriesStore) -> bool {
        self.some(inputs).all(|index| store.get(index).has(date))
    }
}
