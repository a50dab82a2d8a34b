//! What a batch in JSON would take in memory, found out by reading it without building anything.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Excess, cost::Cost};
use crate::BATCH_EVENTS_MAX;

/// What is known of a batch in JSON that was not built: an event, or an object with several in
/// `events`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonOutline {
    /// How many entries `events` has; `None` where there is no such list.
    pub events: Option<usize>,
    /// The bound that it goes beyond, if it does.
    pub excess: Option<Excess>,
}

/// Looks at a batch in JSON without building it.
///
/// # Errors
/// It is not JSON, or nests too deep; reading it would fail at the same place.
pub fn json_outline(text: &[u8]) -> Result<JsonOutline, serde_json::Error> {
    let mut reading = Reading::default();
    reading.cost.add(text.len());
    let seed = Part {
        reading: &mut reading,
        place: Place::Whole,
    };
    seed.deserialize(&mut serde_json::Deserializer::from_slice(text))?;
    let Reading { events, cost } = reading;
    let too_many = events.is_some_and(|count| count > BATCH_EVENTS_MAX);
    Ok(JsonOutline {
        events,
        excess: match too_many {
            true => Some(Excess::Events),
            false => cost.is_over().then_some(Excess::Memory),
        },
    })
}

#[derive(Default)]
struct Reading {
    events: Option<usize>,
    cost: Cost,
}

/// Where a value stands in a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Whole,
    Events,
    Within,
}

struct Part<'a> {
    reading: &'a mut Reading,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.reading.cost.add_text(text.len());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut count = 0;
        loop {
            let is_beyond = self.place == Place::Events && count >= BATCH_EVENTS_MAX;
            // Of what is refused in any case the rest is counted only.
            let is_there = match is_beyond || self.reading.cost.is_over() {
                true => list.next_element::<IgnoredAny>()?.is_some(),
                false => {
                    let seed = Part {
                        reading: &mut *self.reading,
                        place: Place::Within,
                    };
                    list.next_element_seed(seed)?.is_some()
                }
            };
            if !is_there {
                break;
            }
            count += 1;
        }
        if self.place == Place::Events {
            self.reading.events = Some(count);
        }
        self.reading.cost.add_collection(false, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut count = 0;
        while let Some(is_events) = object.next_key_seed(Key(&mut *self.reading))? {
            let place = match is_events && self.place == Place::Whole {
                true => Place::Events,
                false => Place::Within,
            };
            match self.reading.cost.is_over() && place == Place::Within {
                true => drop(object.next_value::<IgnoredAny>()?),
                false => object.next_value_seed(Part {
                    reading: &mut *self.reading,
                    place,
                })?,
            }
            count += 1;
        }
        self.reading.cost.add_collection(true, count);
        Ok(())
    }
}

/// A name; returns whether it is `events`.
struct Key<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        self.0.cost.add_text(name.len());
        Ok(name == "events")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, events: Option<usize>, excess: Option<Excess>) {
        let outline = json_outline(text.as_bytes()).unwrap();
        assert_eq!(outline, JsonOutline { events, excess });
    }

    fn many(unit: &str, count: usize) -> String {
        vec![unit; count].join(",")
    }

    #[test]
    fn events_are_counted_and_what_they_hold_is_weighed() {
        check("{}", None, None);
        check(r#"{"custom":{"events":[1,2]}}"#, None, None);
        check(r#"{"events":{"events":[1,2]}}"#, None, None);
        for (count, excess) in [(1_000, None), (1_001, Some(Excess::Events))] {
            let text = format!(r#"{{"x":1,"events":[{}]}}"#, many("{}", count));
            check(&text, Some(count), excess);
        }
        for unit in [r#"{"a":1}"#, "[1]", "null", r#"{"a":[{}]}"#] {
            let of = |count| format!(r#"{{"events":[{{"data":[{}]}}]}}"#, many(unit, count));
            check(&of(1_000), Some(1), None);
            check(&of(2_000_000), Some(1), Some(Excess::Memory));
        }
        // Whatever comes before them.
        let before = many("null", 2_000_000);
        let text = format!(r#"{{"a":[{before}],"events":[{}]}}"#, many("{}", 1_001));
        check(&text, Some(1_001), Some(Excess::Events));
    }

    #[test]
    fn what_is_not_json_is_found_where_it_is() {
        for text in ["", "{", r#"{"events":[}"#, "1e999", "\"\u{1}\"", "nul"] {
            let error = json_outline(text.as_bytes()).unwrap_err().to_string();
            let whole = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
            assert_eq!(error, whole.to_string(), "{text}");
        }
        let deep = "[".repeat(200);
        let error = json_outline(deep.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("recursion limit"), "{error}");
    }
}
