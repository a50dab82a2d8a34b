//! The frame of the pages: escaped text, one style, and the policy that permits nothing else.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// The only style of the pages. Colours follow the preference of the browser.
const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--link:#0a58ca}\
@media(prefers-color-scheme:dark){:root{--link:#7ab7ff}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
a{color:var(--link)}\
code{font:0.9em ui-monospace,monospace;background:var(--soft);padding:.1em .3em;border-radius:.2em}\
h2{border-bottom:1px solid var(--line);margin-top:2.5rem}\
h3{margin:2rem 0 .3rem;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%;margin:.5rem 0;display:block;overflow-x:auto}\
th,td{border:1px solid var(--line);padding:.3rem .5rem;text-align:left;vertical-align:top}\
th{background:var(--soft)}";

/// A page with this title and body. Both are HTML; use [`escaped`] for text.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// The content security policy of the pages: the style above and links, nothing else.
pub(super) fn policy() -> String {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// Text as it is shown, in HTML and in quoted attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

/// A description: text in which backquotes mark code.
pub(super) fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let shown = parts.map(|(index, part)| {
        let part = escaped(part);
        if index % 2 == 1 {
            format!("<code>{part}</code>")
        } else {
            part
        }
    });
    shown.collect()
}

/// Paragraphs of a description; blank lines part them.
pub(super) fn paragraphs(text: &str) -> String {
    let parts = text.split("\n\n").filter(|part| !part.trim().is_empty());
    parts
        .map(|part| format!("<p>{}</p>\n", prose(part)))
        .collect()
}

/// A table with this header and rows of HTML; nothing where there are no rows.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let row = |cell: &str, cells: &[String]| {
        let cells = cells.iter().map(|c| format!("<{cell}>{c}</{cell}>"));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows = rows.iter().map(|cells| row("td", cells));
    let header = row("th", &header.map(str::to_owned));
    format!("<table>\n{header}{}</table>\n", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_backquotes_mark_code() {
        let hostile = "<script>alert(\"1\")</script> & 'x'";
        let safe = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;";
        assert_eq!(escaped(hostile), safe);
        assert_eq!(prose("use `a<b` so"), "use <code>a&lt;b</code> so");
        assert_eq!(paragraphs("a\n\nb"), "<p>a</p>\n<p>b</p>\n");
    }
}
