//! The two forms in which a database can be named: a URL, and `Host=…;Database=…`.

use url::Url;

/// Makes a `postgres://` URL of either form. The text of an error never holds the password.
pub(crate) fn to_url(text: &str) -> Result<String, String> {
    let url = if text.contains("://") {
        Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?
    } else {
        from_pairs(text)?
    };
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        let scheme = url.scheme();
        return Err(format!(
            "begins with \"{scheme}://\"; give postgres://user:password@host:5432/database"
        ));
    }
    let host_in_query = url.query_pairs().any(|(key, _)| key == "host");
    if url.host_str().is_none_or(str::is_empty) && !host_in_query {
        return Err("names no host".to_owned());
    }
    Ok(url.into())
}

/// The same URL with `***` for the password, for people.
pub(crate) fn masked(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "***".to_owned();
    };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(key, value)| match key.as_ref() {
            "password" => (key.into_owned(), "***".to_owned()),
            _ => (key.into_owned(), value.into_owned()),
        })
        .collect();
    if !pairs.is_empty() {
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.into()
}

fn from_pairs(text: &str) -> Result<Url, String> {
    let refused = |_| "holds a part that fits in no URL".to_owned();
    let mut url = Url::parse("postgres://localhost").map_err(|error| error.to_string())?;
    for (keyword, value) in pairs(text)? {
        let done = match keyword.replace(' ', "").to_ascii_lowercase().as_str() {
            "host" | "server" => url
                .set_host(Some(&value))
                .map_err(|error| error.to_string()),
            "port" => {
                let port = value
                    .parse()
                    .map_err(|_| format!("has the Port \"{value}\", which is no port"))?;
                url.set_port(Some(port)).map_err(refused)
            }
            "database" => {
                url.set_path(&value);
                Ok(())
            }
            "username" | "userid" | "user" => url.set_username(&value).map_err(refused),
            "password" => url.set_password(Some(&value)).map_err(refused),
            "sslmode" => {
                let mode = value.to_ascii_lowercase();
                url.query_pairs_mut().append_pair("sslmode", &mode);
                Ok(())
            }
            _ => Err(format!(
                "holds the keyword \"{keyword}\"; known are Host, Port, Database, Username, \
                 Password and SSL Mode"
            )),
        };
        done?;
    }
    Ok(url)
}

/// Splits `Keyword=value;Keyword='value with ;'`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut rest = text.trim();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        // What stands here may be a password, so it is not repeated.
        let (keyword, after) = rest.split_once('=').ok_or(
            "is neither a URL (postgres://user:password@host:5432/database) nor a connection \
             string (Host=…;Database=…;Username=…;Password=…)",
        )?;
        let after = after.trim_start();
        let (value, remainder) = match after.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let (value, remainder) = after[1..]
                    .split_once(quote)
                    .ok_or("holds a quotation mark that is not closed")?;
                (value, remainder.trim_start().trim_start_matches(';'))
            }
            _ => {
                let (value, remainder) = after.split_once(';').unwrap_or((after, ""));
                (value.trim_end(), remainder)
            }
        };
        pairs.push((keyword.trim().to_owned(), value.to_owned()));
        rest = remainder.trim_start_matches([';', ' ']);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, url: &str) {
        assert_eq!(to_url(text).as_deref(), Ok(url));
    }

    #[track_caller]
    fn check_refused(text: &str, reason: &str) {
        let refusal = to_url(text).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
        assert!(!refusal.contains("s3cret"), "{refusal}");
    }

    #[test]
    fn both_forms_make_a_url() {
        check(
            "postgres://a:b@db:5433/atlas?sslmode=require",
            "postgres://a:b@db:5433/atlas?sslmode=require",
        );
        check(
            "Host=timescaledb;Database=atlas",
            "postgres://timescaledb/atlas",
        );
        check(
            "Server=db; Port=6432;Database=atlas;User Id=me;Password='p;w@/d';SSL Mode=Require;",
            "postgres://me:p%3Bw%40%2Fd@db:6432/atlas?sslmode=require",
        );
    }

    #[test]
    fn what_is_wrong_is_reported_without_the_password() {
        check_refused("mysql://u:s3cret@db/x", "begins with \"mysql://\"");
        check_refused("s3cret", "is neither a URL");
        check_refused("Host=db;Password='s3cret", "not closed");
        check_refused("Password=s3cret;Hots=db", "keyword \"Hots\"");
        check_refused("Password=s3cret;Host=db;Port=x", "Port \"x\"");
        check_refused("postgres:///atlas", "names no host");
    }

    #[test]
    fn a_masked_url_has_no_password() {
        assert_eq!(
            masked("postgres://a:s3cret@db/atlas"),
            "postgres://a:***@db/atlas"
        );
        assert!(!masked("postgres://db/atlas?password=s3cret").contains("s3cret"));
        assert_eq!(masked("postgres://db/atlas"), "postgres://db/atlas");
    }
}
