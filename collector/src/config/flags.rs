use clap::Parser;
use service::config::{CommonFlags, ServiceFlags};

/// The flags of a collector.
#[derive(Debug, Clone, Default, Parser)]
pub struct Flags {
    /// Those that every service has.
    #[command(flatten)]
    pub common: CommonFlags,
    /// Series to collect, such as UNRATE,VIXCLS.
    #[arg(long, value_name = "IDS")]
    pub series: Option<String>,
    /// How far back first collections reach: 24mo, a date, or all.
    #[arg(long, value_name = "BACKFILL")]
    pub backfill: Option<String>,
}

impl ServiceFlags for Flags {
    fn common(&self) -> &CommonFlags {
        &self.common
    }

    fn own(&self) -> Vec<(&'static str, Option<&str>)> {
        vec![
            ("--series", self.series.as_deref()),
            ("--backfill", self.backfill.as_deref()),
        ]
    }
}
