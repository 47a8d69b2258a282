//! `lakegate approve`: the requests that a rule wants a second person to approve, and that person's word.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::ask::Asked;
use super::text::{ago, clean, grid, json_lines, lines, note, print};
use crate::admin::ApprovalPage;
use crate::store::{Approval, Timestamp};

/// Approve a request that a rule wants a second person to look at
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Approve {
    #[command(subcommand)]
    command: Option<Command>,
    /// The id that the refusal names
    #[arg(required = true)]
    id: Option<Uuid>,
    /// As whom you act, for the record
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Deny it
    #[arg(long)]
    deny: bool,
    #[command(flatten)]
    asked: Asked,
}

const EXAMPLES: &str = "\
Examples:
  lakegate approve list                       what waits
  lakegate approve show 0199a1b2-...          who asks for what
  lakegate approve 0199a1b2-... --as bob      let it pass once; its sender then sends it again, unchanged
  lakegate approve 0199a1b2-... --deny        or not

An approval is for one request of one principal, passes once, and ends after `record.approvals.valid`.";

#[derive(Debug, Subcommand)]
enum Command {
    /// List the requests that wait, were approved or denied lately
    List {
        #[command(flatten)]
        asked: Asked,
    },
    /// Show all that is known of one
    Show {
        /// Its id
        id: Uuid,
        #[command(flatten)]
        asked: Asked,
    },
}

impl Approve {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let now = Timestamp::now();
        match self.command {
            Some(Command::List { asked }) => {
                let page: ApprovalPage = asked.running.get("/approvals")?;
                match (asked.json, page.approvals.as_slice()) {
                    (true, approvals) => print(&json_lines(approvals)?)?,
                    (false, []) => note("nothing waits for an approval")?,
                    (false, approvals) => print(&table(approvals, now))?,
                }
            }
            Some(Command::Show { id, asked }) => {
                let page: ApprovalPage = asked.running.get("/approvals")?;
                let Some(approval) = page.approvals.into_iter().find(|approval| approval.id == id) else {
                    bail!("no request with this id waits for an approval: it may have expired");
                };
                show(&approval, asked.json, now)?;
            }
            None => {
                let id = self.id.context("an id is needed")?;
                let name = self.name.map_or_else(String::new, |name| {
                    format!("as={}&", utf8_percent_encode(&name, NON_ALPHANUMERIC))
                });
                let deny = if self.deny { "deny=true" } else { "" };
                let decided: Approval = self.asked.running.post(&format!("/approvals/{id}?{name}{deny}"))?;
                show(&decided, self.asked.json, now)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(approval: &Approval, json: bool, now: Timestamp) -> anyhow::Result<()> {
    match json {
        true => print(&json_lines(std::slice::from_ref(approval))?),
        false => print(&card(approval, now)),
    }
}

fn table(approvals: &[Approval], now: Timestamp) -> String {
    let head = ["ID", "STATE", "ASKED", "PRINCIPAL", "OPERATION", "TARGET"];
    let rows = approvals.iter().map(|approval| {
        [
            approval.id.to_string(),
            approval.state.to_string(),
            ago(now.since(approval.asked)),
            clean(&approval.principal),
            approval.operation.clone(),
            approval
                .targets
                .first()
                .map_or_else(|| "-".into(), |target| clean(target)),
        ]
    });
    grid(head, rows)
}

fn card(approval: &Approval, now: Timestamp) -> String {
    let how_sure = if approval.proved { "proved" } else { "only claimed" };
    let body = match approval.body_read {
        true => "is part of what is approved",
        false => "was not read: any body passes",
    };
    let facts = [
        ("id", Some(approval.id.to_string())),
        ("state", Some(approval.state.to_string())),
        (
            "principal",
            Some(format!("{} ({how_sure})", clean(&approval.principal))),
        ),
        ("operation", Some(approval.operation.clone())),
        ("request", Some(clean(&approval.request))),
        ("forced", approval.forced.then(|| "yes".to_owned())),
        ("body", Some(body.to_owned())),
        ("stands at", approval.commit.as_deref().map(clean)),
        ("rules", Some(clean(&approval.rules.join(", ")))),
        (
            "asked",
            Some(format!("{} ({})", approval.asked, ago(now.since(approval.asked)))),
        ),
        ("until", Some(approval.until.to_string())),
        ("by", approval.by.as_deref().map(clean)),
        ("request id", Some(approval.request_id.to_string())),
        ("used by request", approval.used_by.map(|id| id.to_string())),
    ];
    let mut card = lines(facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))));
    for target in &approval.targets {
        card += &format!("{:<18} {}\n", "target", clean(target));
    }
    card
}
