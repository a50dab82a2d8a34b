use rust_decimal::Decimal;

/// Reads an exact decimal in plain notation: an optional sign, digits, and optionally a point and
/// more digits; at most 28 significant digits. Trailing zeros are kept.
///
/// `None` for anything else: exponents, infinities, NaN, separators, spaces.
///
/// Expressions read their literals by the same rule, without a sign (crate `evaluation`); a test of the engine compares
/// the two.
pub fn parse_decimal(text: &str) -> Option<Decimal> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !plain || !unsigned.starts_with(|c: char| c.is_ascii_digit()) || text.ends_with('.') {
        return None;
    }
    let value = Decimal::from_str_exact(text).ok()?;
    (value.mantissa().unsigned_abs() < 10u128.pow(28)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_decimals_are_exact() {
        for text in [
            "0",
            "4.6900000000",
            "-0.125",
            "1234567890123456789012345678",
            "28.5",
        ] {
            assert_eq!(
                parse_decimal(text).map(|d| d.to_string()).as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn all_else_is_refused() {
        let long = "1.2345678901234567890123456789";
        for text in [
            "", ".", ".5", "5.", "NaN", "inf", "1e5", "1_000", " 1", "1,5", "--1", "0x1", long,
        ] {
            assert_eq!(parse_decimal(text), None, "{text}");
        }
    }
}
