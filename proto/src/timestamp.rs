use std::fmt;

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `google.protobuf.Timestamp`, with the canonical JSON form (`2024-05-01T12:00:00.250Z`).
///
/// Ours because the JSON mapping of the library at hand writes `+00:00` for `Z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// 0 to 999,999,999, counted forward also before the epoch.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// The instant, or `None` outside the years 1 to 9999 or with nanoseconds out of bounds: what
    /// protobuf calls invalid.
    pub fn to_utc(self) -> Option<DateTime<Utc>> {
        let (first, last) = (-62_135_596_800, 253_402_300_799);
        let nanos = u32::try_from(self.nanos)
            .ok()
            .filter(|n| *n < 1_000_000_000)?;
        if !(first..=last).contains(&self.seconds) {
            return None;
        }
        DateTime::from_timestamp(self.seconds, nanos)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        // chrono represents a leap second as nanoseconds past 999,999,999, which protobuf lacks.
        let nanos = at.timestamp_subsec_nanos().min(999_999_999);
        Self {
            seconds: at.timestamp(),
            nanos: nanos as i32,
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = self
            .to_utc()
            .ok_or_else(|| serde::ser::Error::custom("a timestamp outside the years 1 to 9999"))?;
        let mut text = [0; TEXT_BYTES];
        serializer.serialize_str(write_rfc3339(at.naive_utc(), &mut text))
    }
}

/// `2024-05-01T12:00:00.250000000Z`
const TEXT_BYTES: usize = 30;

/// RFC 3339 with as many digits of the second as are needed, in groups of three. A third of what
/// chrono takes, and events hold several times.
fn write_rfc3339(at: NaiveDateTime, text: &mut [u8; TEXT_BYTES]) -> &str {
    let (date, time) = (at.date(), at.time());
    text.copy_from_slice(b"0000-00-00T00:00:00.000000000Z");
    put_digits(&mut text[0..4], date.year().unsigned_abs());
    put_digits(&mut text[5..7], date.month());
    put_digits(&mut text[8..10], date.day());
    put_digits(&mut text[11..13], time.hour());
    put_digits(&mut text[14..16], time.minute());
    put_digits(&mut text[17..19], time.second());
    let nanos = time.nanosecond() % 1_000_000_000;
    put_digits(&mut text[20..29], nanos);
    let end = match nanos {
        0 => 19,
        _ if nanos % 1_000_000 == 0 => 23,
        _ if nanos % 1_000 == 0 => 26,
        _ => 29,
    };
    text[end] = b'Z';
    std::str::from_utf8(&text[..=end]).unwrap_or_default()
}

fn put_digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rfc3339;
        impl de::Visitor<'_> for Rfc3339 {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2024-05-01T12:00:00Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                let at = DateTime::parse_from_rfc3339(text)
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
                Ok(Timestamp::from(at.to_utc()))
            }
        }
        deserializer.deserialize_str(Rfc3339)
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;

    use super::*;

    #[track_caller]
    fn check(seconds: i64, nanos: i32, json: &str) {
        let timestamp = Timestamp { seconds, nanos };
        assert_eq!(
            serde_json::to_string(&timestamp).unwrap(),
            format!("\"{json}\"")
        );
        assert_eq!(
            serde_json::from_str::<Timestamp>(&format!("\"{json}\"")).unwrap(),
            timestamp
        );
    }

    #[test]
    fn json_is_canonical() {
        check(0, 0, "1970-01-01T00:00:00Z");
        check(1_714_564_800, 250_000_000, "2024-05-01T12:00:00.250Z");
        check(-1, 999_999_000, "1969-12-31T23:59:59.999999Z");
        check(0, 1, "1970-01-01T00:00:00.000000001Z");
        check(-62_135_596_800, 0, "0001-01-01T00:00:00Z");
        check(253_402_300_799, 10, "9999-12-31T23:59:59.000000010Z");
    }

    proptest::proptest! {
        #[test]
        fn times_are_written_as_chrono_writes_them(
            seconds in -62_135_596_800_i64..=253_402_300_799,
            nanos in 0..1_000_i32,
            unit in proptest::sample::select(vec![1_000_000, 1_000, 1]),
        ) {
            let timestamp = Timestamp { seconds, nanos: nanos * unit };
            let expected = timestamp.to_utc().unwrap().to_rfc3339_opts(SecondsFormat::AutoSi, true);
            let written = serde_json::to_value(timestamp).unwrap();
            proptest::prop_assert_eq!(written, expected);
        }
    }

    #[test]
    fn what_protobuf_calls_invalid_is_no_instant() {
        for (seconds, nanos) in [
            (0, -1),
            (0, 1_000_000_000),
            (i64::MAX, 0),
            (253_402_300_800, 0),
        ] {
            assert_eq!(
                Timestamp { seconds, nanos }.to_utc(),
                None,
                "{seconds} {nanos}"
            );
        }
    }
}
