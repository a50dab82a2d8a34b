//! The tokens that the services under attack know.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use access::Secret;
use anyhow::Result;

const ALL: &str = r#"["read", "publish", "admin"]"#;

/// Tokens as clients present them, and the file of their entries.
#[derive(Debug)]
pub(crate) struct Tokens {
    file: PathBuf,
    /// Everything: an attacker that was let in.
    pub(crate) full: Secret,
    /// The healthy client's.
    pub(crate) neighbour: Secret,
    /// What the engine reads the collector's log with.
    pub(crate) engine: Secret,
    /// May publish, 64 KB at a time.
    pub(crate) small: Secret,
    /// May read and publish events of the type `custom:A`, and no others.
    pub(crate) tenant: Secret,
    /// Everything, until [`Tokens::revoke`].
    pub(crate) revocable: Secret,
}

impl Tokens {
    /// Makes tokens, and writes their file into a folder.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let tokens = Self {
            file: folder.join("tokens.toml"),
            full: Secret::generate()?,
            neighbour: Secret::generate()?,
            engine: Secret::generate()?,
            small: Secret::generate()?,
            tenant: Secret::generate()?,
            revocable: Secret::generate()?,
        };
        tokens.admit()?;
        Ok(tokens)
    }

    /// The file of entries.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Lets all of them in.
    pub(crate) fn admit(&self) -> io::Result<()> {
        self.write(true)
    }

    /// Takes one of them out of the file.
    pub(crate) fn revoke(&self) -> io::Result<()> {
        self.write(false)
    }

    fn write(&self, with_revocable: bool) -> io::Result<()> {
        let mut text = String::new();
        let mut entry = |name: &str, secret: &Secret, scopes: &str, more: &str| {
            let hash = secret.hash();
            let _ = writeln!(
                text,
                "[[token]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nscopes = {scopes}\n{more}"
            );
        };
        let both = r#"["read", "publish"]"#;
        entry("full", &self.full, ALL, "");
        entry("neighbour", &self.neighbour, both, "");
        entry("engine", &self.engine, r#"["read"]"#, "");
        let small = "batch_bytes_max = 65536";
        entry("small", &self.small, r#"["publish"]"#, small);
        let tenant = r#"event_types = ["custom:A"]"#;
        entry("tenant", &self.tenant, both, tenant);
        if with_revocable {
            entry("revocable", &self.revocable, ALL, "");
        }
        // Never half a file where the services look.
        let part = self.file.with_extension("part");
        fs::write(&part, text)?;
        fs::rename(part, &self.file)
    }
}
