//! `lakegate audit`: who changed what, from the audit log's files; who read what, from the running gateway's sums.

mod changes;
mod reads;

use std::process::ExitCode;

use clap::Subcommand;

/// Tell who changed what, and who read how much
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lakegate audit changes --config lakegate.yaml --repo lake --branch main --since 7d     who changed main
  lakegate audit changes --file audit.jsonl --outcome refused --json                     what was refused, as it stands in the log
  lakegate audit reads --repo lake --since 2026-05-01 --until 2026-06-01                 who read it in May

Changes come from the audit log (audit.file) and those of its files that were rotated away, without the gateway. Reads come from the running
gateway, by the hour; `granted` are those whose bytes passed by it: a presigned URL, a redirect, a physical address. Paths of reads are not kept.";

#[derive(Debug, Subcommand)]
enum Command {
    Changes(changes::Changes),
    Reads(reads::Reads),
}

impl Audit {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Changes(changes) => changes.run(),
            Command::Reads(reads) => reads.run(),
        }
    }
}
