//! Plays history through the very machine that runs live, and shows what would have fired.

mod csv_files;
mod play;
mod plot;
mod report;
mod write;

pub use csv_files::{CsvError, read_folder};
pub use play::{
    AsKnown, BacktestResult, Options, PatternResult, RegimeResult, ToldCrossing, ToldTransition,
    TracePoint, run,
};
pub use report::html;
pub use write::{WriteError, write_all};
