use std::{
    fs,
    path::{Path, PathBuf},
};

use ulid::Ulid;

/// A folder that is gone with its value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, empty.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn create() -> Self {
        let path = std::env::temp_dir().join(format!("atlas-test-{}", Ulid::generate()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, whether it is there or not.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a file, whole at once for those who read it, and gives its path.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn write(&self, name: &str, text: &str) -> String {
        let part = self.0.join(format!("{name}.part"));
        fs::write(&part, text).unwrap();
        fs::rename(&part, self.0.join(name)).unwrap();
        self.file(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
