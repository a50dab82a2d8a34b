//! Secrets: as values, or by the files that hold them.

use std::io::Read;

use secrecy::SecretString;

use super::Reader;

/// No password or key is longer.
const BYTES_MAX: u64 = 64 * 1024;

impl Reader {
    /// A secret: a text, or what the file holds that `file_key` names. Shown as `***`. `also` are
    /// further variables that set it, as with [`Reader::also`]; with `_FILE` at their end they name
    /// the file. An empty file counts as none, as an empty variable does.
    pub fn secret(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        also: &[&str],
    ) -> Option<SecretString> {
        self.also(key, also);
        let of_file: Vec<_> = also.iter().map(|name| format!("{name}_FILE")).collect();
        let of_file: Vec<_> = of_file.iter().map(String::as_str).collect();
        self.also(file_key, &of_file);
        let given = self.text(key);
        let masked = given.as_ref().map(|_| "***".into());
        self.asked(key, "secret text", None, masked);
        let file = self.text(file_key);
        self.asked(file_key, "path", None, file.clone().map(Into::into));
        self.describe(file_key, format!("A file that holds `{key}`."));
        match (given, file) {
            (Some(_), Some(_)) => {
                self.refuse(file_key, format!("excludes {key}; give one of the two"));
                None
            }
            (Some(given), None) => Some(SecretString::from(given)),
            (None, Some(path)) => match read_file(&path) {
                Ok(secret) => secret,
                Err(problem) => {
                    self.refuse(file_key, problem);
                    None
                }
            },
            (None, None) => None,
        }
    }
}

/// What a file holds, without the end of its last line.
fn read_file(path: &str) -> Result<Option<SecretString>, String> {
    let unreadable = |error: std::io::Error| format!("\"{path}\" cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let mut bounded = file.take(BYTES_MAX + 1);
    bounded.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("\"{path}\" is larger than {BYTES_MAX} bytes"));
    }
    let secret = text.trim_end_matches(['\r', '\n']);
    Ok((!secret.is_empty()).then(|| SecretString::from(secret)))
}
