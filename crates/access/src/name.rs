//! Names of certificates' subjects, so that two that differ never look the same.
//!
//! A subject is a sequence of parts, each of attributes. Joined as they are, the single name
//! `admin, O=Ops` would read like two. Here what separates is escaped within values as RFC 4514 says,
//! so that the text of a name can be compared in its place. Its parts stand in the order of the
//! certificate.

use std::{fmt, str::FromStr};

/// Attributes by the number of their type, with the name under which they are written.
const KNOWN: [(&str, &str); 14] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];
/// What stands between values or has a meaning of its own.
const SPECIAL: [char; 7] = [',', '+', '"', '\\', '<', '>', ';'];

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A text.
    Text(String),
    /// Something else, as the certificate encodes it. No entry names it.
    Other(Vec<u8>),
}

/// A type, by its number such as `2.5.4.3`, and the value.
pub type Attribute = (String, Value);

/// The name of a subject. Its text is the same for equal names only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Vec<Vec<Attribute>>);

impl Name {
    /// Of its parts in the order of the certificate. A part of several attributes is a set.
    pub fn new(parts: impl IntoIterator<Item = Vec<Attribute>>) -> Self {
        let sorted = |mut part: Vec<Attribute>| {
            part.sort_unstable();
            part
        };
        Self(parts.into_iter().map(sorted).collect())
    }

    /// Whether it has no part.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            for (index, (number, value)) in part.iter().enumerate() {
                f.write_str(if index > 0 { " + " } else { "" })?;
                let known = KNOWN.iter().find(|(known, _)| known == number);
                write!(f, "{}=", known.map_or(number.as_str(), |(_, name)| name))?;
                match value {
                    Value::Text(text) => write_text(f, text)?,
                    Value::Other(bytes) => {
                        f.write_str("#")?;
                        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (index, c) in text.chars().enumerate() {
        let is_edge = (c == ' ' && (index == 0 || index == last)) || (c == '#' && index == 0);
        if c.is_control() {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).bytes();
            bytes
                .into_iter()
                .try_for_each(|byte| write!(f, "\\{byte:02x}"))?;
        } else if is_edge || SPECIAL.contains(&c) {
            write!(f, "\\{c}")?;
        } else {
            write!(f, "{c}")?;
        }
    }
    Ok(())
}

impl FromStr for Name {
    type Err = String;

    /// Reads what people write: `CN=grafana`, `O=Ops, CN=admin`, also with spaces around the `=` as
    /// OpenSSL prints them.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut rest = text;
        loop {
            let (attribute, separator, behind) = attribute(rest)?;
            part.push(attribute);
            rest = behind;
            if separator != Some('+') {
                parts.push(std::mem::take(&mut part));
            }
            if separator.is_none() {
                return Ok(Self::new(parts));
            }
        }
    }
}

/// An attribute, what separates it from the next, and what is behind that.
fn attribute(text: &str) -> Result<(Attribute, Option<char>, &str), String> {
    let written = text.split([',', '+']).next().unwrap_or_default().trim();
    let without_type = || {
        format!(
            "has no attribute in \"{written}\", such as CN=grafana; within a value write \\, for a \
             comma and \\+ for a plus"
        )
    };
    let (kind, value) = text.split_once('=').ok_or_else(without_type)?;
    let kind = kind.trim();
    if kind.contains([',', '+']) {
        return Err(without_type());
    }
    let number = number_of(kind).ok_or_else(|| {
        let known = KNOWN.map(|(_, name)| name).join(", ");
        format!("names the attribute \"{kind}\"; known are {known}, and numbers such as 2.5.4.3")
    })?;
    let (value, separator, behind) = value_of(value)?;
    Ok(((number, Value::Text(value)), separator, behind))
}

fn number_of(kind: &str) -> Option<String> {
    let is_number = kind.contains('.')
        && kind
            .split('.')
            .all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if is_number {
        return Some(kind.to_owned());
    }
    let known = KNOWN
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(kind));
    known.map(|(number, _)| (*number).to_owned())
}

