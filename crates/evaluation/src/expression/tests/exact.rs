//! Conditions over quotients compared with exact arithmetic of fractions.

use proptest::prelude::*;

use super::{months, truth};

/// A fraction in lowest terms, its denominator positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction(i128, i128);

impl Fraction {
    fn of(above: i128, below: i128) -> Option<Self> {
        let (mut a, mut b) = (above.abs(), below.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        (below != 0).then(|| Self(above / a * below.signum(), below.abs() / a))
    }

    fn sum(terms: &[Self]) -> Self {
        let zero = Self(0, 1);
        terms.iter().fold(zero, |sum, term| sum.plus(*term))
    }

    fn plus(self, other: Self) -> Self {
        Self::of(self.0 * other.1 + other.0 * self.1, self.1 * other.1).unwrap()
    }

    fn minus(self, other: Self) -> Self {
        self.plus(Self(-other.0, other.1))
    }

    fn over(self, other: Self) -> Option<Self> {
        Self::of(self.0 * other.1, self.1 * other.0)
    }

    fn times(self, factor: i128) -> Self {
        Self::of(self.0 * factor, self.1).unwrap()
    }

    fn percent_on(self, before: Self) -> Option<Self> {
        Some(self.minus(before).over(before)?.times(100))
    }

    /// As a decimal of at most six decimals, if it is one.
    fn written(self) -> Option<String> {
        let scaled = self.times(1_000_000);
        (scaled.1 == 1).then(|| {
            let sign = if scaled.0 < 0 { "-" } else { "" };
            let digits = scaled.0.abs();
            format!("{sign}{}.{:06}", digits / 1_000_000, digits % 1_000_000)
        })
    }
}

/// The values of the months in tenths, the last is that of the date at hand.
struct Months<'a>(&'a [i128]);

impl Months<'_> {
    /// The value so many months ago.
    fn at(&self, ago: usize) -> Fraction {
        Fraction::of(self.0[self.0.len() - 1 - ago], 10).unwrap()
    }

    fn mean(&self, months: usize, ago: usize) -> Fraction {
        let values: Vec<_> = (0..months).map(|month| self.at(ago + month)).collect();
        Fraction::sum(&values)
            .over(Fraction(months as i128, 1))
            .unwrap()
    }
}

type Exact = fn(&Months<'_>) -> Option<Fraction>;

fn lowest_mean(months: &Months<'_>) -> Fraction {
    let means = (1..=12).map(|ago| months.mean(3, ago));
    let lower = |a: Fraction, b: Fraction| if a.0 * b.1 <= b.0 * a.1 { a } else { b };
    means.reduce(lower).unwrap()
}

fn mean_of_three(of: impl Fn(usize) -> Option<Fraction>) -> Option<Fraction> {
    Fraction::sum(&[of(0)?, of(1)?, of(2)?]).over(Fraction(3, 1))
}

const QUOTIENTS: &[(&str, Exact)] = &[
    ("M.mean('3mo').yoy()", |m| {
        m.mean(3, 0).percent_on(m.mean(3, 12))
    }),
    (
        "M.mean('3mo') - M.mean('3mo').lowest('12mo', excluding_current)",
        |m| Some(m.mean(3, 0).minus(lowest_mean(m))),
    ),
    ("M.yoy().mean('3mo')", |m| {
        mean_of_three(|ago| m.at(ago).percent_on(m.at(ago + 12)))
    }),
    ("ratio(M.mean('3mo'), M.mean('7mo'))", |m| {
        m.mean(3, 0).over(m.mean(7, 0))
    }),
    ("(M / 3).sum('3mo') * 7", |m| Some(m.mean(3, 0).times(7))),
    ("M.mom().change('1mo')", |m| {
        Some(
            m.at(0)
                .percent_on(m.at(1))?
                .minus(m.at(1).percent_on(m.at(2))?),
        )
    }),
    ("M.mean(3) / (M.mean(6) - M.mean(3))", |m| {
        m.mean(3, 0).over(m.mean(6, 0).minus(m.mean(3, 0)))
    }),
    ("M.mean(3).mom()", |m| m.mean(3, 0).percent_on(m.mean(3, 1))),
    ("M.mean('3mo').previous(1) / M * M", |m| Some(m.mean(3, 1))),
];

fn check_exact(source: &str, exact: Exact, values: &[i128]) -> Result<(), TestCaseError> {
    let tenths = |tenths: &i128| format!("{}.{}", tenths / 10, tenths % 10);
    let text = values.iter().map(tenths).collect::<Vec<_>>().join(" ");
    let mut store = months("M", "2020-01-01", &text);
    let at = super::date("2020-01-01") + chrono::Months::new(values.len() as u32 - 1);
    let exact = exact(&Months(values));
    let equal = exact.and_then(Fraction::written);
    for threshold in equal.iter().map(String::as_str).chain(["-20", "0.5"]) {
        let scaled: i128 = threshold.replace('.', "").parse().unwrap();
        let decimals = threshold
            .split_once('.')
            .map_or(0, |(_, after)| after.len());
        let bound = Fraction::of(scaled, 10_i128.pow(decimals as u32)).unwrap();
        let order = exact.map(|exact| (exact.0 * bound.1).cmp(&(bound.0 * exact.1)));
        for (sign, holds) in [
            ("<", order.map(std::cmp::Ordering::is_lt)),
            ("<=", order.map(std::cmp::Ordering::is_le)),
            (">", order.map(std::cmp::Ordering::is_gt)),
            (">=", order.map(std::cmp::Ordering::is_ge)),
            ("==", order.map(std::cmp::Ordering::is_eq)),
            ("!=", order.map(std::cmp::Ordering::is_ne)),
        ] {
            let condition = format!("{source} {sign} {threshold}").replace('\'', "\"");
            let decided = truth(&mut store, &condition, &at.to_string());
            prop_assert_eq!(decided, holds, "{} over {}", condition, text);
        }
    }
    Ok(())
}

#[test]
fn a_fall_of_exactly_a_fifth_is_one() {
    // From 10/3 to 8/3, neither of which is a decimal.
    let mut values = [10; 18];
    values[3..6].copy_from_slice(&[35, 30, 35]);
    values[15..].copy_from_slice(&[28, 24, 28]);
    let (source, exact) = QUOTIENTS[0];
    assert_eq!(exact(&Months(&values)), Some(Fraction(-20, 1)));
    check_exact(source, exact, &values).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Small numbers, so that both sides are often equal.
    #[test]
    fn conditions_over_quotients_are_exact(values in prop::collection::vec(1..12i128, 18)) {
        for (source, exact) in QUOTIENTS {
            check_exact(source, *exact, &values)?;
        }
    }
}
