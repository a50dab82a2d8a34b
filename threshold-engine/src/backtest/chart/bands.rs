use std::collections::BTreeSet;
use std::fmt::{self, Write};

use chrono::NaiveDate;

use super::super::report::escape;
use super::super::result::RegimeResult;
use super::scale::TimeScale;
use super::{DATES_HEIGHT, ticks};

const HEIGHT: f64 = 16.0;
const DISTANCE: f64 = 3.0;
/// A state's name needs so many pixels for each of its characters.
const CHAR_WIDTH: f64 = 6.8;
/// Of a chart that is as wide as it gets, and of one on a phone.
const WIDTHS: [f64; 2] = [880.0, 280.0];
/// So many colours there are; of more states the later ones share them.
const COLORS: usize = 8;

/// What the bands of regimes take above a chart.
pub(super) fn height(regimes: &[RegimeResult]) -> f64 {
    regimes.iter().map(|_| HEIGHT + DISTANCE).sum()
}

/// A band for each model: which state held when.
pub(super) fn write(
    out: &mut String,
    regimes: &[RegimeResult],
    time: &TimeScale,
    top: f64,
) -> fmt::Result {
    let mut y = top;
    for regime in regimes {
        write_band(out, regime, time, y)?;
        y += HEIGHT + DISTANCE;
    }
    Ok(())
}

/// The states of a model from a first date on, alone. `None`: it never had one.
pub(in super::super) fn regime_chart(regime: &RegimeResult, last: NaiveDate) -> Option<String> {
    let first = regime.spells.first()?.since;
    let time = TimeScale::new(first, last);
    let full = HEIGHT + DATES_HEIGHT;
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "<svg class=\"plot alone\" width=\"100%\" height=\"{full}\" role=\"img\" aria-label=\"{}\">",
        escape(&regime.name)
    );
    let _ = write_band(&mut out, regime, &time, 0.0);
    let _ = ticks::write(&mut out, &time, (0.0, HEIGHT));
    out += "</svg>";
    Some(out)
}

/// The states that a model was in, each with the class that has its color.
pub(in super::super) fn states(regime: &RegimeResult) -> Vec<(String, &str)> {
    let states: BTreeSet<_> = regime.spells.iter().map(|s| s.state.as_str()).collect();
    let colored = states.into_iter().enumerate();
    let colored = colored.map(|(index, state)| (format!("s{}", index % COLORS), state));
    colored.collect()
}

fn write_band(out: &mut String, regime: &RegimeResult, time: &TimeScale, y: f64) -> fmt::Result {
    let states = states(regime);
    for (index, spell) in regime.spells.iter().enumerate() {
        let until = regime.spells.get(index + 1).map(|next| next.since);
        let Some((x, width)) = time.range(spell.since, until.unwrap_or(time.last())) else {
            continue;
        };
        let color = states.iter().find(|(_, state)| *state == spell.state);
        let color = color.map_or("", |(class, _)| class.as_str());
        let state = escape(&spell.state);
        let end = until.map_or_else(|| "on".to_owned(), |until| format!("to {until}"));
        write!(
            out,
            "<g class=\"band {color}\"><title>{}: {state} from {} {end}</title>\
             <rect x=\"{x:.2}%\" y=\"{y}\" width=\"{width:.2}%\" height=\"{HEIGHT}\"/>",
            escape(&regime.name),
            spell.since
        )?;
        if let Some(class) = label_class(&spell.state, width) {
            let (x, y) = (x + width / 2.0, y + 12.0);
            write!(
                out,
                "<text class=\"{class}\" x=\"{x:.2}%\" y=\"{y}\">{state}</text>"
            )?;
        }
        out.write_str("</g>")?;
    }
    Ok(())
}

/// On which pages a part of a band, so wide in percent, has room for its name.
fn label_class(state: &str, percent: f64) -> Option<&'static str> {
    let chars = u32::try_from(state.chars().count()).ok()?;
    let needed = f64::from(chars) * CHAR_WIDTH + 6.0;
    match WIDTHS.map(|width| width * percent / 100.0 >= needed) {
        [_, true] => Some(""),
        [true, false] => Some("wide"),
        [false, false] => None,
    }
}
