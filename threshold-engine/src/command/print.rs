//! What `threshold-engine backtest` prints.

use std::collections::BTreeSet;
use std::io::{self, Write};

use service::{counted, visible};

use crate::backtest::BacktestResult;

/// Crossings and transitions by date, then which patterns had no data, or none that are real, and why.
pub(super) fn print_result(result: &BacktestResult, output: &mut impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    for pattern in &result.patterns {
        let remark = if pattern.has_look_alike() {
            " (look-alike data)"
        } else {
            ""
        };
        for crossing in &pattern.crossings {
            let (date, pattern) = (crossing.date, &crossing.pattern);
            let emitted = format!("{date} {pattern}: {}{remark}", crossing.message);
            lines.push((date, emitted));
        }
    }
    for transition in result.regimes.iter().flat_map(|r| &r.transitions) {
        let fell = if transition.stands {
            ""
        } else {
            " did not happen after all"
        };
        let (since, model) = (transition.since, &transition.model);
        let emitted = format!(
            "{since} {model}: {} to {}{fell}",
            transition.from, transition.to
        );
        lines.push((since, emitted));
    }
    // Those of one date stay as they were emitted.
    lines.sort_by_key(|(date, _)| *date);
    for (_, line) in lines {
        writeln!(output, "{}", visible(&line))?;
    }
    print_remarks(result, output)?;
    let silent = result.patterns.iter().filter(|p| p.crossings.is_empty());
    writeln!(
        output,
        "{}; {}, {} of them silent; {}",
        counted(result.points, "point"),
        counted(result.patterns.len(), "pattern"),
        silent.count(),
        counted(result.regimes.len(), "regime")
    )
}

fn print_remarks(result: &BacktestResult, output: &mut impl Write) -> io::Result<()> {
    for pattern in &result.patterns {
        let absent = pattern.inputs.iter().filter(|input| input.count == 0);
        let absent: Vec<_> = absent.map(|input| input.series.as_str()).collect();
        if !absent.is_empty() {
            let line = format!("{}: no observations of {}", pattern.id, absent.join(", "));
            writeln!(output, "{}", visible(&line))?;
        }
    }
    let inputs = result.patterns.iter().flat_map(|p| &p.inputs);
    let look_alikes = inputs.filter(|input| input.is_look_alike);
    let look_alikes: BTreeSet<_> = look_alikes.map(|input| input.series.as_str()).collect();
    for series in look_alikes {
        let line = format!("{series}: look-alike data; its crossings never happened");
        writeln!(output, "{}", visible(&line))?;
    }
    for failed in &result.failed {
        writeln!(output, "{}", visible(failed))?;
    }
    Ok(())
}
