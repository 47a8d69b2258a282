//! `lakegate uploads`: the ledger of multipart uploads, as the running gateway knows it.

mod render;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::ask::Asked;
use super::text::{json_lines, note, print};
use crate::admin::{Page, ReapPage};
use crate::store::{State, Stats, Timestamp};
use crate::uploads::ReapOutcome;

/// Show the multipart uploads that the running gateway has seen
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true)]
pub(crate) struct Uploads {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lakegate uploads list --state open,abandoned     what may still cost money in the object store
  lakegate uploads list --repository lake --json   one JSON object a line
  lakegate uploads show 0199a1b2-...               all that is known of one; lakeFS's upload id does as well
  lakegate uploads reap --dry-run                  what is abandoned and could be aborted; without --dry-run it is
  lakegate uploads stats                           how many there are in each state

States: intent, open, completing, completed, failed, aborted, abandoned (no sign of life for long), unknown (an answer was lost),
orphaned (an object in the object store that lakeFS did not take).";

#[derive(Debug, Subcommand)]
enum Command {
    /// List uploads, the newest first
    List {
        #[command(flatten)]
        which: Which,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        asked: Asked,
    },
    /// Show all that is known of one upload
    Show {
        /// The record's id, or lakeFS's upload id
        id: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Abort what is abandoned, at lakeFS, now
    Reap {
        /// Only say what would be aborted
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// Sum up all uploads
    Stats {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        asked: Asked,
    },
}

/// Which uploads are meant.
#[derive(Debug, Default, clap::Args)]
struct Which {
    /// Only in these states, separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<State>,
    /// Only of this repository
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Only of this branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
}

impl Which {
    /// As a query, which begins with `?`.
    fn query(&self) -> String {
        let states = self.state.iter().map(|state| ("state", state.as_str()));
        let repository = self.repository.iter().map(|name| ("repository", name.as_str()));
        let branch = self.branch.iter().map(|name| ("branch", name.as_str()));
        let pairs = states.chain(repository).chain(branch);
        pairs.fold("?".to_owned(), |mut query, (name, value)| {
            // Writing to a string cannot fail.
            let _ = write!(query, "{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC));
            query
        })
    }
}

impl Uploads {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let now = Timestamp::now();
        match self.command {
            Command::List { which, limit, asked } => {
                let page: Page = asked.running.get(&format!("/uploads{}limit={limit}", which.query()))?;
                match (asked.json, page.uploads.as_slice()) {
                    (true, uploads) => print(&json_lines(uploads)?)?,
                    (false, []) => note("no uploads")?,
                    (false, uploads) => print(&render::table(uploads, now))?,
                }
                if page.more {
                    note("there are more: see them with --limit")?;
                }
            }
            Command::Show { id, asked } => {
                let id = utf8_percent_encode(&id, NON_ALPHANUMERIC);
                let page: Page = asked.running.get(&format!("/uploads/{id}"))?;
                if asked.json {
                    print(&json_lines(&page.uploads)?)?;
                } else {
                    let shown: Vec<_> = page.uploads.iter().map(|upload| render::card(upload, now)).collect();
                    print(&shown.join("\n"))?;
                }
            }
            Command::Reap { dry_run, asked } => {
                let query = if dry_run { "?dry_run" } else { "" };
                let page: ReapPage = asked.running.post(&format!("/uploads/reap{query}"))?;
                match (asked.json, page.reaped.as_slice()) {
                    (true, reaped) => print(&json_lines(reaped)?)?,
                    (false, []) => note("nothing is abandoned that could be aborted")?,
                    (false, reaped) => print(&render::reaped(reaped, now))?,
                }
                if page.reaped.iter().any(|reaped| reaped.outcome == ReapOutcome::Failed) {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Command::Stats { which, asked } => {
                let stats: Stats = asked.running.get(&format!("/uploads/stats{}", which.query()))?;
                if asked.json {
                    print(&json_lines(&[stats])?)?;
                } else {
                    print(&render::sums(&stats, now))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
