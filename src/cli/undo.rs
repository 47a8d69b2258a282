//! `lakegate undo`: the heads that destructive calls have lost, as the running gateway wrote them down, and how to have them back.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::ask::Asked;
use super::text::{ago, clean, grid, json_lines, lines, note, print};
use crate::admin::UndoPage;
use crate::record::{Applied, Shown};
use crate::store::{Outcome, Timestamp, Undo};

/// Show the branches and tags that were deleted or moved, and bring them back
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true)]
pub(crate) struct UndoCommand {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lakegate undo list --repository lake --branch main   what was done to it, the newest first
  lakegate undo show 0199a1b2-...                      who, when, which commit, and what cannot be brought back
  lakegate undo apply 0199a1b2-... --dry-run           what would be done
  lakegate undo apply 0199a1b2-...                     do it; it is written down too, and can itself be undone

Outcomes: pending (on its way), done, failed (lakeFS did not do it), unknown (the answer was lost).
Beyond undo: objects that nobody had committed, and a deleted repository.";

#[derive(Debug, Subcommand)]
enum Command {
    /// List destructive calls, the newest first
    List {
        /// Only in this repository
        #[arg(long, value_name = "NAME")]
        repository: Option<String>,
        /// Only on this branch
        #[arg(long, value_name = "NAME")]
        branch: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        asked: Asked,
    },
    /// Show all that is known of one
    Show {
        /// The record's id
        id: Uuid,
        #[command(flatten)]
        asked: Asked,
    },
    /// Bring back what one has lost
    Apply {
        /// The record's id
        id: Uuid,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Also where the branch or tag has moved since, and so loses where it is now
        #[arg(long)]
        force: bool,
        /// As whom you act, for the record
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        asked: Asked,
    },
}

impl UndoCommand {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let now = Timestamp::now();
        match self.command {
            Command::List {
                repository,
                branch,
                limit,
                asked,
            } => {
                let query = query(&[("repository", repository.as_deref()), ("branch", branch.as_deref())]);
                let page: UndoPage = asked.running.get(&format!("/undo?{query}limit={limit}"))?;
                match (asked.json, page.records.as_slice()) {
                    (true, records) => print(&json_lines(records)?)?,
                    (false, []) => note("no destructive calls")?,
                    (false, records) => print(&table(records, now))?,
                }
                if page.more {
                    note("there are more: see them with --limit")?;
                }
            }
            Command::Show { id, asked } => {
                let shown: Shown = asked.running.get(&format!("/undo/{id}"))?;
                if asked.json {
                    print(&json_lines(&[shown])?)?;
                } else {
                    print(&card(&shown, now))?;
                }
            }
            Command::Apply {
                id,
                dry_run,
                force,
                name,
                asked,
            } => {
                let query = query(&[
                    ("as", name.as_deref()),
                    ("force", force.then_some("true")),
                    ("dry_run", dry_run.then_some("true")),
                ]);
                let applied: Applied = asked.running.post(&format!("/undo/{id}/apply?{query}"))?;
                if asked.json {
                    print(&json_lines(&[applied])?)?;
                } else {
                    print(&said(&applied, dry_run))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is given, as a query that ends with `&`.
fn query(pairs: &[(&str, Option<&str>)]) -> String {
    pairs.iter().fold(String::new(), |mut query, (name, value)| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(query, "{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        query
    })
}

fn table(records: &[Undo], now: Timestamp) -> String {
    let head = ["ID", "WHEN", "OUTCOME", "OPERATION", "PLACE", "WAS AT", "BY"];
    let rows = records.iter().map(|undo| {
        let outcome = match undo.undone_by {
            Some(_) => "undone".to_owned(),
            None => undo.outcome.to_string(),
        };
        [
            undo.id.to_string(),
            ago(now.since(undo.time)),
            outcome,
            undo.operation.clone(),
            clean(&undo.place()),
            // Enough to tell commits apart; all of it is in `show`.
            undo.commit
                .as_deref()
                .map_or_else(|| "-".into(), |commit| commit.chars().take(12).collect()),
            clean(&undo.principal),
        ]
    });
    grid(head, rows)
}

fn card(shown: &Shown, now: Timestamp) -> String {
    let undo = &shown.record;
    let text = |text: &Option<String>| text.as_deref().map(clean);
    let how_sure = if undo.proved { "proved" } else { "only claimed" };
    let pin = undo.pin.as_ref().map(|pin| match pin.made {
        true => clean(&pin.tag),
        false => format!("{} (not made)", clean(&pin.tag)),
    });
    let uncommitted = undo.uncommitted.map(|some| match (some, undo.outcome) {
        (true, Outcome::Failed) => "there were some",
        (true, _) => "lost for good",
        (false, _) => "none",
    });
    let facts = [
        ("id", Some(undo.id.to_string())),
        ("when", Some(format!("{} ({})", undo.time, ago(now.since(undo.time))))),
        ("outcome", Some(undo.outcome.to_string())),
        ("operation", Some(undo.operation.clone())),
        (
            "dangers",
            Some(undo.dangers.join(", ")).filter(|dangers| !dangers.is_empty()),
        ),
        ("place", Some(clean(&undo.place()))),
        ("was at", text(&undo.commit)),
        ("asked to go to", text(&undo.moved_to)),
        ("left at", text(&undo.left_at)),
        ("uncommitted", uncommitted.map(str::to_owned)),
        ("kept by tag", pin),
        ("principal", Some(format!("{} ({how_sure})", clean(&undo.principal)))),
        ("auth method", Some(undo.auth_method.clone())),
        ("client", undo.client_address.map(|address| address.to_string())),
        ("request", Some(undo.request_id.to_string())),
        ("status", undo.status.map(|status| status.to_string())),
        ("lakeFS's request", text(&undo.upstream_request_id)),
        ("undoes", undo.undoes.map(|id| id.to_string())),
        ("undone by", undo.undone_by.map(|id| id.to_string())),
    ];
    let mut card = lines(facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))));
    for head in &undo.heads {
        card += &format!("{:<18} {} {}\n", "head", clean(&head.branch), clean(&head.commit));
    }
    for warning in &shown.warnings {
        card += &format!("{:<18} {}\n", "beware", clean(warning));
    }
    card
}

fn said(applied: &Applied, dry_run: bool) -> String {
    let mut text = match (applied.changed, dry_run) {
        (true, _) => format!("done: {}\n", clean(&applied.did)),
        (false, true) => format!("would: {}\n", clean(&applied.did)),
        (false, false) => format!("nothing to do: {}\n", clean(&applied.did)),
    };
    for warning in &applied.warnings {
        text += &format!("beware: {}\n", clean(warning));
    }
    if let Some(record) = applied.record {
        text += &format!("written down as {record}\n");
    }
    text
}
