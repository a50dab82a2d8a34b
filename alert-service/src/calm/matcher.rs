use std::{collections::BTreeMap, fmt, str::FromStr};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// At most this many matchers in one list.
const MATCHERS_MAX: usize = 20;
const TEXT_CHARS_MAX: usize = 500;
/// Of a compiled expression: a few classes of Unicode, and no more.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// What an alert is matched by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits<'a> {
    pub(crate) rule_id: &'a str,
    pub(crate) fingerprint: &'a str,
    pub(crate) severity: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

impl<'a> Traits<'a> {
    /// The value of a name; of a label that the alert does not have it is empty.
    pub(crate) fn value(&self, name: &str) -> &'a str {
        match name {
            "rule" => self.rule_id,
            "fingerprint" => self.fingerprint,
            "severity" => self.severity,
            label => self.labels.get(label).map_or("", String::as_str),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Matches,
    NotMatches,
}

/// In the order in which they are looked for: the longer first.
const OPERATORS: [(&str, Operator); 4] = [
    ("=~", Operator::Matches),
    ("!~", Operator::NotMatches),
    ("!=", Operator::NotEqual),
    ("=", Operator::Equal),
];

/// A condition on an alert, written as in Alertmanager: `theme="stress"`, `severity!=critical`,
/// `pattern=~"vix-.*"`, `team!~"a|b"`.
///
/// `rule`, `fingerprint` and `severity` are those of the alert, every other name is a label. An expression has to
/// match the whole value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Matcher {
    name: String,
    operator: Operator,
    value: String,
}

/// A text that is no matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MatcherError {
    #[error("is no matcher such as theme=\"stress\"; operators are =, !=, =~ and !~")]
    Form,
    #[error("has more than {TEXT_CHARS_MAX} characters")]
    Long,
    #[error("holds a control character")]
    Control,
    #[error("is no regular expression that can be used: {0}")]
    Expression(String),
}

impl FromStr for Matcher {
    type Err = MatcherError;

    fn from_str(text: &str) -> Result<Self, MatcherError> {
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err(MatcherError::Long);
        }
        if text.chars().any(char::is_control) {
            return Err(MatcherError::Control);
        }
        let at = text.find(['=', '!']).ok_or(MatcherError::Form)?;
        let (name, rest) = text.split_at(at);
        let found = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
        let (operator, value) = found.ok_or(MatcherError::Form)?;
        let (name, value) = (name.trim(), value.trim());
        let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        let value = match (quoted, value.contains('"')) {
            (Some(inner), _) if !inner.contains('"') => inner,
            (None, false) => value,
            _ => return Err(MatcherError::Form),
        };
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '"') {
            return Err(MatcherError::Form);
        }
        let matcher = Self {
            name: name.to_owned(),
            operator,
            value: value.to_owned(),
        };
        if matches!(operator, Operator::Matches | Operator::NotMatches) {
            matcher.expression().map_err(|error| {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                MatcherError::Expression(last.to_owned())
            })?;
        }
        Ok(matcher)
    }
}

impl TryFrom<String> for Matcher {
    type Error = MatcherError;

    fn try_from(text: String) -> Result<Self, MatcherError> {
        text.parse()
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.to_string()
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS.iter().find(|(_, of)| *of == self.operator);
        let sign = sign.map_or("=", |(sign, _)| sign);
        write!(f, "{}{sign}\"{}\"", self.name, self.value)
    }
}

impl Matcher {
    /// Linear in the value's length, whatever the expression.
    fn expression(&self) -> Result<Regex, regex::Error> {
        RegexBuilder::new(&format!("^(?:{})$", self.value))
            .size_limit(EXPRESSION_BYTES_MAX)
            .build()
    }

    fn matches(&self, traits: &Traits<'_>) -> bool {
        let value = traits.value(&self.name);
        // It compiled when it was stored.
        let fits = || self.expression().is_ok_and(|of| of.is_match(value));
        match self.operator {
            Operator::Equal => value == self.value,
            Operator::NotEqual => value != self.value,
            Operator::Matches => fits(),
            Operator::NotMatches => !fits(),
        }
    }
}

/// Matchers of which all have to match; without any, everything does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Matchers(Vec<Matcher>);

impl Matchers {
    pub(crate) fn matches(&self, traits: &Traits<'_>) -> bool {
        self.0.iter().all(|matcher| matcher.matches(traits))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with the list; its entries are right, as they could be read.
    pub(crate) fn problem(&self) -> Option<String> {
        (self.0.len() > MATCHERS_MAX).then(|| format!("has more than {MATCHERS_MAX} entries"))
    }

    /// Those that alert and rule name by itself: whose snooze this is.
    pub(crate) fn of_one(rule_id: &str, fingerprint: &str) -> Self {
        let equal = |name: &str, value: &str| Matcher {
            name: name.to_owned(),
            operator: Operator::Equal,
            value: value.to_owned(),
        };
        Self(vec![
            equal("rule", rule_id),
            equal("fingerprint", fingerprint),
        ])
    }

    /// Labels, and the severity, that an alert has to have: what the database may look for first.
    pub(crate) fn required(&self) -> (BTreeMap<String, String>, Option<String>) {
        let (mut labels, mut severity) = (BTreeMap::new(), None);
        for matcher in &self.0 {
            let is_wanted = matcher.operator == Operator::Equal && !matcher.value.is_empty();
            match matcher.name.as_str() {
                "rule" | "fingerprint" => {}
                "severity" if is_wanted => severity = Some(matcher.value.clone()),
                label if is_wanted && label != "severity" => {
                    labels.insert(label.to_owned(), matcher.value.clone());
                }
                _ => {}
            }
        }
        (labels, severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> BTreeMap<String, String> {
        [("theme", "stress"), ("pattern", "vix-above-30")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn matchers_are_those_of_alertmanager() {
        let labels = labels();
        let traits = Traits {
            rule_id: "R",
            fingerprint: "pattern:vix-above-30",
            severity: "warning",
            labels: &labels,
        };
        for (text, expected) in [
            ("theme=stress", true),
            ("theme = \"stress\"", true),
            ("theme=\"growth\"", false),
            ("theme!=growth", true),
            ("theme!=stress", false),
            ("severity=warning", true),
            ("severity=~\"warning|critical\"", true),
            ("severity!~\"warning|critical\"", false),
            // The whole value has to match.
            ("pattern=~vix", false),
            ("pattern=~\"vix-.*\"", true),
            ("pattern=~\"a|vix-above-30\"", true),
            ("pattern=~\"vix|above\"", false),
            ("fingerprint=pattern:vix-above-30", true),
            ("rule=R", true),
            ("rule=S", false),
            // What is absent is empty.
            ("team=\"\"", true),
            ("team!=\"\"", false),
            ("team=~\".*\"", true),
            ("team=~\".+\"", false),
            ("theme=~\".+\"", true),
        ] {
            let matcher: Matcher = text.parse().unwrap();
            assert_eq!(matcher.matches(&traits), expected, "{text}");
            let again: Matcher = matcher.to_string().parse().unwrap();
            assert_eq!(again, matcher, "{text}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_refused() {
        for text in [
            "",
            "theme",
            "=stress",
            "the me=stress",
            "theme=\"stress",
            "theme=a\"b",
            "theme=~\"(\"",
            "theme=~\"(?:\\w{1000}){1000}\"",
            "theme=a\u{0}",
            "!theme",
        ] {
            assert!(text.parse::<Matcher>().is_err(), "{text}");
        }
        assert!(format!("a={}", "x".repeat(600)).parse::<Matcher>().is_err());
    }
}
