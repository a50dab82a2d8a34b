//! Files of tokens and certificates.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// What such a file has at the most.
const BYTES_MAX: u64 = 1024 * 1024;

/// Reads a file, if it is one of plain bytes: a pipe would wait for a writer, a device never end.
///
/// # Errors
/// Those of the system, or that it is no plain file, or of more than 1 MiB.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(io::Error::other("it has more than 1 MiB")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use test_support::Folder;

    use super::*;

    #[test]
    fn what_is_no_plain_file_is_not_waited_for() {
        let folder = Folder::create();
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains("no plain file"), "{error}");
        }
        let file = folder.path().join("file");
        for (bytes, is_read) in [(BYTES_MAX, true), (BYTES_MAX + 1, false)] {
            std::fs::write(&file, vec![b'x'; bytes as usize]).unwrap();
            assert_eq!(read(&file).is_ok(), is_read, "{bytes}");
        }
    }
}
