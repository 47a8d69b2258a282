//! `lakegate check FILE...`: what is wrong with configurations, all at once and before anything starts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::{Config, Listener, Problems, StoreConfig, UpstreamIdentity, load};

/// Check configuration files, and say of each good one what it would do
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// The files. Each is checked by itself, with the environment over it.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  lakegate check lakegate.yaml
  LAKEFS_KEY=x LAKEFS_SECRET=y lakegate check config/*.yaml     references need their variables here too

Exit codes: 0 all are good (there may be warnings on stderr), 64 at least one is not.";

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (mut refused, mut stderr) = (Problems::default(), std::io::stderr());
        for file in &self.files {
            match load(Some(file)) {
                Ok(loaded) => {
                    write!(stderr, "{}", Problems(loaded.warnings)).context("writing to standard error")?;
                    writeln!(std::io::stdout(), "{}", good(file, &loaded.config))
                        .context("writing to standard output")?;
                }
                Err(problems) => refused.0.extend(problems.0),
            }
        }
        if refused.0.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(refused.into())
        }
    }
}

/// What a configuration would do, in a line.
fn good(file: &Path, config: &Config) -> String {
    let shown = |listener: &Listener| {
        let tls = if listener.tls.is_some() { " (TLS)" } else { "" };
        format!("{}{tls}", listener.address)
    };
    let listen: Vec<String> = config.listen.listeners().iter().map(shown).collect();
    let identity = match &config.auth.upstream {
        UpstreamIdentity::Passthrough => "the clients' own credentials",
        UpstreamIdentity::Login(_) => "one stored key pair",
        UpstreamIdentity::Mint(_) => "minted tokens",
    };
    let store = match &config.store {
        StoreConfig::Memory => "in memory".to_owned(),
        StoreConfig::Embedded(embedded) => format!("in {}", embedded.path.display()),
    };
    let rules: Vec<&str> = config.guard.rules.iter().map(|rule| rule.name.as_str()).collect();
    let guarded = if rules.is_empty() {
        "nothing".to_owned()
    } else {
        rules.join(", ")
    };
    format!(
        "{}: good: {} -> {} with {identity}; guarded: {guarded}; ledger {store}; admin on {}",
        file.display(),
        listen.join(", "),
        config.upstream.url,
        config.admin.listen,
    )
}
