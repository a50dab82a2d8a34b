use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::{
    EmittedEntry, EmittedImage, EmittedKey, Hash, Image, Manifest, SeriesImage,
    bytes::{Bytes, Malformed},
    encode::{HAS_EVENT, STANDS, WITHDRAWN},
};
use evaluation::series::Future;

/// Why a snapshot cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damaged {
    #[error("the hash of a part is not a hash")]
    Hash,
    #[error("the hash of a part does not match")]
    Content,
    #[error("the bytes of a part cannot be read")]
    Malformed,
    #[error("parts are missing")]
    Missing,
}

impl From<Malformed> for Damaged {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Makes a state of its parts, which come in the order of [`Decoder::hashes`].
pub(crate) struct Decoder {
    image: Image,
    slots: Vec<Slot>,
    hashes: Vec<Hash>,
    taken: usize,
}

/// What a part belongs to, by its place in the image.
#[derive(Clone, Copy)]
enum Slot {
    Observations(usize),
    Future(usize),
    Pattern(usize),
    Regime(usize),
}

impl Decoder {
    pub(crate) fn new(manifest: Manifest) -> Result<Self, Damaged> {
        let mut decoder = Self {
            image: Image {
                reached: manifest.reached,
                ..Image::default()
            },
            slots: Vec::new(),
            hashes: Vec::new(),
            taken: 0,
        };
        for (index, entry) in manifest.series.into_iter().enumerate() {
            decoder.expect(Slot::Observations(index), &entry.parts)?;
            decoder.expect(Slot::Future(index), &entry.future)?;
            decoder.image.series.push(SeriesImage {
                id: entry.id.into(),
                observations: Arc::default(),
                future: Vec::new(),
            });
        }
        for (index, entry) in manifest.patterns.into_iter().enumerate() {
            decoder.expect(Slot::Pattern(index), &entry.parts)?;
            decoder.image.patterns.push(nothing_emitted(entry));
        }
        for (index, entry) in manifest.regimes.into_iter().enumerate() {
            decoder.expect(Slot::Regime(index), &entry.parts)?;
            decoder.image.regimes.push(nothing_emitted(entry));
        }
        Ok(decoder)
    }

    fn expect(&mut self, slot: Slot, parts: &[String]) -> Result<(), Damaged> {
        for part in parts {
            self.slots.push(slot);
            self.hashes.push(binary(part).ok_or(Damaged::Hash)?);
        }
        Ok(())
    }

    /// Hashes of all parts.
    pub(crate) fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Takes the next part.
    pub(crate) fn take(&mut self, content: &[u8]) -> Result<(), Damaged> {
        let slot = self.slots.get(self.taken).ok_or(Damaged::Missing)?;
        if Sha256::digest(content).as_slice() != self.hashes[self.taken] {
            return Err(Damaged::Content);
        }
        self.taken += 1;
        match *slot {
            Slot::Observations(index) => {
                let observations = Arc::make_mut(&mut self.image.series[index].observations);
                for (date, vintage) in read_vintages(content)? {
                    observations.apply(date, vintage.known_from, vintage.value);
                }
            }
            Slot::Future(index) => {
                let future = &mut self.image.series[index].future;
                future.extend(read_vintages(content)?);
            }
            Slot::Pattern(index) => read_emitted(content, &mut self.image.patterns[index])?,
            Slot::Regime(index) => read_emitted(content, &mut self.image.regimes[index])?,
        }
        Ok(())
    }

    /// The state, of all parts.
    pub(crate) fn finish(self) -> Result<Image, Damaged> {
        match self.taken == self.hashes.len() {
            true => Ok(self.image),
            false => Err(Damaged::Missing),
        }
    }
}

fn nothing_emitted<K>(entry: EmittedEntry) -> EmittedImage<K> {
    EmittedImage {
        id: entry.id,
        version: entry.version,
        emitted: Arc::default(),
    }
}

fn read_vintages(content: &[u8]) -> Result<Vec<(NaiveDate, Future)>, Malformed> {
    let mut bytes = Bytes(content);
    let (mut day, mut known_from_us) = (0, 0);
    let mut vintages = Vec::new();
    while !bytes.is_empty() {
        let date = read_date(&mut bytes, &mut day)?;
        known_from_us = bytes
            .small_signed::<i64>()?
            .checked_add(known_from_us)
            .ok_or(Malformed)?;
        let known_from = DateTime::<Utc>::from_timestamp_micros(known_from_us).ok_or(Malformed)?;
        let value = match bytes.byte()? {
            WITHDRAWN => None,
            scale => {
                let mantissa = bytes.signed()?;
                let value = Decimal::try_from_i128_with_scale(mantissa, scale.into());
                Some(value.map_err(|_| Malformed)?)
            }
        };
        vintages.push((date, Future { known_from, value }));
    }
    Ok(vintages)
}

fn read_emitted<K: EmittedKey>(
    content: &[u8],
    image: &mut EmittedImage<K>,
) -> Result<(), Malformed> {
    let mut bytes = Bytes(content);
    let mut day = 0;
    let emitted = Arc::make_mut(&mut image.emitted);
    while !bytes.is_empty() {
        let date = read_date(&mut bytes, &mut day)?;
        let key = K::of(date, [bytes.small()?, bytes.small()?]).ok_or(Malformed)?;
        let flags = bytes.byte()?;
        let event = match flags & HAS_EVENT {
            0 => None,
            _ => Some(Ulid::from_bytes(bytes.array()?)),
        };
        emitted.insert(key, (event, flags & STANDS != 0));
    }
    Ok(())
}

fn read_date(bytes: &mut Bytes<'_>, day: &mut i32) -> Result<NaiveDate, Malformed> {
    *day = bytes
        .small_signed::<i32>()?
        .checked_add(*day)
        .ok_or(Malformed)?;
    NaiveDate::from_num_days_from_ce_opt(*day).ok_or(Malformed)
}

fn binary(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if text.len() != 2 * hash.len() {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}
