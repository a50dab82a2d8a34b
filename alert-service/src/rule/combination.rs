//! Rules that combine other rules.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::series::Operator;

const RULES_MAX: usize = 20;

/// What fires, within a rule that combines others.
pub(crate) const COMBINATION: &str = "rules";

/// Other rules of the same owner, combined. A rule holds while an alert of it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Combination {
    pub(crate) operator: Operator,
    /// Of `n_of_m`: so many of the rules have to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<u32>,
    /// Ids of rules, 1 to 20; one of `not`.
    pub(crate) rules: Vec<String>,
}

impl Combination {
    /// Everything that is wrong with it, whatever rules there are.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut refuse = |field: String, problem: String| {
            problems.push((format!("condition.{field}"), problem));
        };
        let count = self.rules.len();
        let most = match self.operator {
            Operator::Not => 1,
            _ => RULES_MAX,
        };
        if !(1..=most).contains(&count) {
            refuse("rules".to_owned(), format!("is to name 1 to {most} rules"));
        }
        for (index, id) in self.rules.iter().enumerate() {
            if self.rules[..index].contains(id) {
                refuse(format!("rules[{index}]"), "is named twice".to_owned());
            }
        }
        let n = self.n.and_then(|n| usize::try_from(n).ok());
        match (self.operator, n) {
            (Operator::NOfM, Some(n)) if (1..=count).contains(&n) => {}
            (Operator::NOfM, _) => refuse("n".to_owned(), format!("is to be from 1 to {count}")),
            (_, Some(_)) => refuse("n".to_owned(), "is for n_of_m only".to_owned()),
            (_, None) => {}
        }
        problems
    }

    /// Whether it holds while these rules do.
    pub(crate) fn holds(&self, holding: &BTreeSet<String>) -> bool {
        let count = self.rules.iter().filter(|id| holding.contains(*id)).count();
        let least = match self.operator {
            Operator::Not => return count == 0,
            Operator::And => self.rules.len(),
            Operator::Or => 1,
            Operator::NOfM => self.n.and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
        };
        count >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combination(operator: &str, n: Option<u32>, rules: &[&str]) -> Combination {
        let json = serde_json::json!({"operator": operator, "n": n, "rules": rules});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn it_holds_by_how_many_of_its_rules_hold() {
        let all = ["a", "b", "c"];
        for (operator, n, rules, from) in [
            ("and", None, &all[..], 3),
            ("or", None, &all[..], 1),
            ("n_of_m", Some(2), &all[..], 2),
        ] {
            let combination = combination(operator, n, rules);
            assert!(combination.problems().is_empty());
            for count in 0..=3 {
                let holding = all[..count].iter().map(|id| (*id).to_owned());
                let holding = holding.chain(["other".to_owned()]).collect();
                assert_eq!(
                    combination.holds(&holding),
                    count >= from,
                    "{operator} {count}"
                );
            }
        }
        let not = combination("not", None, &["a"]);
        assert!(not.holds(&["b".to_owned()].into()) && !not.holds(&["a".to_owned()].into()));
    }

    #[test]
    fn what_is_no_combination_is_refused() {
        for (operator, n, rules, field) in [
            ("and", None, &[][..], "condition.rules"),
            ("not", None, &["a", "b"][..], "condition.rules"),
            ("or", None, &["a", "a"][..], "condition.rules[1]"),
            ("or", Some(1), &["a"][..], "condition.n"),
            ("n_of_m", Some(3), &["a", "b"][..], "condition.n"),
            ("n_of_m", None, &["a", "b"][..], "condition.n"),
        ] {
            let problems = combination(operator, n, rules).problems();
            assert_eq!(problems[0].0, field, "{problems:?}");
        }
    }
}
