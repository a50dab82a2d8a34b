use clap::Args;
use service::config::{CommonFlags, ServiceFlags};

/// The flags of an alert service.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Those that every service has.
    #[command(flatten)]
    pub common: CommonFlags,
    /// The log to consume, such as http://127.0.0.1:5101; or several, as NAME=URL,NAME=URL.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
}

impl ServiceFlags for Flags {
    fn common(&self) -> &CommonFlags {
        &self.common
    }

    fn own(&self) -> Vec<(&'static str, Option<&str>)> {
        vec![("--source", self.source.as_deref())]
    }
}
