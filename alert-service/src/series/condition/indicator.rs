use evaluation::{
    calendar::{BusinessCalendar, Hold, Term},
    expression::{Input, InputText},
    machine::Rule as Turning,
};

use super::{
    compile::{Expression, Problems, Watched},
    definition::{HoldDefinition, Indicator},
};

pub(super) fn inputs_of(indicator: &Indicator, place: &str, problems: &mut Problems) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (name, input) in &indicator.inputs {
        let field = format!("{place}inputs.{name}");
        let max_age = match input
            .max_age
            .as_deref()
            .map(|text| (text, Term::parse(text)))
        {
            None => None,
            Some((_, Some(term))) => Some(term),
            Some((text, None)) => {
                let problem = format!("max_age {text:?} is no span such as \"10d\" or \"3bd\"");
                problems.push((field, problem));
                continue;
            }
        };
        let text = InputText {
            series: input.series.clone(),
            unit: String::new(),
            frequency: input.frequency,
            max_age,
        };
        match text.input(name, &BusinessCalendar::default()) {
            Ok(input) => inputs.push(input),
            Err(error) => problems.push((field, error.to_string())),
        }
    }
    inputs
}

pub(super) fn hold_of(hold: Option<&HoldDefinition>, problems: &mut Problems) -> Turning {
    let hold = match hold {
        None => None,
        Some(HoldDefinition::Count(count)) => Some(Hold::Count(*count)),
        Some(HoldDefinition::Span(text)) => {
            let term = Term::parse(text);
            if term.is_none() {
                let problem = format!("{text:?} is no span such as \"5d\", \"3mo\" or \"2bd\"");
                problems.push(("condition.for".to_owned(), problem));
            }
            term.map(Hold::Term)
        }
    };
    let turning = Turning {
        hold,
        ..Turning::default()
    };
    turning.with_business(BusinessCalendar::default())
}

pub(super) fn of_indicator(indicator: &Indicator, problems: &mut Problems) -> Option<Watched> {
    let inputs = inputs_of(indicator, "condition.", problems);
    let turning = hold_of(indicator.hold.as_ref(), problems);
    Some(Watched::Expression(Expression {
        inputs,
        when: indicator.when.clone(),
        clear_when: indicator.clear_when.clone(),
        turning,
    }))
}
