use std::fmt::Write;

use service::counted;

use super::chart::{Background, regime_chart, states};
use super::play::AsKnown;
use super::result::{BacktestResult, InputTrace, PatternResult, RegimeResult};

/// The page's own style sheet: it loads nothing.
const STYLE: &str = include_str!("style.css");

/// The page needs neither scripts nor the network, and what a text of a file says gets it none.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The result as one page that needs nothing else, with charts for each pattern.
pub fn html(result: &BacktestResult) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut page, result);
    page
}

fn write_page(page: &mut String, result: &BacktestResult) -> std::fmt::Result {
    let known = match result.as_known {
        AsKnown::Then => "as known then",
        AsKnown::Stored => "as stored",
        AsKnown::Now => "as known now",
    };
    let title = format!("Backtest {} to {}, {known}", result.from, result.to);
    write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta http-equiv=\"content-security-policy\" content=\"{POLICY}\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>{STYLE}</style>\
         <h1>{title}</h1><p class=\"quiet\">{}, {}, {}.</p>",
        counted(result.points, "point"),
        counted(result.patterns.len(), "pattern"),
        counted(result.regimes.len(), "regime")
    )?;
    write_overview(page, result)?;
    for regime in &result.regimes {
        write_regime(page, regime, result)?;
    }
    let (silent, shown): (Vec<_>, Vec<_>) = result.patterns.iter().partition(|p| is_empty(p));
    for pattern in shown {
        write_pattern(page, pattern, result)?;
    }
    write_empty(page, &silent)?;
    page.write_str("</html>\n")
}

/// Nothing was observed of anything that it reads.
fn is_empty(pattern: &PatternResult) -> bool {
    pattern.inputs.iter().all(|input| input.count == 0)
}

fn write_empty(page: &mut String, patterns: &[&PatternResult]) -> std::fmt::Result {
    if patterns.is_empty() {
        return Ok(());
    }
    page.write_str(
        "<h2>Without any observation</h2><div class=\"table\"><table><tr><th>Pattern<th>Series",
    )?;
    for pattern in patterns {
        let series: Vec<_> = pattern.inputs.iter().map(|i| i.series.as_str()).collect();
        write!(
            page,
            "<tr><td>{} <span class=\"quiet\">{}</span><td>{}",
            escape(&pattern.name),
            escape(&pattern.id),
            escape(&series.join(", "))
        )?;
    }
    page.write_str("</table></div>")
}

fn write_overview(page: &mut String, result: &BacktestResult) -> std::fmt::Result {
    page.write_str(
        "<div class=\"table\"><table><tr><th>Pattern<th>Severity<th>Spells<th class=\"wide\">Emitted\
         <th>Last spell<th class=\"wide\">Dates without data",
    )?;
    for pattern in result.patterns.iter().filter(|p| !is_empty(p)) {
        let last = match pattern.spells.last() {
            Some(spell) => match spell.cleared {
                Some(cleared) => format!("{} to {cleared}", spell.entered),
                None => format!("since {}", spell.entered),
            },
            None => "none".into(),
        };
        write!(
            page,
            "<tr><td><a href=\"#{0}\">{1}</a>{2}<td>{3}<td>{4}<td class=\"wide\">{5}\
             <td class=\"date\">{last}<td class=\"wide\">{6} of {7}",
            escape(&pattern.id),
            escape(&pattern.name),
            look_alike_mark(pattern),
            pattern.severity.name(),
            pattern.spells.len(),
            pattern.crossings.len(),
            pattern.dates_without_data,
            pattern.evaluated_dates
        )?;
    }
    page.write_str("</table></div>")
}

/// A crossing of data that only look like the real ones never happened.
fn look_alike_mark(pattern: &PatternResult) -> &'static str {
    if pattern.has_look_alike() {
        " <span class=\"mark\">look-alike data</span>"
    } else {
        ""
    }
}

