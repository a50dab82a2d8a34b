use std::path::PathBuf;

use clap::Args;

/// Every setting has a place in the TOML file, a name in the environment (port in section grpc is
/// GRPC__PORT) and can be given as --set grpc.port=8083; flags win over the environment, and that
/// over the file. alert-service.example.toml lists them all.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "ALERT_SERVICE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to serve REST, such as 127.0.0.1:8082.
    #[arg(long, value_name = "ADDRESS")]
    pub rest: Option<String>,
    /// Where to serve gRPC, such as 127.0.0.1:8083.
    #[arg(long, value_name = "ADDRESS")]
    pub grpc: Option<String>,
    /// The log to consume, such as http://127.0.0.1:5101; or several, as NAME=URL,NAME=URL.
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// Any setting by its key.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the configuration, without secrets, and end.
    #[arg(long)]
    pub print_config: bool,
}
