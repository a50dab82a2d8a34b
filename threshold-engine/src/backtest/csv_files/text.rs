use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

/// So much of a file decides how its fields are separated; its first two lines must be within it.
const SAMPLE_BYTES: u64 = 1024 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;
/// A record of more is none. The reader reads a chunk ahead.
const RECORD_BYTES_MAX: u64 = 1024 * 1024;
/// The first that fits is taken: a comma is also a decimal comma and stands in titles.
const SEPARATORS: [u8; 4] = [b'\t', b';', b'|', b','];

/// How the characters of a file are stored, and how its fields are separated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    encoding: Encoding,
    pub(super) separator: u8,
    /// The first line says the separator ("sep=;"), as spreadsheets write it.
    skips_first_line: bool,
}

#[derive(Clone, Copy, Debug)]
enum Encoding {
    /// With so many bytes of a byte order mark.
    Utf8 {
        mark: u64,
    },
    Utf16 {
        mark: u64,
        little: bool,
    },
}

impl Form {
    pub(super) fn of(file: &mut File) -> io::Result<Self> {
        let encoding = encoding(file)?;
        let mut sample = String::new();
        let mut bytes = Vec::new();
        characters(file, encoding)?
            .take(SAMPLE_BYTES)
            .read_to_end(&mut bytes)?;
        // The last character may be cut.
        sample.push_str(&String::from_utf8_lossy(&bytes));
        let first = sample.lines().next().unwrap_or_default().trim();
        let said = first.strip_prefix("sep=").map(str::as_bytes);
        if let Some([separator]) = said {
            let (separator, skips_first_line) = (*separator, true);
            return Ok(Self {
                encoding,
                separator,
                skips_first_line,
            });
        }
        let separator = separator(&sample);
        Ok(Self {
            encoding,
            separator,
            skips_first_line: false,
        })
    }

    /// The file from its start, as records. Its header is a record like any other.
    ///
    /// `read` counts the bytes that were taken since it was set to 0: a record is refused that has too
    /// many, since a quote that is never closed would make the rest of the file one field.
    pub(super) fn records<'a>(
        self,
        file: &'a mut File,
        read: &Rc<Cell<u64>>,
    ) -> io::Result<csv::Reader<impl Read + use<'a>>> {
        let mut text = Bounded {
            inner: characters(file, self.encoding)?,
            read: Rc::clone(read),
        };
        if self.skips_first_line {
            let mut byte = [0];
            while text.read(&mut byte)? == 1 && byte[0] != b'\n' {}
        }
        Ok(csv::ReaderBuilder::new()
            .delimiter(self.separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(text))
    }

    /// How many lines precede the first record.
    pub(super) fn lines_before(self) -> u64 {
        u64::from(self.skips_first_line)
    }
}

fn encoding(file: &mut File) -> io::Result<Encoding> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(4).read_to_end(&mut head)?;
    Ok(match head[..] {
        [0xef, 0xbb, 0xbf, ..] => Encoding::Utf8 { mark: 3 },
        [0xff, 0xfe, ..] => Encoding::Utf16 {
            mark: 2,
            little: true,
        },
        [0xfe, 0xff, ..] => Encoding::Utf16 {
            mark: 2,
            little: false,
        },
        [a, 0, b, 0] if a != 0 && b != 0 => Encoding::Utf16 {
            mark: 0,
            little: true,
        },
        [0, a, 0, b] if a != 0 && b != 0 => Encoding::Utf16 {
            mark: 0,
            little: false,
        },
        _ => Encoding::Utf8 { mark: 0 },
    })
}

/// The separator by which the first two lines have the same number of fields, more than one.
fn separator(sample: &str) -> u8 {
    let fits = |separator: &u8| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(*separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(sample.as_bytes());
        let mut records = reader.records().map_while(Result::ok);
        let header = records.next().map_or(0, |record| record.len());
        let fits = |first: csv::StringRecord| first.len() == header || is_numbered(header, &first);
        header > 1 && records.next().is_none_or(fits)
    };
    SEPARATORS.into_iter().find(fits).unwrap_or(b',')
}

/// Whether the header lacks a name for the numbers of the rows, as R's `write.table` leaves it.
pub(super) fn is_numbered(header: usize, first: &csv::StringRecord) -> bool {
    let number = first
        .get(0)
        .is_some_and(|field| field.trim().parse::<u64>().is_ok());
    first.len() == header + 1 && number
}

/// Ends where a record has too many bytes.
struct Bounded<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.get() > RECORD_BYTES_MAX {
            return Err(invalid(
                "has a record of more than 1 MiB; a quote that opens a field may not be closed",
            ));
        }
        let read = self.inner.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

fn characters(file: &mut File, encoding: Encoding) -> io::Result<BufReader<Characters<'_>>> {
    let (mark, little) = match encoding {
        Encoding::Utf8 { mark } => (mark, None),
        Encoding::Utf16 { mark, little } => (mark, Some(little)),
    };
    file.seek(SeekFrom::Start(mark))?;
    let characters = Characters {
        file,
        little,
        ready: Cursor::default(),
        lead: None,
    };
    Ok(BufReader::with_capacity(CHUNK_BYTES, characters))
}

/// A file as UTF-8, a chunk at a time.
struct Characters<'a> {
    file: &'a mut File,
    /// Of UTF-16: whether the low byte of a unit comes first.
    little: Option<bool>,
    /// Characters that were not read yet.
    ready: Cursor<Vec<u8>>,
    /// First half of a surrogate pair whose second half is in the next chunk.
    lead: Option<u16>,
}

impl Read for Characters<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(little) = self.little else {
            let read = self.file.read(buffer)?;
            if buffer[..read].contains(&0) {
                return Err(invalid("holds zero bytes; save it as CSV in UTF-8"));
            }
            return Ok(read);
        };
        let read = self.ready.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        self.fill(little)?;
        self.ready.read(buffer)
    }
}

impl Characters<'_> {
    fn fill(&mut self, little: bool) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.file.take(CHUNK_BYTES as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() && self.lead.is_none() {
            return Ok(());
        }
        if !bytes.len().is_multiple_of(2) {
            return Err(invalid("ends within a character of UTF-16"));
        }
        let at_end = bytes.len() < CHUNK_BYTES;
        let units = bytes.chunks_exact(2).map(|pair| match little {
            true => u16::from_le_bytes([pair[0], pair[1]]),
            false => u16::from_be_bytes([pair[0], pair[1]]),
        });
        let mut units: Vec<u16> = self.lead.take().into_iter().chain(units).collect();
        if !at_end {
            self.lead = units.pop_if(|unit| (0xd800..0xdc00).contains(unit));
        }
        let text = String::from_utf16(&units).map_err(|_| invalid("is no valid UTF-16"))?;
        self.ready = Cursor::new(text.into_bytes());
        Ok(())
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
