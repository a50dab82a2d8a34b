//! Plays history through the very machine that runs live, and shows what would have fired.

mod catalogue;
mod chart;
mod csv_files;
mod play;
mod recessions;
mod report;
mod result;
mod stored_log;
mod write;

pub use catalogue::{Catalogue, CatalogueError};
pub use csv_files::{CsvError, read_folder};
pub use play::{AsKnown, Options, run};
pub use recessions::{RECESSIONS, Recession};
pub use report::html;
pub use result::{
    BacktestResult, EmittedCrossing, EmittedTransition, InputTrace, PatternResult, RegimeResult,
    TracePoint,
};
pub use stored_log::{StoredPoints, Unreadable, read_log};
pub use write::{WriteError, write_all};
