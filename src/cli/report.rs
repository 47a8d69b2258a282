//! `lakegate report`: what shadow and observe would have refused, grouped.

use std::collections::HashMap;
use std::process::ExitCode;

use serde::Serialize;

use crate::audit::Entry;
use crate::store::Timestamp;

use super::past::{Logs, Span};
use super::text::{clean, grid, note, print};

/// Sum up what shadow and observe would have refused, the most frequent first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Report {
    #[command(flatten)]
    span: Span,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logs: Logs,
}

const EXAMPLES: &str = "\
Examples:
  lakegate report --config lakegate.yaml --since 7d     a week of `mode: shadow` or `mode: observe`
  lakegate report --file access.json                    from an access log in JSON

BY is the rule, or the key of the configuration, that would have refused. DANGER is what the request could do, or its operation.";

const HEAD: [&str; 7] = ["BY", "DANGER", "PRINCIPAL", "REPOSITORY", "REFERENCE", "COUNT", "LAST"];
/// More groups are summed up as one.
const GROUPS_MAX: usize = 100_000;
const OTHER: &str = "(other)";

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
struct Group {
    by: String,
    danger: String,
    principal: String,
    repository: String,
    reference: String,
}

#[derive(Debug, Default)]
struct Groups(HashMap<Group, (u64, Timestamp)>);

impl Groups {
    fn add(&mut self, entry: &Entry<'_>) {
        let subject = entry.targets.iter().find(|target| target.role == "subject");
        let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
        for by in &entry.shadow {
            let mut group = Group {
                by: by.to_string(),
                danger: entry
                    .dangers
                    .first()
                    .map_or_else(|| entry.operation.to_string(), |danger| danger.name().to_owned()),
                principal: text(entry.principal.as_deref()),
                repository: text(subject.map(|subject| &*subject.repository)),
                reference: text(subject.and_then(|subject| subject.reference.as_deref())),
            };
            if self.0.len() >= GROUPS_MAX && !self.0.contains_key(&group) {
                group = Group {
                    danger: OTHER.into(),
                    principal: OTHER.into(),
                    repository: OTHER.into(),
                    reference: OTHER.into(),
                    ..group
                };
            }
            let (count, last) = self.0.entry(group).or_insert((0, entry.time));
            *count += 1;
            *last = entry.time.max(*last);
        }
    }

    /// The most frequent first.
    fn sorted(self) -> Vec<(Group, u64, Timestamp)> {
        let mut all: Vec<_> = self
            .0
            .into_iter()
            .map(|(group, (count, last))| (group, count, last))
            .collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all
    }
}

impl Report {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut groups = Groups::default();
        self.logs.read(|past, _| {
            if self.span.has(past.entry.time) {
                groups.add(&past.entry);
            }
            Ok(())
        })?;
        let groups = groups.sorted();
        if self.json {
            for (group, count, last) in &groups {
                let mut line = serde_json::to_value(group)?;
                if let Some(line) = line.as_object_mut() {
                    line.insert("count".into(), (*count).into());
                    line.insert("last".into(), last.to_string().into());
                }
                print(&format!("{line}\n"))?;
            }
        } else if groups.is_empty() {
            note("nothing would have been refused")?;
        } else {
            let rows = groups.into_iter().map(|(group, count, last)| {
                let Group {
                    by,
                    danger,
                    principal,
                    repository,
                    reference,
                } = group;
                let [by, danger, principal, repository, reference] =
                    [by, danger, principal, repository, reference].map(|text| clean(&text));
                [
                    by,
                    danger,
                    principal,
                    repository,
                    reference,
                    count.to_string(),
                    last.to_string(),
                ]
            });
            print(&grid(HEAD, rows))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_have_been_refused_is_grouped_by_who_and_where() {
        let mut groups = Groups::default();
        for (day, principal, branch, shadow) in [
            (1, "ann", "main", r#"["main-stays"]"#),
            (3, "ann", "main", r#"["main-stays","audit.on_full"]"#),
            (2, "ann", "main", r#"["main-stays"]"#),
            (4, "bob", "main", r#"["main-stays"]"#),
            (5, "bob", "dev", "[]"),
        ] {
            let line = format!(
                r#"{{"time":"2026-05-0{day}T00:00:00.000Z","kind":"change","principal":"{principal}","operation":"deleteBranch","dangers":["delete_branch"],"targets":[{{"role":"subject","repository":"lake","reference":"{branch}"}}],"shadow":{shadow},"outcome":"shadow"}}"#
            );
            groups.add(&serde_json::from_str(&line).unwrap());
        }
        let said: Vec<_> = groups
            .sorted()
            .into_iter()
            .map(|(group, count, last)| (group.by, group.principal, count, last.to_string()))
            .collect();
        let row = |by: &str, who: &str, count, day| {
            (
                by.to_owned(),
                who.to_owned(),
                count,
                format!("2026-05-0{day}T00:00:00.000Z"),
            )
        };
        assert_eq!(
            said,
            [
                row("main-stays", "ann", 3, 3),
                row("audit.on_full", "ann", 1, 3),
                row("main-stays", "bob", 1, 4)
            ]
        );
    }
}
