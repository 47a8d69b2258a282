//! The log's set-up: one subscriber, pretty for people or JSON for machines, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogConfig, LogFormat};

/// Starts logging for the whole process. Later calls (tests) change nothing.
///
/// # Errors
/// When `log.filter` cannot be read.
pub fn init(config: &LogConfig) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A subscriber that is already there stays: tests start several gateways in one process.
    let _ = match config.format {
        LogFormat::Pretty => lines.compact().with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
    };
    Ok(())
}
