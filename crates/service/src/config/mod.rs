//! Configuration: one typed struct for each service, read once at start.
//!
//! A value comes from a TOML file, is overridden by the environment, and that by flags. Everything
//! that is wrong is reported at once, with its key and where it came from. A service says with
//! [`Settings`] which names it knows, and asks a [`Reader`] for its `values`; the sections that all
//! services have are read in `sections`. From what is asked for come the reference page
//! ([`Reference`]) and what `--print-config` shows ([`Shown`]). What a setting means is said once, by
//! the comment on the field that holds it.

mod flags;
mod problem;
mod reader;
mod reference;
mod secrets;
mod sections;
mod setting;
mod settings;

pub use flags::{CommonFlags, ServiceFlags};
pub use problem::{ConfigError, Problem};
pub use reader::{Reader, Toml};
pub use reference::Reference;
pub use sections::common::{CommonConfig, CommonDefaults};
pub use sections::consumption::{
    SOURCES_KEY, SourceConfig, read_credentials, read_sources, sources,
};
pub use sections::database::DatabaseConfig;
pub use sections::traces::{TracesConfig, TracesSampler};
pub use sections::{
    EventsConfig, GrpcConfig, LogFormat, RestConfig, ShutdownConfig, TelemetryConfig, small,
};
pub use setting::{Setting, Shown};
pub use settings::{Loaded, Settings, Sources};
