//! `lakegate audit changes`: lines of the audit log.

use std::collections::VecDeque;
use std::process::ExitCode;

use crate::audit::entry::Object;
use crate::audit::{Entry, Kind, Outcome};

use super::super::past::{Logs, Span};
use super::super::text::{clean, grid, note, print};

/// List changes and refusals, the oldest first
#[derive(Debug, Default, clap::Args)]
pub(super) struct Changes {
    #[command(flatten)]
    which: Which,
    /// Logins, refused reads and operators' acts too
    #[arg(long)]
    all: bool,
    /// How many at most, the newest
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Print JSON, one object a line, as it stands in the log; all that pass
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logs: Logs,
}

#[derive(Debug, Default, clap::Args)]
struct Which {
    /// Only in this repository
    #[arg(long, alias = "repository", value_name = "NAME")]
    repo: Option<String>,
    /// Only on this branch (or tag, or commit); what is done to the whole repository counts too
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Only of this path, or below it if it ends with `/`
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Only by this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only with this outcome: allowed, refused, shadow, failed, unknown; separated by commas
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', value_parser = outcome)]
    outcome: Vec<Outcome>,
    #[command(flatten)]
    span: Span,
}

fn outcome(text: &str) -> Result<Outcome, String> {
    serde_json::from_value(text.into())
        .map_err(|_| format!("`{text}` is no outcome: write allowed, refused, shadow, failed or unknown"))
}

impl Which {
    fn passes(&self, entry: &Entry<'_>) -> bool {
        let named = self.repo.is_some() || self.branch.is_some() || self.path.is_some();
        self.span.has(entry.time)
            && self
                .user
                .as_deref()
                .is_none_or(|user| entry.principal.as_deref() == Some(user))
            && (self.outcome.is_empty() || self.outcome.contains(&entry.outcome))
            && (!named || entry.targets.iter().any(|target| self.touches(target, entry)))
    }

    fn touches(&self, target: &Object<'_>, entry: &Entry<'_>) -> bool {
        let below = |wanted: &str, path: &str| path == wanted || wanted.ends_with('/') && path.starts_with(wanted);
        // What endangers a whole repository endangers each branch of it.
        let on = |branch: &str| match &target.reference {
            Some(reference) => reference == branch,
            None => !entry.dangers.is_empty(),
        };
        target.role == "subject"
            && self
                .repo
                .as_deref()
                .is_none_or(|repository| target.repository == repository)
            && self.branch.as_deref().is_none_or(on)
            && self
                .path
                .as_deref()
                .is_none_or(|wanted| target.path.as_deref().is_some_and(|path| below(wanted, path)))
    }
}

