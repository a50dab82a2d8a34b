use std::fs;
use std::path::Path;

use super::report::html;
use super::result::{BacktestResult, EmittedCrossing, EmittedTransition};
use service::cell;

/// Why results could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// To a file or folder.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// As CSV.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// As JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Writes `crossings.csv`, `spells.csv`, `transitions.csv`, `result.json` and `report.html` into a folder,
/// which is made if need be.
pub fn write_all(result: &BacktestResult, folder: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(folder)?;
    write_crossings(result, &folder.join("crossings.csv"))?;
    write_spells(result, &folder.join("spells.csv"))?;
    write_transitions(result, &folder.join("transitions.csv"))?;
    let json = serde_json::to_vec_pretty(result)?;
    fs::write(folder.join("result.json"), json)?;
    fs::write(folder.join("report.html"), html(result))?;
    Ok(())
}

fn write_crossings(result: &BacktestResult, path: &Path) -> Result<(), WriteError> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record([
        "pattern",
        "date",
        "known_from",
        "direction",
        "turn",
        "stands",
        "value",
        "threshold",
        "message",
    ])?;
    for crossing in result.patterns.iter().flat_map(|p| &p.crossings) {
        writer.write_record(crossing_record(crossing))?;
    }
    writer.flush()?;
    Ok(())
}

fn crossing_record(crossing: &EmittedCrossing) -> [String; 9] {
    let shown = |number: Option<rust_decimal::Decimal>| number.map(|n| n.to_string());
    [
        cell(&crossing.pattern).into_owned(),
        crossing.date.to_string(),
        crossing.emitted_at.to_rfc3339(),
        crossing.direction.name().into(),
        crossing.turn.name().into(),
        crossing.stands.to_string(),
        shown(crossing.value).unwrap_or_default(),
        shown(crossing.threshold).unwrap_or_default(),
        cell(&crossing.message).into_owned(),
    ]
}

fn write_spells(result: &BacktestResult, path: &Path) -> Result<(), WriteError> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(["pattern", "entered", "cleared"])?;
    for pattern in &result.patterns {
        for spell in &pattern.spells {
            let cleared = spell.cleared.map(|date| date.to_string());
            writer.write_record([
                &*cell(&pattern.id),
                &spell.entered.to_string(),
                &cleared.unwrap_or_default(),
            ])?;
        }
    }
    writer.flush()?;
    Ok(())
}

fn write_transitions(result: &BacktestResult, path: &Path) -> Result<(), WriteError> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record([
        "model",
        "since",
        "known_from",
        "from",
        "to",
        "stands",
        "revised",
        "score",
        "patterns",
    ])?;
    for transition in result.regimes.iter().flat_map(|r| &r.transitions) {
        writer.write_record(transition_record(transition))?;
    }
    writer.flush()?;
    Ok(())
}

fn transition_record(transition: &EmittedTransition) -> [String; 9] {
    [
        cell(&transition.model).into_owned(),
        transition.since.to_string(),
        transition.emitted_at.to_rfc3339(),
        cell(&transition.from).into_owned(),
        cell(&transition.to).into_owned(),
        transition.stands.to_string(),
        transition.revised.to_string(),
        transition.score.map(|s| s.to_string()).unwrap_or_default(),
        cell(&transition.triggers.join(" ")).into_owned(),
    ]
}