/// The value up to the next separator, that, and what is behind it.
fn value_of(text: &str) -> Result<(String, Option<char>, &str), String> {
    let text = text.trim_start_matches(' ');
    if text.starts_with('#') {
        return Err("gives a value in hexadecimal, which no certificate is compared with".into());
    }
    let mut bytes = Vec::new();
    // What is behind these is spaces that nobody wrote with a backslash.
    let mut kept = 0;
    let mut chars = text.char_indices();
    let mut end = (None, "");
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | '+' => {
                end = (Some(c), &text[at + 1..]);
                break;
            }
            '\\' => {
                let escaped = &text[at + 1..];
                let hex = escaped
                    .get(..2)
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok());
                match (hex, escaped.chars().next()) {
                    (Some(byte), _) if !escaped.starts_with('+') => {
                        bytes.push(byte);
                        chars.nth(1);
                    }
                    (_, Some(own)) if SPECIAL.contains(&own) || " #=".contains(own) => {
                        bytes.push(own as u8);
                        chars.next();
                    }
                    _ => return Err("has a backslash that escapes nothing".into()),
                }
                kept = bytes.len();
            }
            c if SPECIAL.contains(&c) || c.is_control() => {
                return Err(format!("holds {c:?} within a value; write \\ before it"));
            }
            c => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c != ' ' {
                    kept = bytes.len();
                }
            }
        }
    }
    bytes.truncate(kept);
    let value = String::from_utf8(bytes).map_err(|_| "holds what is not UTF-8".to_owned())?;
    match value.is_empty() {
        true => Err("has an attribute without a value".into()),
        false => Ok((value, end.0, end.1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn one(value: &str) -> Name {
        of(&[&[("2.5.4.3", value)]])
    }

    fn of(parts: &[&[(&str, &str)]]) -> Name {
        let attribute =
            |(kind, value): &(&str, &str)| ((*kind).to_owned(), Value::Text((*value).to_owned()));
        Name::new(
            parts
                .iter()
                .map(|part| part.iter().map(attribute).collect()),
        )
    }

    #[track_caller]
    fn check(written: &str, name: &Name) {
        assert_eq!(written.parse::<Name>().as_ref(), Ok(name), "{written}");
    }

    #[test]
    fn one_name_is_not_two() {
        let forged = one("admin, O=Ops");
        let real = of(&[&[("2.5.4.3", "admin")], &[("2.5.4.10", "Ops")]]);
        assert_eq!(real.to_string(), "CN=admin, O=Ops");
        assert_eq!(forged.to_string(), "CN=admin\\, O=Ops");
        check("CN=admin, O=Ops", &real);
        check("cn = admin,o = Ops ", &real);
        check("CN=admin\\, O=Ops", &forged);
        let set = of(&[&[("2.5.4.3", "admin"), ("2.5.4.10", "Ops")]]);
        check("O=Ops+CN=admin", &set);
        assert_ne!(set.to_string(), real.to_string());
        assert_ne!(one("admin + O=Ops").to_string(), set.to_string());
        let bytes = Name::new([vec![("2.5.4.3".to_owned(), Value::Other(vec![0xab]))]]);
        assert_ne!(bytes.to_string(), one("#ab").to_string());
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for (written, words) in [
            ("CN=Doe, John", "no attribute in \"John\""),
            ("CN=a+b", "no attribute in \"b\""),
            ("grafana", "no attribute in \"grafana\""),
            ("", "no attribute"),
            ("CN=a,", "no attribute"),
            ("CN=", "without a value"),
            ("CN=a, X=b", "the attribute \"X\""),
            ("CN=\"a, b\"", "write \\ before it"),
            ("CN=a;O=b", "write \\ before it"),
            ("CN=a\0", "write \\ before it"),
            ("CN=#0403", "hexadecimal"),
            ("CN=a\\", "escapes nothing"),
            ("CN=a\\ff", "not UTF-8"),
        ] {
            let error = written.parse::<Name>().unwrap_err();
            assert!(error.contains(words), "{written}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(
            parts in vec(vec((0usize..KNOWN.len(), any::<String>()), 1..3), 1..4)
        ) {
            let attribute = |(kind, value): (usize, String)| {
                let value = if value.is_empty() { "x".to_owned() } else { value };
                (KNOWN[kind].0.to_owned(), Value::Text(value))
            };
            let part = |part: Vec<_>| part.into_iter().map(attribute).collect::<Vec<_>>();
            let name = Name::new(parts.into_iter().map(part));
            prop_assert_eq!(name.to_string().parse::<Name>(), Ok(name));
        }
    }
}
