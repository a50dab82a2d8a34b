//! The wire format, read field by field without building anything.

/// How deep messages and groups nest at most: as deep as the decoder goes.
pub(super) const DEPTH_MAX: usize = 100;

/// Bytes that are not a message, or nest too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

impl Malformed {
    pub(super) const DEPTH: Self = Self("recursion limit reached");
    const VARINT: Self = Self("invalid varint");
    const KEY: Self = Self("invalid tag");
    const ENDS: Self = Self("buffer underflow");
    const GROUP: Self = Self("unexpected end group tag");
}

/// A field of a message.
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
}

/// What a field holds.
pub(super) enum Value<'a> {
    Varint(u64),
    /// A text, a message or a packed list.
    Bytes(&'a [u8]),
    /// Of a fixed length, or a group.
    Other,
}

/// The fields of a message, in the order of the wire.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(encoded: &'a [u8]) -> Self {
        Self(encoded)
    }

    /// The next one; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            3 => {
                self.skip_group(number)?;
                Value::Other
            }
            4 => return Err(Malformed::GROUP),
            wire_type => self.value(wire_type)?,
        };
        Ok(Some(Field { number, value }))
    }

    fn key(&mut self) -> Result<(u32, u32), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed::KEY)?;
        match key >> 3 {
            0 => Err(Malformed::KEY),
            number => Ok((number, key & 7)),
        }
    }

    /// A value that is no group.
    fn value(&mut self, wire_type: u32) -> Result<Value<'a>, Malformed> {
        match wire_type {
            0 => self.varint().map(Value::Varint),
            1 => self.take(8).map(|_| Value::Other),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::ENDS)?;
                self.take(length).map(Value::Bytes)
            }
            5 => self.take(4).map(|_| Value::Other),
            _ => Err(Malformed::KEY),
        }
    }

    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(innermost) = open.last() {
            let (number, wire_type) = self.key()?;
            match wire_type {
                3 if open.len() >= DEPTH_MAX => return Err(Malformed::DEPTH),
                3 => open.push(number),
                4 if number == *innermost => drop(open.pop()),
                4 => return Err(Malformed::GROUP),
                wire_type => {
                    self.value(wire_type)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::ENDS)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        // Most are a single byte.
        if let Some((byte @ ..0x80, rest)) = self.0.split_first() {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        let mut number = 0;
        for index in 0..10 {
            let (byte, rest) = self.0.split_first().ok_or(Malformed::VARINT)?;
            self.0 = rest;
            if index == 9 && *byte > 1 {
                return Err(Malformed::VARINT);
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed::VARINT)
    }
}