fn write_regime(
    page: &mut String,
    regime: &RegimeResult,
    result: &BacktestResult,
) -> std::fmt::Result {
    write!(page, "<h2>{}</h2>", escape(&regime.name))?;
    if let Some(chart) = regime_chart(regime, result.to) {
        write_figure(page, &states(regime), &chart)?;
    }
    write!(
        page,
        "<details><summary>{} emitted</summary><div class=\"table\"><table>\
         <tr><th>Since<th>From<th>To<th>Patterns<th>",
        counted(regime.transitions.len(), "transition")
    )?;
    for transition in &regime.transitions {
        let remark = match (transition.stands, transition.revised) {
            (false, _) => "did not happen after all",
            (true, true) => "after revision",
            (true, false) => "",
        };
        write!(
            page,
            "<tr><td class=\"date\">{}<td>{}<td>{}<td>{}<td class=\"quiet\">{remark}",
            transition.since,
            escape(&transition.from),
            escape(&transition.to),
            escape(&transition.triggers.join(", "))
        )?;
    }
    page.write_str("</table></div></details>")
}

fn write_pattern(
    page: &mut String,
    pattern: &PatternResult,
    result: &BacktestResult,
) -> std::fmt::Result {
    write!(
        page,
        "<h2 id=\"{0}\">{1} <span class=\"quiet\">{0}</span> <span class=\"mark {2}\">{2}</span>{3}</h2>\
         <p>{4}</p><p><code>{5}</code></p>",
        escape(&pattern.id),
        escape(&pattern.name),
        pattern.severity.name(),
        look_alike_mark(pattern),
        escape(&pattern.description),
        escape(&pattern.when)
    )?;
    write_charts(page, pattern, result)?;
    if pattern.crossings.is_empty() {
        return page.write_str("<p class=\"quiet\">Nothing was emitted.</p>");
    }
    write!(
        page,
        "<details><summary>{} emitted</summary><div class=\"table\"><table>\
         <tr><th>Date<th>Known from<th>What",
        counted(pattern.crossings.len(), "crossing")
    )?;
    for crossing in &pattern.crossings {
        write!(
            page,
            "<tr><td class=\"date\">{}<td class=\"date\">{}<td>{}",
            crossing.date,
            crossing.emitted_at.date_naive(),
            escape(&crossing.message)
        )?;
    }
    page.write_str("</table></div></details>")
}

fn write_charts(
    page: &mut String,
    pattern: &PatternResult,
    result: &BacktestResult,
) -> std::fmt::Result {
    let behind = Background { result, pattern };
    let mut shades = vec![(pattern.severity.name(), "active")];
    if !result.recessions.is_empty() {
        shades.push(("recession", "recession (USREC)"));
    }
    let value = behind.value_chart();
    let has_value = value.is_some();
    if let Some(value) = value {
        let mut keys = vec![("value", "value"), ("threshold", "threshold")];
        keys.extend(&shades);
        write_figure(page, &keys, &value)?;
    }
    for input in &pattern.inputs {
        let title = title(input);
        match behind.input_chart(input) {
            Some(svg) => {
                let mut keys = vec![("input", title.as_str())];
                keys.extend(&shades);
                write_figure(page, &keys, &svg)?;
            }
            None => write!(
                page,
                "<p class=\"quiet\">{}: no observations.</p>",
                escape(&title)
            )?,
        }
    }
    if !has_value && !pattern.inputs.is_empty() {
        page.write_str(
            "<p class=\"quiet\">There is no value to draw: no data, or no comparison.</p>",
        )?;
    }
    Ok(())
}

/// What an input is: series, title where there is one, unit, and whether it is real.
fn title(input: &InputTrace) -> String {
    let mut title = format!("{}, {}", input.series, input.unit);
    if let Some(of_series) = &input.title {
        title = format!("{}: {of_series}, {}", input.series, input.unit);
    }
    if input.is_look_alike && !title.contains("look-alike") {
        title += " (look-alike data)";
    }
    title
}

/// A chart under its legend.
fn write_figure<T: AsRef<str>>(
    page: &mut String,
    keys: &[(T, &str)],
    svg: &str,
) -> std::fmt::Result {
    page.write_str("<figure><figcaption>")?;
    for (class, name) in keys {
        let (class, name) = (class.as_ref(), escape(name));
        write!(page, "<span><i class=\"{class}\"></i>{name}</span>")?;
    }
    write!(page, "</figcaption>{svg}</figure>")
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
