//! Which PostgreSQL and which TimescaleDB a database has, and whether a log works with them.

use std::fmt;

use sqlx::PgPool;

use crate::LogError;

/// The oldest release that the log is tried with: older ones lack what its statements need, or
/// compress in ways that nobody has tried.
const TIMESCALEDB_MIN: [u32; 2] = [2, 19];
/// As `server_version_num` has it.
const POSTGRESQL_MIN: i32 = 150_000;

/// Which TimescaleDB a database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edition {
    /// Such as `2.19.3`.
    pub(crate) version: String,
    /// `apache` or `timescale`.
    pub(crate) license: String,
    /// Of PostgreSQL, such as `170011`.
    pub(crate) server: i32,
}

impl Edition {
    /// Asks the database.
    ///
    /// # Errors
    /// [`LogError::Unsupported`] if a release is too old, or [`LogError::Database`].
    pub(crate) async fn read(pool: &PgPool) -> Result<Self, LogError> {
        let edition = sqlx::query_as!(
            Self,
            r#"select extversion as version, current_setting('timescaledb.license') as "license!",
                      current_setting('server_version_num')::int as "server!"
               from pg_extension where extname = 'timescaledb'"#
        )
        .fetch_one(pool)
        .await?;
        edition.check()?;
        Ok(edition)
    }

    /// Compression, and the jobs that do it, are of the community edition.
    pub(crate) fn compresses(&self) -> bool {
        self.license == "timescale"
    }

    /// A version that cannot be read is of a release that is yet to come.
    fn check(&self) -> Result<(), LogError> {
        let mut numbers = self.version.split(['.', '-']).map(str::parse::<u32>);
        let (major, minor) = (numbers.next(), numbers.next());
        if let (Some(Ok(major)), Some(Ok(minor))) = (major, minor)
            && [major, minor] < TIMESCALEDB_MIN
        {
            let [major, minor] = TIMESCALEDB_MIN;
            return Err(LogError::Unsupported {
                product: "TimescaleDB",
                found: self.version.clone(),
                oldest: format!("{major}.{minor}"),
            });
        }
        if self.server < POSTGRESQL_MIN {
            return Err(LogError::Unsupported {
                product: "PostgreSQL",
                found: format!("{}.{}", self.server / 10_000, self.server % 10_000),
                oldest: (POSTGRESQL_MIN / 10_000).to_string(),
            });
        }
        Ok(())
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.license)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(version: &str, license: &str, server: i32) -> Edition {
        Edition {
            version: version.to_owned(),
            license: license.to_owned(),
            server,
        }
    }

    #[test]
    fn only_the_community_edition_compresses() {
        for (license, compresses) in [("timescale", true), ("apache", false), ("", false)] {
            let edition = edition("2.19.3", license, 170_000);
            assert_eq!(edition.compresses(), compresses, "{edition}");
        }
    }

    #[test]
    fn releases_that_are_too_old_are_refused_by_name() {
        for version in ["2.19.0", "2.19.3", "2.20.0-dev", "2.29.2", "3.0.0", "main"] {
            let checked = edition(version, "apache", 150_000).check();
            assert!(checked.is_ok(), "{version}: {checked:?}");
        }
        for version in ["1.7.5", "2.9.3", "2.18.2"] {
            let refused = edition(version, "apache", 170_000).check().unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("TimescaleDB {version} is too old: 2.19 or later is needed")
            );
        }
        let refused = edition("2.19.3", "apache", 140_012).check().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "PostgreSQL 14.12 is too old: 15 or later is needed"
        );
    }
}