impl Changes {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (mut rows, mut dropped) = (VecDeque::new(), 0_u64);
        self.logs.read(|past, line| {
            let entry = past.entry;
            if !(self.all || entry.kind == Kind::Change) || !self.which.passes(&entry) {
                return Ok(());
            }
            if self.json {
                return print(&format!("{line}\n"));
            }
            rows.push_back(row(&entry));
            if rows.len() > self.limit {
                rows.pop_front();
                dropped += 1;
            }
            Ok(())
        })?;
        match (self.json, rows.is_empty()) {
            (true, _) => {}
            (_, true) => note("no changes")?,
            _ => print(&grid(HEAD, rows.into_iter()))?,
        }
        if dropped > 0 {
            note(&format!(
                "{dropped} older ones are not shown: see them with --limit or --json"
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

const HEAD: [&str; 7] = ["TIME", "OUTCOME", "PRINCIPAL", "KEY", "OPERATION", "TARGET", "WHY"];

fn row(entry: &Entry<'_>) -> [String; 7] {
    let claimed = if entry.proved || entry.kind == Kind::Admin {
        ""
    } else {
        " (claimed)"
    };
    let principal = entry.principal.as_deref().map_or_else(|| "-".to_owned(), clean);
    let forced = if entry.force { " (forced)" } else { "" };
    let why = match (&entry.rule, &entry.reason) {
        (Some(rule), _) => format!("rule {}", clean(rule)),
        (None, Some(reason)) => clean(reason),
        (None, None) if !entry.shadow.is_empty() => format!("shadow: {}", clean(&entry.shadow.join(", "))),
        (None, None) => "-".to_owned(),
    };
    let outcome = serde_json::to_value(entry.outcome).ok();
    [
        entry.time.to_string(),
        outcome
            .and_then(|outcome| outcome.as_str().map(str::to_owned))
            .unwrap_or_default(),
        format!("{principal}{claimed}"),
        entry.key.as_deref().map_or_else(|| "-".to_owned(), clean),
        format!("{}{forced}", clean(&entry.operation)),
        target(entry),
        why,
    ]
}

/// The first subject as lakeFS's own tools name it, and how many more there are.
fn target(entry: &Entry<'_>) -> String {
    let mut subjects = entry.targets.iter().filter(|target| target.role == "subject");
    let Some(first) = subjects.next() else {
        return "-".to_owned();
    };
    let parts = [Some(&first.repository), first.reference.as_ref(), first.path.as_ref()];
    let name: Vec<&str> = parts.into_iter().flatten().map(|part| &**part).collect();
    let more = subjects.count() + entry.targets_more;
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("lakefs://{}{more}", clean(&name.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Timestamp;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        changes: Changes,
    }

    fn entry(json: &str) -> Entry<'static> {
        serde_json::from_str(json).unwrap()
    }

    const RESET: &str = r#"{"time":"2026-05-02T00:00:00.000Z","kind":"change","principal":"ann","auth.proved":true,"operation":"hardResetBranch","targets":[{"role":"subject","repository":"lake","reference":"main"},{"role":"source","repository":"lake","reference":"dev"}],"force":true,"dangers":["hard_reset"],"rule":"main-stays","outcome":"refused"}"#;
    const BULK: &str = r#"{"time":"2026-05-03T00:00:00.000Z","kind":"change","principal":"key","operation":"s3:DeleteObjects","targets":[{"role":"subject","repository":"lake","reference":"dev","path":"a/1"},{"role":"subject","repository":"lake","reference":"main","path":"a/2"}],"targets_more":5,"outcome":"allowed"}"#;
    const DROP: &str = r#"{"time":"2026-05-04T00:00:00.000Z","kind":"change","principal":"ann","auth.proved":true,"operation":"deleteRepository","targets":[{"role":"subject","repository":"lake"}],"dangers":["delete_repository"],"outcome":"unknown"}"#;

    fn passing(line: &[&str]) -> Vec<String> {
        let changes = Line::try_parse_from([&["x"], line].concat()).unwrap().changes;
        let all = [RESET, BULK, DROP].map(entry).into_iter();
        all.filter(|entry| changes.which.passes(entry))
            .map(|entry| entry.operation.into_owned())
            .collect()
    }

    #[test]
    fn who_changed_main_names_all_that_could_have() {
        let main = ["--repo", "lake", "--branch", "main"];
        assert_eq!(
            passing(&main),
            ["hardResetBranch", "s3:DeleteObjects", "deleteRepository"]
        );
        assert_eq!(passing(&["--branch", "dev"]), ["s3:DeleteObjects", "deleteRepository"]);
        assert_eq!(passing(&["--repo", "sea"]), [""; 0]);
        assert_eq!(passing(&["--path", "a/"]), ["s3:DeleteObjects"]);
        assert_eq!(passing(&["--path", "a"]), [""; 0]);
        assert_eq!(
            passing(&["--user", "ann", "--outcome", "allowed,unknown"]),
            ["deleteRepository"]
        );
        assert_eq!(
            passing(&["--since", "2026-05-03", "--until", "2026-05-04"]),
            ["s3:DeleteObjects"]
        );
    }

    #[test]
    fn a_row_says_what_happened_and_why() {
        let cells = row(&entry(RESET));
        assert_eq!(
            cells[1..],
            [
                "refused",
                "ann",
                "-",
                "hardResetBranch (forced)",
                "lakefs://lake/main",
                "rule main-stays"
            ]
        );
        let cells = row(&entry(BULK));
        assert_eq!(
            cells[2..],
            [
                "key (claimed)",
                "-",
                "s3:DeleteObjects",
                "lakefs://lake/dev/a/1 and 6 more",
                "-"
            ]
        );
        assert_eq!(cells[0], Timestamp(1_777_766_400_000).to_string());
    }
}
