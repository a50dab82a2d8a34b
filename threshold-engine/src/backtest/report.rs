use std::fmt::Write;

use super::play::{AsKnown, BacktestResult, PatternResult, RegimeResult};
use super::plot::{self, PlotError};
use plotters::style::RGBColor;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}\
h1{font-size:1.6em}h2{font-size:1.2em;margin:2em 0 .2em}code{background:#f3f3f3;padding:.1em .3em;overflow-wrap:anywhere}\
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.15em 1em .15em 0;text-align:left;border-bottom:1px solid #eee;vertical-align:top}\
.quiet{color:#777}svg{max-width:100%;height:auto;display:block}summary{cursor:pointer}\
figure{margin:.6em 0}figcaption{font-size:.85em;padding-left:84px}figcaption span{margin-right:1.6em}\
figcaption i{display:inline-block;width:1.2em;height:.5em;margin-right:.4em}";

/// The result as one page that needs nothing else, with a plot for each pattern.
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
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>{title}</h1><p class=\"quiet\">{} points, {} patterns, {} regimes.</p>",
        result.points,
        result.patterns.len(),
        result.regimes.len()
    )?;
    write_overview(page, result)?;
    for regime in &result.regimes {
        write_regime(page, regime)?;
    }
    let (silent, shown): (Vec<_>, Vec<_>) = result.patterns.iter().partition(|p| is_empty(p));
    for pattern in shown {
        write_pattern(page, pattern)?;
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
    page.write_str("<h2>Without any observation</h2><table><tr><th>Pattern<th>Series")?;
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
    page.write_str("</table>")
}

fn write_overview(page: &mut String, result: &BacktestResult) -> std::fmt::Result {
    page.write_str("<table><tr><th>Pattern<th>Spells<th>Told<th>Last spell<th>Dates without data")?;
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
            "<tr><td><a href=\"#{0}\">{1}</a><td>{2}<td>{3}<td>{last}<td>{4} of {5}",
            escape(&pattern.id),
            escape(&pattern.name),
            pattern.spells.len(),
            pattern.crossings.len(),
            pattern.dates_without_data,
            pattern.evaluated_dates
        )?;
    }
    page.write_str("</table>")
}

fn write_regime(page: &mut String, regime: &RegimeResult) -> std::fmt::Result {
    write!(page, "<h2>{}</h2>", escape(&regime.name))?;
    page.write_str("<table><tr><th>Since<th>From<th>To<th>Patterns<th>")?;
    for transition in &regime.transitions {
        let remark = match (transition.stands, transition.revised) {
            (false, _) => "did not happen after all",
            (true, true) => "after revision",
            (true, false) => "",
        };
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td class=\"quiet\">{remark}",
            transition.since,
            escape(&transition.from),
            escape(&transition.to),
            escape(&transition.triggers.join(", "))
        )?;
    }
    page.write_str("</table>")
}

fn write_pattern(page: &mut String, pattern: &PatternResult) -> std::fmt::Result {
    write!(
        page,
        "<h2 id=\"{0}\">{1} <span class=\"quiet\">{0}</span></h2><p>{2}</p><p><code>{3}</code></p>",
        escape(&pattern.id),
        escape(&pattern.name),
        escape(&pattern.description),
        escape(&pattern.when)
    )?;
    write_plots(page, pattern)?;
    if pattern.crossings.is_empty() {
        return page.write_str("<p class=\"quiet\">Nothing was told.</p>");
    }
    write!(
        page,
        "<details><summary>{} crossings told</summary><table><tr><th>Date<th>Known from<th>What",
        pattern.crossings.len()
    )?;
    for crossing in &pattern.crossings {
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}",
            crossing.date,
            crossing.told_at.date_naive(),
            escape(&crossing.message)
        )?;
    }
    page.write_str("</table></details>")
}

fn write_plots(page: &mut String, pattern: &PatternResult) -> std::fmt::Result {
    let value = plot::value_svg(pattern);
    let has_value = value.is_some();
    if has_value {
        let keys = [
            (plot::VALUE, "value"),
            (plot::THRESHOLD, "threshold"),
            (plot::ACTIVE, "active"),
        ];
        write_figure(page, &keys, value)?;
    }
    for input in &pattern.inputs {
        let title = format!("{}, {}", input.series, input.unit);
        let keys = [(plot::INPUT, title.as_str()), (plot::ACTIVE, "active")];
        match plot::input_svg(pattern, input) {
            Some(svg) => write_figure(page, &keys, Some(svg))?,
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

/// A plot under its legend.
fn write_figure(
    page: &mut String,
    keys: &[(RGBColor, &str)],
    svg: Option<Result<String, PlotError>>,
) -> std::fmt::Result {
    page.write_str("<figure><figcaption>")?;
    for (RGBColor(red, green, blue), name) in keys {
        let name = escape(name);
        write!(
            page,
            "<span><i style=\"background:rgb({red},{green},{blue})\"></i>{name}</span>"
        )?;
    }
    page.write_str("</figcaption>")?;
    match svg {
        Some(Ok(svg)) => page.write_str(&svg)?,
        Some(Err(error)) => write!(page, "<p>Not drawn: {}</p>", escape(&error.to_string()))?,
        None => {}
    }
    page.write_str("</figure>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
