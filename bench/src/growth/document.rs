//! The plots and tables of `performance.md`: what is between a marker that names them and the next end
//! is replaced, all else is left as it was written.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::figures::Figures;
use crate::report::table::{self, number};

const END: &str = "<!-- end -->";
/// The names of what is not a plot.
const SETTINGS: &str = "settings";
const CAPACITY: &str = "capacity";

pub(super) fn update(path: &Path, figures: &Figures) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut parts = vec![(SETTINGS.to_owned(), settings(figures))];
    parts.push((CAPACITY.to_owned(), table::markdown(&capacity(figures))));
    for plot in &figures.plots {
        let (name, title) = (&plot.name, &plot.title);
        let image = format!("![{title}](performance/{name}.svg)\n");
        let cells = table::markdown(&plot.cells());
        parts.push((name.clone(), format!("{image}\n{cells}")));
    }
    let text = parts.iter().try_fold(text, |text, (name, content)| {
        replace(&text, name, content)
            .with_context(|| format!("{} has no place `{}`", path.display(), marker(name)))
    })?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn marker(name: &str) -> String {
    format!("<!-- made by make bench-growth: {name} -->")
}

/// The text with another content behind the marker; `None` if there is no such marker, or no end.
fn replace(text: &str, name: &str, content: &str) -> Option<String> {
    let (before, rest) = text.split_once(&marker(name))?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{}\n\n{content}\n{END}{after}",
        marker(name)
    ))
}

fn settings(figures: &Figures) -> String {
    let line = |line: &String| format!("- {line}\n");
    figures.settings.iter().map(line).collect()
}

/// What an operator may count on, taken from the plots.
fn capacity(figures: &Figures) -> Vec<Vec<String>> {
    let value = |plot: &str, line: usize, x: f64| figures.find(plot)?.at(line, x);
    let rows = [
        (
            "events a second, durable, 8 pipelined publishers",
            value("publishers-pipelined", 0, 8.0),
        ),
        (
            "events a second, durable, one publisher that waits for each",
            value("publishers-waiting", 0, 1.0),
        ),
        (
            "events a second through three collectors on one database",
            value("collectors-rate", 0, 3.0),
        ),
        (
            "deliveries a second to 100 subscribers",
            value("subscribers-rate", 0, 100.0),
        ),
        (
            "deliveries a second to 1,000 subscribers",
            value("subscribers-rate", 0, 1_000.0),
        ),
        (
            "memory of one of 1,000 subscribers, KiB",
            value("subscribers-memory", 0, 1_000.0),
        ),
        (
            "disk of an event of 200 bytes with its indexes, bytes",
            value("stored-disk", 0, 1e7),
        ),
        (
            "events a second that one reader catches up with, of 10 million stored",
            value("stored-rate", 1, 1e7),
        ),
        (
            "seconds to catch up with an hour at 1,000 events a second",
            value("stored-rate", 1, 1e7).map(|rate| 3_600.0 * 1_000.0 / rate),
        ),
    ];
    let mut cells = vec![["what", "measured"].map(str::to_owned).to_vec()];
    for (name, value) in rows {
        cells.extend(value.map(|value| vec![name.to_owned(), number(value)]));
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_markers_changes() {
        let text = format!("a\n{}\nold\n{END}\nb\n{}\nx{END}", marker("p"), marker("q"));
        let expected = format!(
            "a\n{}\n\nnew\n{END}\nb\n{}\nx{END}",
            marker("p"),
            marker("q")
        );
        assert_eq!(replace(&text, "p", "new"), Some(expected));
        assert_eq!(replace(&text, "r", "new"), None);
    }
}
