//! What is printed: one line for each attack, with the peaks, and what did not hold.

use std::io::{self, Write, stdout};

use anyhow::Result;

use crate::trial::{Attack, Outcome};

const MIB: u64 = 1 << 20;

/// What is printed while attacks are tried.
#[derive(Debug)]
pub(crate) struct Report {
    width: usize,
    tried: usize,
}

/// Prints the attacks that there are.
pub(crate) fn list(attacks: &[Attack]) -> io::Result<()> {
    let width = width(attacks);
    for attack in attacks {
        let part = if attack.quick { "quick" } else { "" };
        writeln!(
            stdout(),
            "{:width$}  {part:5}  {}",
            attack.name,
            attack.about
        )?;
    }
    Ok(())
}

fn width(attacks: &[Attack]) -> usize {
    attacks
        .iter()
        .map(|attack| attack.name.len())
        .max()
        .unwrap_or(0)
}

impl Report {
    /// Prints the head of the table.
    pub(crate) fn begin(attacks: &[Attack]) -> io::Result<Self> {
        let width = width(attacks);
        writeln!(
            stdout(),
            "{:width$}  result    time  |  collector: memory     cpu   fds  |  engine: memory     \
             cpu   fds  |  worst answer beside it",
            "attack"
        )?;
        Ok(Self { width, tried: 0 })
    }

    /// Prints what came of one.
    pub(crate) fn add(&mut self, attack: &Attack, outcome: Result<Outcome>) -> io::Result<()> {
        self.tried += 1;
        let mut out = stdout().lock();
        let width = self.width;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => return writeln!(out, "{:width$}  BROKEN: {error:#}", attack.name),
        };
        let result = if outcome.failures.is_empty() {
            "held"
        } else {
            "FAILED"
        };
        let peaks = outcome.peaks.map(|peak| {
            format!(
                "{:+5} MiB {:6.1}s {:5}",
                peak.growth_bytes() / MIB,
                peak.cpu_seconds,
                peak.descriptors
            )
        });
        let (worst, what) = outcome.neighbour.worst;
        writeln!(
            out,
            "{:width$}  {result:6} {:5.1}s  |    {}  |  {}  |  {:.2}s {what}",
            attack.name,
            outcome.took.as_secs_f64(),
            peaks[0],
            peaks[1],
            worst.as_secs_f64(),
        )?;
        if !outcome.note.is_empty() {
            writeln!(out, "{:width$}    {}", "", outcome.note)?;
        }
        for failure in &outcome.failures {
            writeln!(out, "{:width$}    FAILED: {failure}", "")?;
        }
        out.flush()
    }

    /// Prints the result.
    pub(crate) fn end(&self, failed: usize) -> io::Result<()> {
        let tried = self.tried;
        writeln!(stdout(), "{tried} attacks tried, {failed} succeeded")
    }
}
