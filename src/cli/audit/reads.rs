//! `lakegate audit reads`: the sums of reads, asked of the running gateway.

use std::fmt::Write as _;
use std::process::ExitCode;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::admin::ReadsPage;
use crate::audit::rollup::Total;

use super::super::ask::Running;
use super::super::past::Span;
use super::super::text::{clean, grid, note, print, size};

/// Sum up reads by principal, key, repository, reference and operation, the most bytes first
#[derive(Debug, Default, clap::Args)]
pub(super) struct Reads {
    /// Only of this repository
    #[arg(long, alias = "repository", value_name = "NAME")]
    repo: Option<String>,
    /// Only of this branch, tag or commit, as it was named
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Only by this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only by this access key
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    #[command(flatten)]
    span: Span,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

impl Reads {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let page: ReadsPage = self.running.get(&self.target())?;
        match (self.json, page.reads.as_slice()) {
            (true, reads) => {
                for total in reads {
                    print(&format!("{}\n", serde_json::to_string(total)?))?;
                }
            }
            (false, []) => note("no reads")?,
            (false, reads) => print(&grid(HEAD, reads.iter().map(row)))?,
        }
        if page.more {
            note("there are more: see them with --limit")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn target(&self) -> String {
        let time = |time: Option<crate::store::Timestamp>| time.map(|time| time.0.to_string());
        let pairs = [
            ("repository", self.repo.clone()),
            ("reference", self.branch.clone()),
            ("principal", self.user.clone()),
            ("key", self.key.clone()),
            ("since", time(self.span.since)),
            ("until", time(self.span.until)),
        ];
        let mut target = format!("/audit/reads?limit={}", self.limit);
        for (name, value) in pairs {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                let _ = write!(target, "&{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC));
            }
        }
        target
    }
}

const HEAD: [&str; 10] = [
    "PRINCIPAL",
    "KEY",
    "REPOSITORY",
    "REFERENCE",
    "OPERATION",
    "BYTES",
    "COUNT",
    "SIZE",
    "FIRST HOUR",
    "LAST HOUR",
];

fn row(total: &Total) -> [String; 10] {
    let sum = &total.sum;
    let or = |text: &str| if text.is_empty() { "-".to_owned() } else { clean(text) };
    [
        or(&sum.principal),
        or(sum.key.as_deref().unwrap_or_default()),
        or(&sum.repository),
        or(&sum.reference),
        sum.operation.clone(),
        if sum.granted { "granted" } else { "served" }.to_owned(),
        sum.count.to_string(),
        size(sum.bytes),
        sum.hour.to_string(),
        total.last_hour.to_string(),
    ]
}
