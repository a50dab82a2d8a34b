//! Values by type: each is checked, and its form recorded.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use config::{Value, ValueKind};

use crate::config::{Reader, Toml};

impl Reader {
    /// A text, which is never repeated in a problem.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let text = self.value(key).and_then(|value| match value.kind {
            ValueKind::String(text) => Some(text),
            _ => {
                self.refuse(key, "is to be a text, in quotation marks");
                None
            }
        });
        self.asked(key, "text", None, text.clone().map(Toml::from));
        text
    }

    /// A text, or what holds by default.
    pub fn text_or(&mut self, key: &'static str, default: &str) -> String {
        let text = self.text(key).unwrap_or_else(|| default.to_owned());
        self.asked(
            key,
            "text",
            Some(default.into()),
            Some(text.as_str().into()),
        );
        text
    }

    /// The path of a file or folder.
    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.text(key);
        let shown = path.clone().map(Toml::from);
        self.asked(key, "path", None, shown);
        path.map(PathBuf::from)
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], default: usize) -> T {
        let (default_word, default) = words[default];
        let text = self.text_or(key, default_word);
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let (value, listed) = (Some(text.as_str().into()), known.join(" or "));
        self.asked(key, listed.clone(), Some(default_word.into()), value);
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meant)) => *meant,
            None => {
                self.refuse(key, format!("\"{text}\" is not known; known are {listed}"));
                default
            }
        }
    }

    /// Texts: a list in the file, or one text with commas between them.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let texts = self.value(key).and_then(|value| {
            let texts = listed(value);
            if texts.is_none() {
                self.refuse(key, "is to be a list of texts, such as [\"a\", \"b\"]");
            }
            texts
        });
        self.asked(key, "list of texts", None, texts.clone().map(Toml::from));
        texts
    }

    /// A text, read as what it stands for.
    pub fn parsed<T: FromStr<Err: fmt::Display> + fmt::Display>(
        &mut self,
        key: &'static str,
        default: T,
    ) -> T {
        let default_text = default.to_string();
        let text = self.text_or(key, &default_text);
        text.parse().unwrap_or_else(|error| {
            self.refuse(key, error);
            default
        })
    }

    /// An address to listen at.
    pub fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let text = self.text_or(key, &default.to_string());
        let (default_text, shown) = (default.to_string().into(), text.as_str().into());
        self.asked(key, "IP address and port", Some(default_text), Some(shown));
        text.parse().unwrap_or_else(|_| {
            self.refuse(
                key,
                format!("\"{text}\" is not an IP address and a port, such as {default}"),
            );
            default
        })
    }

    /// Yes or no.
    pub fn switch(&mut self, key: &'static str, default: bool) -> bool {
        let given = self.value(key);
        let on = match given.as_ref().map(|value| &value.kind) {
            None => default,
            Some(ValueKind::Boolean(on)) => *on,
            Some(ValueKind::String(text)) if text == "true" => true,
            Some(ValueKind::String(text)) if text == "false" => false,
            Some(_) => {
                self.refuse(key, "is to be true or false");
                default
            }
        };
        self.asked(key, "true or false", Some(default.into()), Some(on.into()));
        on
    }

    /// A number within bounds.
    pub fn fraction(
        &mut self,
        key: &'static str,
        default: f64,
        bounds: RangeInclusive<f64>,
    ) -> f64 {
        let (least, most) = (bounds.start(), bounds.end());
        let held = self.value(key).map_or(default, |value| {
            let shown = value.to_string();
            let number = value.into_float().ok();
            number.filter(|n| bounds.contains(n)).unwrap_or_else(|| {
                self.refuse(
                    key,
                    format!("{shown} is not a number from {least} to {most}"),
                );
                default
            })
        });
        let form = format!("number from {least} to {most}");
        self.asked(key, form, Some(default.into()), Some(held.into()));
        held
    }

    /// A whole number within bounds.
    pub fn number(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> u64 {
        let number = self.number_if_given(key, bounds.clone());
        let held = number.unwrap_or(default);
        let form = whole_number(&bounds);
        self.asked(key, form, Some(integer(default)), Some(integer(held)));
        held
    }

    /// A whole number within bounds, if it was given and is one.
    pub fn number_if_given(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = self.value(key).and_then(|value| {
            let shown = value.to_string();
            let number = match value.kind {
                ValueKind::Float(_) | ValueKind::Boolean(_) => None,
                _ => value.into_uint().ok(),
            };
            let number = number.filter(|number| bounds.contains(number));
            if number.is_none() {
                let (least, most) = bounds.clone().into_inner();
                let problem = format!("{shown} is not a whole number from {least} to {most}");
                self.refuse(key, problem);
            }
            number
        });
        self.asked(key, whole_number(&bounds), None, number.map(integer));
        number
    }

    /// A number of milliseconds.
    pub fn milliseconds(
        &mut self,
        key: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_millis(self.number(key, default, bounds))
    }

    /// A number of seconds.
    pub fn seconds(
        &mut self,
        key: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.number(key, default, bounds))
    }
}

fn whole_number(bounds: &RangeInclusive<u64>) -> String {
    format!("{} to {}", bounds.start(), bounds.end())
}

/// TOML has no greater numbers; no setting does either.
fn integer(number: u64) -> Toml {
    Toml::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn listed(value: Value) -> Option<Vec<String>> {
    match value.kind {
        ValueKind::String(texts) => {
            let texts = texts.split(',').map(str::trim);
            let texts = texts.filter(|text| !text.is_empty());
            Some(texts.map(str::to_owned).collect())
        }
        ValueKind::Array(entries) => entries
            .into_iter()
            .map(|entry| match entry.kind {
                ValueKind::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}
