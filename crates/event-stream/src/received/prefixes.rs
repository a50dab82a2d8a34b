//! Where messages begin and end in what a client sends: each has a prefix of five bytes, a flag and
//! its length.

/// Bytes of a prefix.
const PREFIX_BYTES: usize = 5;

/// A place among the messages of a call.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    prefix: [u8; PREFIX_BYTES],
    /// How many bytes of the prefix are there.
    prefix_read: usize,
    /// Length of the message that is under way; 0 within a prefix.
    length: usize,
    /// How much of it is still to come.
    missing: usize,
}

/// What comes to pass as bytes go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A message of this length begins.
    Begin(usize),
    /// A message is complete.
    Complete,
}

impl Prefixes {
    /// Takes from `bytes` up to where the next thing comes to pass; `None` once all are taken.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Seen> {
        if self.prefix_read == PREFIX_BYTES {
            let taken = self.missing.min(bytes.len());
            *bytes = &bytes[taken..];
            self.missing -= taken;
            if self.missing > 0 {
                return None;
            }
            *self = Self::default();
            return Some(Seen::Complete);
        }
        while let Some((first, rest)) = bytes.split_first() {
            *bytes = rest;
            self.prefix[self.prefix_read] = *first;
            self.prefix_read += 1;
            if self.prefix_read == PREFIX_BYTES {
                let [_, length @ ..] = self.prefix;
                // Where it does not fit, it is too long whatever the limit.
                self.length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.missing = self.length;
                return Some(Seen::Begin(self.length));
            }
        }
        None
    }

    /// Whether nothing of a message is there.
    pub(super) fn is_between(&self) -> bool {
        self.prefix_read == 0
    }

    /// Length of the message that is under way, as far as that is known.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(chunks: &[&[u8]]) -> (Vec<Seen>, Prefixes) {
        let mut prefixes = Prefixes::default();
        let mut all = Vec::new();
        for chunk in chunks {
            let mut bytes = *chunk;
            while let Some(seen) = prefixes.next(&mut bytes) {
                all.push(seen);
            }
            assert!(bytes.is_empty());
        }
        (all, prefixes)
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let sent = [0, 0, 0, 0, 2, 7, 7, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9];
        let expected = [
            Seen::Begin(2),
            Seen::Complete,
            Seen::Begin(0),
            Seen::Complete,
            Seen::Begin(256),
        ];
        for size in 1..=sent.len() {
            let chunks: Vec<_> = sent.chunks(size).collect();
            let (all, prefixes) = seen(&chunks);
            assert_eq!(all, expected, "{size}");
            assert!(!prefixes.is_between());
            assert_eq!(prefixes.length(), 256);
        }
        let (_, prefixes) = seen(&[&sent[..12]]);
        assert!(prefixes.is_between());
        let (_, prefixes) = seen(&[&sent[..3]]);
        assert!(!prefixes.is_between());
    }
}
