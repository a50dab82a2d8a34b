//! How the command line reaches a server.

use std::{error::Error, path::PathBuf, time::Duration};

use access::{CredentialFiles, Credentials, Secret};
use clap::Args;
use http::{Uri, uri::InvalidUri};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::client::failure::Failure;

/// The library closes a connection on which too many small messages lie unread instead of slowing
/// the sender down; how many depends on this window. Its adaptive window would reset it.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Holds a token; flags do not, since everybody on the machine can see them.
const TOKEN_VARIABLE: &str = "ATLAS_TOKEN";

/// Heading of the flags in help texts.
pub(crate) const HEADING: &str = "Connection";

/// A server, and what it asks for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Server {
    /// Where the log is served; https:// for TLS
    #[arg(
        id = "server",
        long = "server",
        global = true,
        env = "ATLAS_SERVER",
        default_value = "http://127.0.0.1:5001"
    )]
    pub(crate) address: String,
    /// File that holds the token to send; the variable ATLAS_TOKEN may hold it instead
    #[arg(long, global = true, value_name = "FILE", env = "ATLAS_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Authorities to trust (PEM) in place of those of the system
    #[arg(long, global = true, value_name = "FILE", env = "ATLAS_CA")]
    ca: Option<PathBuf>,
    /// Certificate to present (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "ATLAS_CERTIFICATE")]
    certificate: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "ATLAS_KEY")]
    key: Option<PathBuf>,
}

/// A connection that sends the token with each call.
pub(crate) type Connection = InterceptedService<Channel, Bearer>;

/// Sends a token with each call.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<AsciiMetadataValue>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Connects to a server such as `http://127.0.0.1:5001` (or without the `http://`).
///
/// # Errors
/// [`Failure::Usage`] for an address or files that cannot be used, [`Failure::Unreachable`].
pub(crate) async fn connect(server: &Server) -> Result<Connection, Failure> {
    let credentials = server.credentials()?;
    let bearer = bearer(&credentials)?;
    let channel = endpoint(server.uri()?, &credentials)?
        .connect()
        .await
        .map_err(|error| Failure::unreachable(&server.address, &error))?;
    Ok(InterceptedService::new(channel, bearer))
}

impl Server {
    /// The address; without a scheme it is `http://`.
    pub(crate) fn uri(&self) -> Result<Uri, Failure> {
        let server = &self.address;
        let address = match server.contains("://") {
            true => server.clone(),
            false => format!("http://{server}"),
        };
        let no_address = |reason: String| {
            Failure::Usage(format!(
                "\"{server}\" is not the address of a server: {reason}"
            ))
        };
        let uri: Uri = address
            .parse()
            .map_err(|error: InvalidUri| no_address(error.to_string()))?;
        match uri.scheme_str() {
            Some("http" | "https") => Ok(uri),
            scheme => Err(no_address(format!(
                "it begins with {}://, not with http:// or https://",
                scheme.unwrap_or_default()
            ))),
        }
    }

    /// What it asks for.
    ///
    /// # Errors
    /// [`Failure::Usage`] for files that cannot be used.
    pub(crate) fn credentials(&self) -> Result<Credentials, Failure> {
        let files = CredentialFiles {
            token: self.token_file.clone(),
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        };
        let mut credentials = files
            .read()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        if credentials.token.is_none() {
            let token = std::env::var(TOKEN_VARIABLE).ok();
            let token = token.filter(|token| !token.trim().is_empty());
            credentials.token = token.map(|token| Secret::new(token.trim().to_owned()));
        }
        Ok(credentials)
    }
}

fn bearer(credentials: &Credentials) -> Result<Bearer, Failure> {
    let Some(token) = &credentials.token else {
        return Ok(Bearer(None));
    };
    let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| Failure::Usage("the token cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

fn endpoint(uri: Uri, credentials: &Credentials) -> Result<Endpoint, Failure> {
    let mut endpoint = Endpoint::from(uri);
    if endpoint.uri().scheme_str() == Some("https") {
        endpoint = endpoint.tls_config(tls(credentials)).map_err(|error| {
            let reason = error.source().map(ToString::to_string).unwrap_or_default();
            Failure::Usage(format!("TLS cannot be used: {error} {reason}"))
        })?;
    }
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20)))
}

fn tls(credentials: &Credentials) -> ClientTlsConfig {
    let tls = match &credentials.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match &credentials.identity {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key.expose())),
        None => tls,
    }
}
