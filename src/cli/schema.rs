//! `lakegate schema`: the JSON Schema of the configuration file, for editors.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::schema;

/// Print the JSON Schema of the configuration file
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Schema {}

const EXAMPLES: &str = "\
Examples:
  lakegate schema > lakegate.schema.json

Editors that speak to the YAML language server then check and complete a file that begins with
  # yaml-language-server: $schema=./lakegate.schema.json";

impl Schema {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let text = serde_json::to_string_pretty(&schema()).context("writing the schema as JSON")?;
        writeln!(std::io::stdout(), "{text}").context("writing to standard output")?;
        Ok(ExitCode::SUCCESS)
    }
}
