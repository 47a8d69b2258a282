//! `lakegate sandbox`: the lakeFS look-alike as a process of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::types::Period;
use crate::sandbox::{Sandbox, SandboxConfig};

/// Run a small lakeFS look-alike, to try the gateway on
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Keep everything in this folder, and go on with it at the next start; without, all is in memory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The key of the one user
    #[arg(long, value_name = "ID", default_value_t = SandboxConfig::default().access_key_id)]
    access_key_id: String,
    /// And its secret
    #[arg(long, value_name = "SECRET", default_value_t = SandboxConfig::default().secret_access_key)]
    secret_access_key: String,
    /// The name of the one user
    #[arg(long, default_value_t = SandboxConfig::default().user)]
    user: String,
    /// What signs tokens and cookies: lakeFS's auth.encrypt.secret_key
    #[arg(long, value_name = "SECRET", default_value_t = SandboxConfig::default().secret)]
    secret: String,
    /// Start without the user: the first POST to /setup_lakefs makes one
    #[arg(long)]
    not_installed: bool,
    /// How long a commit or merge takes; races between clients come of it
    #[arg(long, value_name = "TIME", default_value = "2ms")]
    commit_time: Period,
}

const EXAMPLES: &str = "\
Examples:
  lakegate sandbox
  lakegate sandbox --listen 127.0.0.1:0 --data ./sandbox-data

Tests queue answers with POST /_sandbox/script and see what arrived with GET /_sandbox/requests (from this machine only).";

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = SandboxConfig {
            listen: self.listen,
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            user: self.user,
            secret: self.secret,
            installed: !self.not_installed,
            data_dir: self.data,
            commit_time: self.commit_time.0,
            scripting: true,
            ..SandboxConfig::default()
        };
        let runtime = tokio::runtime::Runtime::new().context("starting threads")?;
        runtime.block_on(async {
            let sandbox = Sandbox::start(config).await.context("starting the sandbox")?;
            let keys = if self.not_installed {
                "POST /api/v1/setup_lakefs makes the user and tells the keys\n".to_owned()
            } else {
                let (id, secret) = (&self.access_key_id, &self.secret_access_key);
                format!("access key id      {id}\nsecret access key  {secret}\n")
            };
            let said = format!("lakeFS sandbox on {}\n{keys}", sandbox.url());
            std::io::stdout()
                .write_all(said.as_bytes())
                .context("writing to standard output")?;
            wait_for_signal().await.context("waiting for signals")?;
            sandbox.shutdown().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Until SIGINT or SIGTERM.
async fn wait_for_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
