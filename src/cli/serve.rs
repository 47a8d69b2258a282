//! `lakegate serve`: runs the gateway, in front of a lakeFS or of the in-process sandbox.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;

use super::demo::Demo;
use crate::config::{self, Config};
use crate::observe::logging;
use crate::server::Gateway;

/// Run the gateway
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Command {
    /// The configuration file
    #[arg(long, value_name = "FILE", required_unless_present = "sandbox")]
    config: Option<PathBuf>,
    /// Run on the embedded defaults, in front of a lakeFS look-alike in the same process
    #[arg(long, conflicts_with = "config")]
    sandbox: bool,
}

const EXAMPLES: &str = "\
Examples:
  lakegate serve --sandbox                    try it: nothing else is needed
  lakegate serve --config lakegate.yaml       in front of a real lakeFS

SIGTERM drains and ends; SIGHUP reads the configuration again at once (a changed file is seen by itself within seconds).
Variables such as LAKEGATE__LISTEN=127.0.0.1:9090 lie over the file, and over the defaults of --sandbox.";

/// Threads of the control runtime: health, metrics, the gateway's own calls. The data threads are their own runtimes.
const CONTROL_THREADS: usize = 2;

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = config::load(self.config.as_deref())?;
        logging::init(&loaded.config.log).context("reading log.filter")?;
        for warning in &loaded.warnings {
            tracing::warn!("{}", warning.to_string().trim_end());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()
            .context("starting threads")?;
        let ended = runtime.block_on(self.serve(loaded.config));
        // What still runs by now has been cut already.
        runtime.shutdown_background();
        ended
    }

    async fn serve(self, mut config: Config) -> anyhow::Result<ExitCode> {
        let demo = match self.sandbox {
            true => Some(Demo::start(&mut config).await?),
            false => None,
        };
        let (upstream, socket) = (config.upstream.url.to_string(), config.admin.socket.clone());
        let gateway = Gateway::start(config, self.config.clone()).await?;
        for address in gateway.addresses() {
            tracing::info!(listen = %address, upstream, "serving");
        }
        let admin = gateway.admin_address();
        tracing::info!(listen = %admin, socket = %socket.display(), "administration");
        if let Some(demo) = &demo {
            let Some(address) = gateway.addresses().first() else {
                bail!("there is no address to listen on")
            };
            // The page is a courtesy: without a terminal to read it the gateway serves all the same.
            let _ = std::io::stdout().write_all(demo.page(*address, admin).as_bytes());
        }
        gateway.run(self.config).await.context("waiting for signals")?;
        if let Some(demo) = demo {
            demo.end().await;
        }
        Ok(ExitCode::SUCCESS)
    }
}
