//! Configuration: one typed struct for each service, read once at start.
//!
//! A value comes from a TOML file, is overridden by the environment, and that by flags. Everything
//! that is wrong is told at once, with its key and where it came from. A service says with [`Given`]
//! which names it knows and asks a [`Reader`] for its values; the sections that all services have are
//! read here. `Display` of a section is the part of the TOML file that makes the same one, without
//! secrets.

mod connection_string;
mod layers;
mod reader;
mod sections;
mod traces;

pub use layers::Given;
pub use reader::{ConfigError, Problem, Reader};
pub use sections::{
    DatabaseConfig, EventsConfig, GrpcConfig, LogFormat, RestConfig, ShutdownConfig,
    TelemetryConfig, small,
};
pub use traces::TracesConfig;
