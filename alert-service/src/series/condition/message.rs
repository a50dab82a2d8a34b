//! What alerts of rules over series say.

use evaluation::did_you_mean;

use super::compile::Problems;
use crate::rule::Condition;

const CHARS_MAX: usize = 2_000;
const NAMES: [&str; 5] = ["rule", "series", "value", "threshold", "date"];

/// What may stand in a message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) rule: String,
    pub(crate) series: String,
    pub(crate) value: String,
    pub(crate) threshold: String,
    pub(crate) date: String,
}

/// A part of a template.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Names stand in braces; two braces are one.
fn pieces(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(Piece::Text(&rest[..at]));
        let brace = &rest[at..=at];
        let behind = &rest[at + 1..];
        if let Some(behind) = behind.strip_prefix(brace) {
            pieces.push(Piece::Text(brace));
            rest = behind;
            continue;
        }
        if brace == "}" {
            return Err("has a } without a {; write }} for the character".to_owned());
        }
        let Some((name, behind)) = behind.split_once('}') else {
            return Err("has a { without a }; write {{ for the character".to_owned());
        };
        if !NAMES.contains(&name) {
            let meant = did_you_mean(name, NAMES.into_iter());
            let name = atlas_events::clip(name, 50);
            return Err(format!("has no value named {{{name}}}{meant}"));
        }
        pieces.push(Piece::Name(name));
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// What is wrong with the message of a rule.
pub(crate) fn problem_of_message(condition: &Condition, template: &str) -> Problems {
    let problem = if !condition.is_over_series() {
        Some("is for rules over series; a pattern has its own message".to_owned())
    } else if template.is_empty() || template.chars().count() > CHARS_MAX {
        Some(format!("is to have 1 to {CHARS_MAX} characters"))
    } else if template
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        Some("holds a control character".to_owned())
    } else {
        pieces(template).err()
    };
    let problems = problem.map(|problem| ("message".to_owned(), problem));
    problems.into_iter().collect()
}

/// The message, with values in place of names.
pub(crate) fn filled(template: &str, said: &Said) -> String {
    let pieces = pieces(template).unwrap_or_default();
    let text = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text,
        Piece::Name("rule") => &*said.rule,
        Piece::Name("series") => &said.series,
        Piece::Name("value") => &said.value,
        Piece::Name("threshold") => &said.threshold,
        Piece::Name(_) => &said.date,
    });
    text.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_and_unknown_ones_refused_with_what_was_meant() {
        let said = Said {
            rule: "Fear".to_owned(),
            series: "VIX".to_owned(),
            value: "31.2".to_owned(),
            threshold: "30".to_owned(),
            date: "2026-11-27".to_owned(),
        };
        let text = filled(
            "{rule}: {series} {value} > {threshold} on {date} {{x}}",
            &said,
        );
        assert_eq!(text, "Fear: VIX 31.2 > 30 on 2026-11-27 {x}");
        let condition: Condition =
            serde_json::from_str(r#"{"kind":"time","cron":"0 9 * * *"}"#).unwrap();
        let problem = |text: &str| problem_of_message(&condition, text);
        assert!(problem("{value}").is_empty());
        assert_eq!(
            problem("{vaule}")[0].1,
            "has no value named {vaule}, did you mean value?"
        );
        for text in ["{", "}", "{value", "", "a\u{7}"] {
            assert!(!problem(text).is_empty(), "{text:?}");
        }
        let pattern: Condition = serde_json::from_str(r#"{"kind":"pattern"}"#).unwrap();
        assert!(!problem_of_message(&pattern, "x").is_empty());
    }
}
