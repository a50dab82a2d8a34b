use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use sha2::{Digest, Sha256};

use super::{
    EmittedEntry, EmittedImage, EmittedKey, Hash, Image, Manifest, SeriesEntry,
    bytes::{write_signed, write_unsigned},
    part_of,
};
use crate::pattern::Known;
use evaluation::series::Future;

/// In place of a scale: the vintage withdraws.
pub(super) const WITHDRAWN: u8 = u8::MAX;
pub(super) const STANDS: u8 = 1;
pub(super) const HAS_EVENT: u8 = 2;

/// Makes an engine's state to bytes; gives each part away as soon as it is made.
pub(crate) fn encode(image: &Image, mut give: impl FnMut(Hash, Vec<u8>)) -> Manifest {
    let mut parts = Parts { give: &mut give };
    let series = image.series.iter().map(|series| SeriesEntry {
        id: series.id.to_string(),
        parts: parts.vintages(&series.observations.vintages()),
        future: parts.vintages(&series.future),
    });
    let series = series.collect();
    let patterns = image.patterns.iter().map(|emitted| parts.emitted(emitted));
    let patterns = patterns.collect();
    let regimes = image.regimes.iter().map(|emitted| parts.emitted(emitted));
    let regimes = regimes.collect();
    Manifest {
        reached: image.reached,
        series,
        patterns,
        regimes,
    }
}

struct Parts<'a> {
    give: &'a mut dyn FnMut(Hash, Vec<u8>),
}

impl Parts<'_> {
    fn part(&mut self, content: Vec<u8>) -> String {
        let hash: Hash = Sha256::digest(&content).into();
        (self.give)(hash, content);
        hexadecimal(&hash)
    }

    /// Vintages by date.
    fn vintages(&mut self, vintages: &[(NaiveDate, Future)]) -> Vec<String> {
        let parts = vintages.chunk_by(|(one, _), (other, _)| part_of(*one) == part_of(*other));
        let parts = parts.map(|vintages| {
            let mut bytes = Vec::with_capacity(vintages.len() * 12);
            let mut days = Days::default();
            let mut before_us = 0;
            for (date, vintage) in vintages {
                days.write(&mut bytes, *date);
                let known_from_us = vintage.known_from.timestamp_micros();
                write_signed(
                    &mut bytes,
                    i128::from(known_from_us) - i128::from(before_us),
                );
                before_us = known_from_us;
                match vintage.value {
                    Some(value) => {
                        // At most 28.
                        bytes.push(value.scale() as u8);
                        write_signed(&mut bytes, value.mantissa());
                    }
                    None => bytes.push(WITHDRAWN),
                }
            }
            self.part(bytes)
        });
        parts.collect()
    }

    fn emitted<K: EmittedKey>(&mut self, image: &EmittedImage<K>) -> EmittedEntry {
        let mut parts = BTreeMap::<i32, (Vec<u8>, Days)>::new();
        for (key, (event, stands)) in &*image.emitted {
            let (bytes, days) = parts.entry(part_of(key.date())).or_default();
            write_emitted(bytes, days, *key, (*event, *stands));
        }
        let parts = parts.into_values().map(|(bytes, _)| self.part(bytes));
        EmittedEntry {
            id: image.id.clone(),
            version: image.version.clone(),
            parts: parts.collect(),
        }
    }
}

fn write_emitted<K: EmittedKey>(bytes: &mut Vec<u8>, days: &mut Days, key: K, known: Known) {
    let (event, stands) = known;
    days.write(bytes, key.date());
    for number in key.numbers() {
        write_unsigned(bytes, number.into());
    }
    let stands = if stands { STANDS } else { 0 };
    bytes.push(stands | event.map_or(0, |_| HAS_EVENT));
    bytes.extend(event.iter().flat_map(|event| event.to_bytes()));
}

/// Dates that follow on each other.
#[derive(Default)]
struct Days(i32);

impl Days {
    fn write(&mut self, bytes: &mut Vec<u8>, date: NaiveDate) {
        let day = date.num_days_from_ce();
        write_signed(bytes, i128::from(day) - i128::from(self.0));
        self.0 = day;
    }
}

fn hexadecimal(hash: &Hash) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(2 * hash.len());
    for byte in hash {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
