//! Whole numbers of as many bytes as they need, seven bits in each.

/// Why bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) fn write_unsigned(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Small ones of either sign in few bytes.
pub(super) fn write_signed(bytes: &mut Vec<u8>, number: i128) {
    write_unsigned(bytes, ((number << 1) ^ (number >> 127)).cast_unsigned());
}

/// Bytes that are being read.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn unsigned(&mut self) -> Result<u128, Malformed> {
        let mut number = 0_u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if shift > 0 && bits.leading_zeros() < shift {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    pub(super) fn signed(&mut self) -> Result<i128, Malformed> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn small<T: TryFrom<u128>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.unsigned()?).map_err(|_| Malformed)
    }

    pub(super) fn small_signed<T: TryFrom<i128>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.signed()?).map_err(|_| Malformed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(
            signed in any::<i128>(), shift in 0..128_u32, unsigned in any::<u128>()
        ) {
            let (signed, unsigned) = (signed >> shift, unsigned >> shift);
            let mut bytes = Vec::new();
            write_signed(&mut bytes, signed);
            write_unsigned(&mut bytes, unsigned);
            let mut read = Bytes(&bytes);
            prop_assert_eq!(read.signed(), Ok(signed));
            prop_assert_eq!(read.unsigned(), Ok(unsigned));
            prop_assert!(read.is_empty());
            prop_assert_eq!(read.byte(), Err(Malformed));
        }
    }

    #[test]
    fn numbers_that_are_too_large_are_malformed() {
        let bytes = [0xff_u8; 40];
        assert_eq!(Bytes(&bytes).unsigned(), Err(Malformed));
        let mut bytes = [0x80_u8; 19];
        bytes[18] = 0x04;
        assert_eq!(Bytes(&bytes).unsigned(), Err(Malformed));
        bytes[18] = 0x03;
        assert_eq!(Bytes(&bytes).unsigned(), Ok(3 << 126));
    }
}
