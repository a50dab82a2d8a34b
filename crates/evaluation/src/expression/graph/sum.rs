use rust_decimal::Decimal;

use crate::expression::value::{Reason, Value};

/// One unit of the whole part, in units of the fraction.
const UNIT: i128 = 10_i128.pow(28);

/// A sum of decimals without any rounding, whatever their scales, so that taking a term away leaves
/// exactly what was there before it. Good for 10^9 terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExactSum {
    whole: i128,
    /// In units of 10^-28.
    fraction: i128,
}

impl ExactSum {
    pub(crate) fn add(&mut self, term: Decimal) {
        let (whole, fraction) = split(term);
        self.whole += whole;
        self.fraction += fraction;
    }

    pub(crate) fn subtract(&mut self, term: Decimal) {
        let (whole, fraction) = split(term);
        self.whole -= whole;
        self.fraction -= fraction;
    }

    /// The sum, rounded only where it has more than 28 digits.
    pub(crate) fn total(self) -> Value {
        let whole = self.whole + self.fraction / UNIT;
        let fraction = self.fraction % UNIT;
        let parts = (
            Decimal::try_from_i128_with_scale(whole, 0),
            Decimal::try_from_i128_with_scale(fraction, 28),
        );
        match parts {
            (Ok(whole), Ok(fraction)) => {
                Value::or_overflow(whole.checked_add(fraction.normalize()))
            }
            _ => Value::missing(Reason::Overflow),
        }
    }
}

/// Whole part and fraction in units of 10^-28, both of the sign of the term.
fn split(term: Decimal) -> (i128, i128) {
    let mantissa = term.mantissa();
    let scale = term.scale();
    if scale == 0 {
        return (mantissa, 0);
    }
    // Nearly all values are short, and 64 bits divide much faster than 128.
    if let (Ok(short), Some(unit)) = (i64::try_from(mantissa), 10_i64.checked_pow(scale)) {
        let fraction = i128::from(short % unit) * 10_i128.pow(28 - scale);
        return (i128::from(short / unit), fraction);
    }
    let unit = 10_i128.pow(scale);
    (mantissa / unit, mantissa % unit * 10_i128.pow(28 - scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn total(terms: &[&str]) -> Option<Decimal> {
        let mut sum = ExactSum::default();
        for term in terms {
            sum.add(d(term));
        }
        sum.total().number()
    }

    #[test]
    fn sums_are_exact_over_all_scales() {
        assert_eq!(total(&[]), Some(Decimal::ZERO));
        assert_eq!(total(&["0.1", "0.2", "-0.3"]), Some(Decimal::ZERO));
        assert_eq!(total(&["4.6900000000", "-5"]), Some(d("-0.31")));
        let tiny = "0.0000000000000000000000000001";
        assert_eq!(total(&["-1", tiny, "1"]), Some(d(tiny)));
        assert_eq!(total(&["79228162514264337593543950335", "1"]), None);
    }

    proptest! {
        #[test]
        fn taking_away_leaves_what_was_there(
            terms in prop::collection::vec((any::<i64>(), 0..=28u32, any::<bool>()), 1..30)
        ) {
            let terms: Vec<Decimal> = terms
                .into_iter()
                .map(|(mantissa, scale, large)| {
                    let factor = if large { 1_000_000_000 } else { 1 };
                    Decimal::from_i128_with_scale(i128::from(mantissa) * factor, scale)
                })
                .collect();
            let mut sum = ExactSum::default();
            sum.add(terms[0]);
            let before = sum.total();
            terms[1..].iter().for_each(|term| sum.add(*term));
            terms[1..].iter().for_each(|term| sum.subtract(*term));
            prop_assert_eq!(sum.total(), before);
            prop_assert_eq!(before, Value::Number(terms[0]));
        }
    }
}
