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

pub(super) fn hold_of(
    field: &str,
    hold: Option<&HoldDefinition>,
    problems: &mut Problems,
) -> Option<Hold> {
    match hold? {
        HoldDefinition::Count(count) => Some(Hold::Count(*count)),
        HoldDefinition::Span(text) => term_of(field, text, problems).map(Hold::Term),
    }
}

fn term_of(field: &str, text: &str, problems: &mut Problems) -> Option<Term> {
    let term = Term::parse(text);
    if term.is_none() {
        let problem = format!("{text:?} is no span such as \"5d\", \"3mo\" or \"2bd\"");
        problems.push((format!("condition.{field}"), problem));
    }
    term
}

pub(super) fn of_indicator(indicator: &Indicator, problems: &mut Problems) -> Option<Watched> {
    let inputs = inputs_of(indicator, "condition.", problems);
    if indicator.hold.is_some() && indicator.n_of_m.is_some() {
        let problem = "is not beside for: one of them says when it begins";
        problems.push(("condition.n_of_m".to_owned(), problem.to_owned()));
    }
    let cooldown = indicator.cooldown.as_deref();
    let turning = Turning {
        hold: hold_of("for", indicator.hold.as_ref(), problems),
        n_of_m: indicator.n_of_m,
        keep_for: hold_of("keep_for", indicator.keep_for.as_ref(), problems),
        cooldown: cooldown.and_then(|text| term_of("cooldown", text, problems)),
        ..Turning::default()
    };
    Some(Watched::Expression(Expression {
        inputs,
        when: indicator.when.clone(),
        clear_when: indicator.clear_when.clone(),
        turning: turning.with_business(BusinessCalendar::default()),
    }))
}
