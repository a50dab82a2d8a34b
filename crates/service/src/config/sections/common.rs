use crate::{
    config::{
        DatabaseConfig, EventsConfig, GrpcConfig, Reader, RestConfig, ShutdownConfig,
        TelemetryConfig,
    },
    security::SecurityConfig,
};

/// The settings that every service has. `Debug` shows no secrets.
#[derive(Debug, Clone)]
pub struct CommonConfig {
    /// `[database]`: where everything is kept.
    pub database: DatabaseConfig,
    /// `[rest]`: REST, health and metrics.
    pub rest: RestConfig,
    /// `[grpc]`: streams of the events of the service's log.
    pub grpc: GrpcConfig,
    /// `[events]`: the service's own log.
    pub events: EventsConfig,
    /// `[shutdown]`.
    pub shutdown: ShutdownConfig,
    /// `[telemetry]`: what the process reports about itself.
    pub telemetry: TelemetryConfig,
    /// `[tls]`, `[auth]` and `[security]`: who is let in, and over what.
    pub security: SecurityConfig,
}

/// Where the settings that every service has differ from one service to the next.
#[derive(Debug, Clone, Copy)]
pub struct CommonDefaults {
    /// The schema of its tables and its log.
    pub schema: &'static str,
    /// Port of REST.
    pub rest_port: u16,
    /// Port of gRPC.
    pub grpc_port: u16,
    /// For how many days its events are kept; 0: all.
    pub retention_days: u64,
}

impl CommonConfig {
    /// Reads the settings of a service. Its `own` settings are read, and listed, in the middle; what
    /// `own` returns makes the whole configuration of them.
    pub fn read<C, Complete: FnOnce(Self) -> C>(
        reader: &mut Reader,
        defaults: CommonDefaults,
        own: impl FnOnce(&mut Reader) -> Complete,
    ) -> C {
        let database = DatabaseConfig::read(reader, defaults.schema);
        let rest = RestConfig::read(reader, defaults.rest_port);
        let grpc = GrpcConfig::read(reader, defaults.grpc_port);
        let events = EventsConfig::read(reader, defaults.retention_days);
        let complete = own(reader);
        let addresses = [rest.address, grpc.address];
        complete(Self {
            database,
            rest,
            grpc,
            events,
            shutdown: ShutdownConfig::read(reader),
            telemetry: TelemetryConfig::read(reader),
            security: SecurityConfig::read(reader, addresses),
        })
    }
}

impl AsRef<CommonConfig> for CommonConfig {
    fn as_ref(&self) -> &Self {
        self
    }
}
