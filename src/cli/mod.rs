//! The command line: one file a command, each with its arguments and its `run`. Errors are printed here, once, with their causes.
//!
//! Exit codes: 0 done, 1 failed, 64 wrong usage or configuration.

mod approve;
mod ask;
mod audit;
mod check;
mod demo;
mod explain;
mod past;
mod policy;
mod replay;
mod report;
mod sandbox;
mod schema;
mod serve;
mod text;
mod undo;
mod uploads;
mod verdict;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Problems;

/// An HTTP gateway in front of lakeFS.
#[derive(Debug, Parser)]
#[command(name = "lakegate", version, about, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One variant a command; the doc comment of its arguments is what `--help` says.
#[derive(Debug, Subcommand)]
enum Command {
    Approve(approve::Approve),
    Audit(audit::Audit),
    Check(check::Check),
    Explain(explain::Explain),
    Sandbox(sandbox::Command),
    Policy(policy::Policy),
    Replay(replay::Replay),
    Report(report::Report),
    Schema(schema::Schema),
    Undo(undo::UndoCommand),
    Uploads(uploads::Uploads),
    Serve(serve::Command),
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Approve(command) => command.run(),
            Self::Audit(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Sandbox(command) => command.run(),
            Self::Explain(command) => command.run(),
            Self::Policy(command) => command.run(),
            Self::Replay(command) => command.run(),
            Self::Report(command) => command.run(),
            Self::Schema(command) => command.run(),
            Self::Undo(command) => command.run(),
            Self::Uploads(command) => command.run(),
            Self::Serve(command) => command.run(),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  lakegate serve --sandbox                  try the gateway in front of a look-alike of lakeFS
  lakegate serve --config lakegate.yaml     run it in front of a real one
  lakegate check lakegate.yaml              what is wrong with a configuration, all at once
  lakegate sandbox                          a small lakeFS look-alike, to try the gateway on
  lakegate explain DELETE /api/v1/repositories/lake/branches/main
                                            what a request is, which rules and limits apply to it, and why
  lakegate audit changes --config lakegate.yaml --repo lake --branch main --since 7d
                                            who changed main; `lakegate audit reads`: who read how much
  lakegate report --config lakegate.yaml --since 7d
                                            what shadow and observe would have refused
  lakegate policy test policy.yaml --config new.yaml
                                            whether rules do what is expected of them
  lakegate replay audit.jsonl --config new.yaml
                                            which requests of the past they would judge differently
  lakegate schema > lakegate.schema.json    the JSON Schema of the configuration, for your editor
  lakegate uploads list --state open        the multipart uploads that the running gateway has seen
  lakegate undo list                        the branches and tags that were deleted or moved; `undo apply` brings one back
  lakegate approve list                     the requests that wait for a second person

`lakegate COMMAND --help` tells more of each.";

/// Wrong usage or configuration (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.command.run().unwrap_or_else(|error| report(&error)),
        Err(error) => {
            // Asked-for help goes to stdout and is no failure. If the terminal is gone there is nobody left to tell.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
        }
    }
}

/// Tells stderr why a command failed, and the shell how.
fn report(error: &anyhow::Error) -> ExitCode {
    let (text, code) = match error.downcast_ref::<Problems>() {
        Some(problems) => (problems.to_string(), ExitCode::from(USAGE)),
        None => (format!("lakegate: {error:#}\n"), ExitCode::FAILURE),
    };
    let _ = std::io::stderr().write_all(text.as_bytes());
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_of_all_commands_are_sound() {
        Cli::command().debug_assert();
    }
}
