//! Colours, for people at a terminal, and numbers as people write them.

use std::{env, io::IsTerminal};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

/// Decimals of a computed number that are shown.
const DECIMALS_MAX: usize = 6;
/// Whole numbers are exact in 64 bits up to here.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Whether standard output is a terminal whose user wants colours (`NO_COLOR` is not set).
pub(crate) fn is_wanted() -> bool {
    std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The style of an event of a severity; none for those that are not known.
pub(crate) fn of_severity(severity: &str) -> Style {
    match severity {
        "critical" => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
        "warning" => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        _ => Style::new(),
    }
}

/// The style of what went wrong.
pub(crate) fn of_failure() -> Style {
    Style::new().fg_color(Some(AnsiColor::Red.into()))
}

/// A decimal number with at most six decimals; other text as it is.
pub(crate) fn decimal(text: &str) -> String {
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() > DECIMALS_MAX => match text.parse::<f64>() {
            Ok(number) => {
                let rounded = format!("{number:.DECIMALS_MAX$}");
                rounded
                    .trim_end_matches('0')
                    .trim_end_matches('.')
                    .to_owned()
            }
            Err(_) => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

/// JSON whose whole numbers have no fraction: in the log every number is a double.
pub(crate) fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(double) if double.fract() == 0.0 && double.abs() <= WHOLE_MAX => {
                Value::from(double as i64)
            }
            _ => Value::Number(number),
        },
        Value::Array(values) => values.into_iter().map(whole_numbers).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, whole_numbers(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn computed_numbers_are_short() {
        for (text, shown) in [
            ("0.333333333333333", "0.333333"),
            ("2.9999999999", "3"),
            ("-1.50000000", "-1.5"),
            ("4.25", "4.25"),
            ("1200", "1200"),
            ("no number.abcdefgh", "no number.abcdefgh"),
        ] {
            assert_eq!(decimal(text), shown);
        }
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        let stored = json!({"n": 7.0, "price": 7.5, "list": [1.0, "1.0"], "large": 1e300});
        let shown = json!({"n": 7, "price": 7.5, "list": [1, "1.0"], "large": 1e300});
        assert_eq!(whole_numbers(stored).to_string(), shown.to_string());
    }
}
