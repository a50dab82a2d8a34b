use rust_decimal::Decimal;

/// How tools write that there is no value.
const ABSENT: [&str; 16] = [
    "", ".", "..", "NA", "N/A", "#N/A", "n/a", "n.a.", "NaN", "nan", "NULL", "null", "None",
    "<NA>", "\\N", "ND",
];

/// Which character separates the decimals of a file's numbers. The other one may separate thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Point,
    Comma,
}

/// What the numbers of a file say about its style, each with the first text that says it.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    point: Option<String>,
    comma: Option<String>,
    /// "1.234"
    point_or_thousands: Option<String>,
    /// "1,234"
    comma_or_thousands: Option<String>,
}

pub(super) fn is_absent(text: &str) -> bool {
    ABSENT.contains(&text)
}

impl Evidence {
    /// Takes one number into account.
    pub(super) fn add(&mut self, text: &str) {
        let slot = match style_of(text) {
            Some((Style::Point, true)) => &mut self.point,
            Some((Style::Comma, true)) => &mut self.comma,
            Some((Style::Point, false)) => &mut self.point_or_thousands,
            Some((Style::Comma, false)) => &mut self.comma_or_thousands,
            None => return,
        };
        slot.get_or_insert_with(|| text.to_owned());
    }

    /// The one style in which all numbers are written, or why it is not known.
    pub(super) fn decide(&self, separator: u8) -> Result<Style, String> {
        if let (Some(point), Some(comma)) = (&self.point, &self.comma) {
            let reason = "one has a decimal point, the other a decimal comma; write all alike";
            return Err(format!("{point:?} and {comma:?}: {reason}"));
        }
        if self.point.is_some() {
            return Ok(Style::Point);
        }
        if self.comma.is_some() {
            return Ok(Style::Comma);
        }
        // Where the comma separates fields, a lone point is the decimal point.
        let doubtful = self.comma_or_thousands.as_ref().or(self
            .point_or_thousands
            .as_ref()
            .filter(|_| separator == b';'));
        match doubtful {
            Some(text) => Err(format!(
                "{text:?} may be a thousand or a fraction, and no other number of the file decides it; \
                 write numbers without thousands separators, with a decimal point"
            )),
            None => Ok(Style::Point),
        }
    }
}

/// The style that a number shows, and whether it shows it beyond doubt.
fn style_of(text: &str) -> Option<(Style, bool)> {
    let points = text.matches('.').count();
    let commas = text.matches(',').count();
    match (points, commas) {
        (0, 0) => None,
        (0, 1) => Some((Style::Comma, !is_grouped_once(text, ','))),
        (1, 0) => Some((Style::Point, !is_grouped_once(text, '.'))),
        (0, _) => Some((Style::Point, true)),
        (_, 0) => Some((Style::Comma, true)),
        _ if text.rfind('.') > text.rfind(',') => Some((Style::Point, true)),
        _ => Some((Style::Comma, true)),
    }
}

/// Whether it may be a thousand and more with one separator: "12,345", but not "0,345".
fn is_grouped_once(text: &str, separator: char) -> bool {
    let text = text.trim_start_matches(['-', '+', '\u{2212}']);
    let Some((whole, rest)) = text.split_once(separator) else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    (1..=3).contains(&whole.len())
        && !whole.starts_with('0')
        && rest.len() == 3
        && digits(whole)
        && digits(rest)
}

/// Reads a number exactly. `None`: it is none, or has more digits than a decimal holds.
pub(super) fn parse(text: &str, style: Style) -> Option<Decimal> {
    let text = text
        .strip_prefix('\u{2212}')
        .map_or_else(|| text.to_owned(), |positive| format!("-{positive}"));
    let (decimal, thousands) = match style {
        Style::Point => ('.', ','),
        Style::Comma => (',', '.'),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(text[at + 1..].parse::<i32>().ok()?)),
        None => (text.as_str(), None),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = match mantissa.split_once(decimal) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole = ungrouped(whole, thousands)?;
    let whole = if whole.is_empty() && fraction.is_some_and(|f| !f.is_empty()) {
        "0".to_owned()
    } else {
        whole
    };
    let fraction = fraction.filter(|fraction| !fraction.is_empty());
    let plain = match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{whole}"),
    };
    match exponent {
        None => atlas_events::parse_decimal(&plain),
        Some(exponent) => scaled(&plain, exponent),
    }
}

/// Without separators of thousands, which must stand before every three digits or nowhere.
fn ungrouped(whole: &str, thousands: char) -> Option<String> {
    let is_separator = |c: char| c == thousands || matches!(c, ' ' | '\'' | '\u{a0}' | '\u{202f}');
    if !whole.contains(is_separator) {
        return Some(whole.to_owned());
    }
    let mut groups = whole.split(is_separator);
    let first = groups.next()?;
    let good = (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3);
    good.then(|| whole.replace(is_separator, ""))
}

/// `plain` times ten to the power of `exponent`, written out. Floating point numbers are written so; what is left of a
/// difference of two of them (`5.551115123125783e-17`) has more places than a decimal and is rounded to its last one.
fn scaled(plain: &str, exponent: i32) -> Option<Decimal> {
    let mantissa = atlas_events::parse_decimal(plain)?.normalize();
    let places = i64::from(mantissa.scale()) - i64::from(exponent);
    let surplus = u32::try_from(places - i64::from(Decimal::MAX_SCALE)).unwrap_or(0);
    let scaled = if surplus == 0 {
        Decimal::from_scientific(&format!("{mantissa}e{exponent}")).ok()?
    } else {
        last_places(mantissa.mantissa(), surplus)?
    };
    atlas_events::parse_decimal(&scaled.normalize().to_string())
}

/// `digits` without the last `surplus` of them, in units of the last place of a decimal, rounded half to even.
fn last_places(digits: i128, surplus: u32) -> Option<Decimal> {
    let Some(divisor) = 10_i128.checked_pow(surplus) else {
        return Some(Decimal::ZERO);
    };
    let (quotient, twice) = (digits / divisor, (digits % divisor).abs() * 2);
    let rounds_away = twice > divisor || (twice == divisor && quotient % 2 != 0);
    let units = quotient + if rounds_away { digits.signum() } else { 0 };
    Decimal::try_from_i128_with_scale(units, Decimal::MAX_SCALE).ok()
}
