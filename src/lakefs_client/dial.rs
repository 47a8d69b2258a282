//! Opens connections to lakeFS.

use std::io;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::UpstreamConfig;

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name did not resolve, nobody listens, or the network is down.
    #[error("cannot connect to {to}")]
    Connect {
        /// Host and port.
        to: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It took longer than `upstream.connect_timeout`.
    #[error("connecting to {to} took too long")]
    Timeout {
        /// Host and port.
        to: String,
    },
}

/// An open connection.
pub type Stream = TcpStream;

/// Opens connections to the configured lakeFS.
#[derive(Debug)]
pub struct Dialer {
    config: UpstreamConfig,
}

impl Dialer {
    /// A dialer for the configured server.
    pub fn new(config: &UpstreamConfig) -> Self {
        Self { config: config.clone() }
    }

    /// Opens one connection.
    ///
    /// # Errors
    /// When nobody answers, or too late.
    pub async fn connect(&self) -> Result<Stream, DialError> {
        let to = self.config.url.authority();
        let connecting = TcpStream::connect(&to);
        match timeout(self.config.connect_timeout.0, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(DialError::Connect { to, source }),
            Err(_) => Err(DialError::Timeout { to }),
        }
    }
}
