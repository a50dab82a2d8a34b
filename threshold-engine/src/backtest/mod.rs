//! Plays history through the very machine that runs live, and shows what would have fired.

mod csv_files;
mod play;
mod plot;
mod report;
mod stored_log;
mod write;

pub use csv_files::{CsvError, read_folder};
pub use play::{
    AsKnown, BacktestResult, InputTrace, Options, PatternResult, RegimeResult, ToldCrossing,
    ToldTransition, TracePoint, run,
};
pub use report::html;
pub use stored_log::{StoredPoints, Unreadable, read_log};
pub use write::{WriteError, write_all};
