//! `lakegate replay LOG... --config NEW`: which requests of the past a configuration would judge differently.
//!
//! A line of the audit log tells all that rules look at. One of the access log has method and target, which are classified anew, and
//! beside them what the body decided.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use http::header::HOST;
use http::{Method, Request};
use serde::Serialize;

use crate::audit::{Entry, Outcome};
use crate::config::{Config, load};
use crate::exchange::{Principal, Proof};
use crate::guard::Rules;
use crate::lakefs::{self, Classified, Danger, Force, Operation, Protocol, Role, Target};
use crate::store::Timestamp;

use super::past::{Logs, Past, Span};
use super::text::{clean, grid, note, print};
use super::verdict::{Sender, Verdict, judge};

/// Judge requests of the past by another configuration, and tell which would be judged differently
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Replay {
    /// Audit logs, or access logs in JSON; files that were rotated away stand beside them and are read too
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// The configuration to judge by
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    span: Span,
    /// Print JSON, one object a request that would be judged differently
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lakegate replay audit.jsonl --config new.yaml                  what stricter rules would have meant for the changes of the past
  lakegate replay access.json --config new.yaml --since 7d       for reads too: `log: { format: json }`

Only the rules are asked (guard). What was refused before they were is passed over. The access log holds the first 20 targets that a body
names; the audit log all. Exit codes: 0 nothing would be judged differently, 1 something would, 64 wrong usage or configuration.";

/// More groups are summed up as one.
const GROUPS_MAX: usize = 100_000;
/// A target of the access log that is as long may have been cut.
const TARGET_CUT: usize = 2048;
/// Lines between two words on how far it is.
const PROGRESS: u64 = 1_000_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
struct Group {
    was: &'static str,
    now: &'static str,
    by: String,
    operation: String,
    principal: String,
    repository: String,
    reference: String,
}

/// One request that would be judged differently.
#[derive(Debug, Serialize)]
struct Different<'a> {
    #[serde(rename = "request.id")]
    id: Option<String>,
    time: Timestamp,
    #[serde(flatten)]
    group: &'a Group,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    judged: u64,
    passed_over: u64,
    different: u64,
}

impl Replay {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = load(Some(&self.config))?.config;
        let rules = Rules::new(&config.guard);
        let (mut counts, mut groups) = (Counts::default(), HashMap::<Group, (u64, Timestamp)>::new());
        let (mut lines, watched) = (0_u64, io::stderr().is_terminal());
        Logs::of(self.logs).read(|past, _| {
            lines += 1;
            if watched && lines.is_multiple_of(PROGRESS) {
                note(&format!("{lines} lines, {} judged differently", counts.different))?;
            }
            if !self.span.has(past.entry.time) {
                return Ok(());
            }
            let Some(group) = replayed(&past, &rules, &config) else {
                counts.passed_over += 1;
                return Ok(());
            };
            counts.judged += 1;
            let Some(group) = group else { return Ok(()) };
            counts.different += 1;
            if self.json {
                let different = Different {
                    id: past.entry.request_id.map(|id| id.to_string()),
                    time: past.entry.time,
                    group: &group,
                };
                return print(&format!("{}\n", serde_json::to_string(&different)?));
            }
            if groups.len() < GROUPS_MAX || groups.contains_key(&group) {
                let (count, last) = groups.entry(group).or_insert((0, past.entry.time));
                *count += 1;
                *last = past.entry.time.max(*last);
            }
            Ok(())
        })?;
        if !groups.is_empty() {
            print(&table(groups))?;
        }
        note(&format!(
            "{} requests judged, {} of them differently; {} passed over, of which no rule has a say",
            counts.judged, counts.different, counts.passed_over
        ))?;
        Ok(ExitCode::from(u8::from(counts.different > 0)))
    }
}

const HEAD: [&str; 9] = [
    "WAS",
    "NOW",
    "BY",
    "OPERATION",
    "PRINCIPAL",
    "REPOSITORY",
    "REFERENCE",
    "COUNT",
    "LAST",
];

/// The most frequent first.
fn table(groups: HashMap<Group, (u64, Timestamp)>) -> String {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|(a, (some, _)), (b, (more, _))| more.cmp(some).then_with(|| a.cmp(b)));
    let rows = groups.into_iter().map(|(group, (count, last))| {
        [
            group.was.to_owned(),
            group.now.to_owned(),
            clean(&group.by),
            clean(&group.operation),
            clean(&group.principal),
            clean(&group.repository),
            clean(&group.reference),
            count.to_string(),
            last.to_string(),
        ]
    });
    grid(HEAD, rows)
}

/// How a request would be judged, where that is different. None outside where no rule has a say.
#[expect(clippy::option_option, reason = "passed over, judged alike, judged differently")]
fn replayed(past: &Past, rules: &Rules, config: &Config) -> Option<Option<Group>> {
    let entry = &past.entry;
    let was = match (entry.outcome, entry.reason.as_deref()) {
        (Outcome::Refused, Some(reason)) => match Verdict::of_reason(reason) {
            Some(verdict) => verdict,
            // Rules are asked before limits, and what stands behind them.
            None if matches!(reason, "over-share" | "branch-busy" | "upstream-busy" | "cannot-record") => {
                Verdict::Allow
            }
            None => return None,
        },
        _ => Verdict::Allow,
    };
    let method: Method = entry.method.as_deref()?.parse().ok()?;
    let classified = classified(past, &method, config)?;
    let judged = judge(&classified, &method, &sender(entry), rules, config);
    if judged.verdict == was {
        return Some(None);
    }
    let subject = entry.targets.iter().find(|target| target.role == "subject");
    let or = |text: Option<&str>| text.unwrap_or("-").to_owned();
    Some(Some(Group {
        was: was.name(),
        now: judged.verdict.name(),
        by: or(judged.by.as_deref().or(entry.rule.as_deref())),
        operation: entry.operation.to_string(),
        principal: or(entry.principal.as_deref()),
        repository: or(subject.map(|subject| &*subject.repository)),
        reference: or(subject.and_then(|subject| subject.reference.as_deref())),
    }))
}

fn sender(entry: &Entry<'_>) -> Sender {
    let principal = entry.principal.as_deref().map(|name| Principal {
        name: name.into(),
        groups: Arc::from(entry.groups.to_vec()),
        method: "replay",
        proof: if entry.proved { Proof::Proved } else { Proof::Claimed },
        key: entry.key.as_deref().map(Arc::from),
        limit_key: name.into(),
    });
    let millis = i64::try_from(entry.time.0).unwrap_or(i64::MAX);
    Sender {
        principal,
        address: entry.client_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        now: jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX),
    }
}

/// The request, as far as rules look at it.
fn classified(past: &Past, method: &Method, config: &Config) -> Option<Classified> {
    let entry = &past.entry;
    let operation = Operation::ALL
        .iter()
        .copied()
        .find(|operation| operation.spec().id == entry.operation)?;
    let written: Vec<Target> = entry.targets.iter().map(target).collect();
    let anew = past.uri.as_deref().filter(|uri| uri.len() < TARGET_CUT);
    let anew = anew.and_then(|uri| again(uri, method, config));
    // Another reading than the gateway's then (a host that the log does not have, say) counts for nothing.
    let anew = anew.filter(|anew| {
        let same = |a: Option<&Target>, b: Option<&Target>| match (a, b) {
            (Some(a), Some(b)) => a.repository == b.repository && (a.reference == b.reference || b.path.is_some()),
            (a, b) => a.is_none() && b.is_none(),
        };
        anew.operation == operation && same(anew.targets.first(), written.first())
    });
    let mut classified = anew.unwrap_or_else(|| Classified {
        protocol: match entry.protocol.as_deref() {
            Some("s3") => Protocol::S3,
            Some("web") => Protocol::Web,
            _ => Protocol::Rest,
        },
        operation,
        targets: written.clone(),
        upload_id: None,
        part_number: None,
        parts: None,
        source_metarange: None,
        source_wins: false,
        force: Force::No,
        presign: false,
    });
    // What the body named.
    if written.iter().any(|target| target.path.is_some()) || written.len() > classified.targets.len() {
        classified.targets = written;
    }
    let has = |danger| entry.dangers.contains(&danger);
    classified.force = if entry.force { Force::Yes } else { Force::No };
    classified.source_wins = has(Danger::MergeSourceWins);
    classified.source_metarange = has(Danger::CommitMetarange).then(String::new);
    Some(classified)
}

fn again(uri: &str, method: &Method, config: &Config) -> Option<Classified> {
    // Under a name of the S3 gateway its paths would be read as the API's are, and the other way round: both are tried by the caller's look
    // at the operation.
    let read = |host: &str| {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(HOST, host)
            .body(())
            .ok()?;
        let (head, ()) = request.into_parts();
        match lakefs::classify(&head, &config.upstream.s3_domains) {
            Ok(classified) => Some(classified),
            Err(malformed) => Some(*malformed.classified),
        }
    };
    let plain = read("localhost")?;
    match config.upstream.s3_domains.first() {
        Some(domain) if plain.protocol == Protocol::Web => read(domain),
        _ => Some(plain),
    }
}

fn target(object: &crate::audit::entry::Object<'_>) -> Target {
    Target {
        role: if object.role == "source" {
            Role::Source
        } else {
            Role::Subject
        },
        repository: object.repository.clone().into_owned(),
        reference: object.reference.clone().map(std::borrow::Cow::into_owned),
        path: object.path.clone().map(std::borrow::Cow::into_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::past::{Line, past};

    fn replay(line: &str, config: &str) -> Option<Option<(&'static str, &'static str, String)>> {
        let config: Config = serde_saphyr::from_str(config).unwrap();
        let Line::Past(past) = past(line) else {
            panic!("not read: {line}")
        };
        let group = replayed(&past, &Rules::new(&config.guard), &config)?;
        Some(group.map(|group| (group.was, group.now, group.by)))
    }

    const PROTECT: &str = "guard: { rules: [{ name: main-stays, branches: [main] }] }";
    const AFTER_HOURS: &str =
        "guard: { rules: [{ name: ann-may-not, branches: [main], users: [ann], addresses: [10.0.0.0/8] }] }";

    fn audit(more: &str, outcome: &str) -> String {
        format!(
            r#"{{"time":"2026-05-02T00:00:00.000Z","kind":"change","principal":"ann","auth.proved":true,"client.address":"10.1.1.1","protocol":"rest","method":"DELETE","operation":"deleteBranch","targets":[{{"role":"subject","repository":"lake","reference":"main"}}],"dangers":["delete_branch"],{more}"outcome":"{outcome}"}}"#
        )
    }

    #[test]
    fn a_stricter_rule_refuses_what_was_allowed_and_a_laxer_one_the_reverse() {
        let denied = |by: &str| Some(Some(("allow", "deny", by.to_owned())));
        assert_eq!(replay(&audit("", "allowed"), PROTECT), denied("main-stays"));
        assert_eq!(replay(&audit("", "shadow"), AFTER_HOURS), denied("ann-may-not"));
        let refused = audit(r#""reason":"guarded","rule":"old","#, "refused");
        assert_eq!(replay(&refused, PROTECT), Some(None));
        assert_eq!(replay(&refused, "{}"), Some(Some(("deny", "allow", "old".to_owned()))));
        assert_eq!(replay(&audit("", "allowed"), "{}"), Some(None));
        let observed = format!("mode: observe\n{PROTECT}");
        assert_eq!(replay(&audit("", "allowed"), &observed), Some(None));
        assert_eq!(
            replay(&audit(r#""reason":"unauthenticated","#, "refused"), PROTECT),
            None
        );
        assert_eq!(
            replay(&audit(r#""reason":"branch-busy","#, "refused"), PROTECT),
            denied("main-stays")
        );
    }

    #[test]
    fn an_access_line_is_judged_by_its_target_and_by_what_its_body_decided() {
        let access = |method: &str, uri: &str, operation: &str, more: &str| {
            format!(
                r#"{{"timestamp":"2026-05-01T12:00:01.000Z","target":"lakegate::access","client.address":"10.0.0.1","principal":"ann","auth.proved":true,"method":"{method}","uri":"{uri}","operation":"{operation}","repository":"lake","reference":"main",{more}"status":200,"decision":"forwarded","upstream.status":200,"duration_ms":1.0}}"#
            )
        };
        let denied = Some(Some(("allow", "deny", "main-stays".to_owned())));
        let api = "/api/v1/repositories/lake/branches/main";
        assert_eq!(replay(&access("DELETE", api, "deleteBranch", ""), PROTECT), denied);
        assert_eq!(replay(&access("GET", api, "getBranch", ""), PROTECT), Some(None));
        let commits = format!("{api}/commits");
        assert_eq!(replay(&access("POST", &commits, "commit", ""), PROTECT), Some(None));
        assert_eq!(
            replay(&access("POST", &commits, "commit", r#""force":true,"#), PROTECT),
            denied
        );
        let targets = r#""targets":"[{\"role\":\"subject\",\"repository\":\"lake\",\"reference\":\"dev\",\"path\":\"a\"},{\"role\":\"subject\",\"repository\":\"lake\",\"reference\":\"main\",\"path\":\"b\"}]","protocol":"s3","#;
        assert_eq!(
            replay(&access("POST", "/lake?delete", "s3:DeleteObjects", targets), PROTECT),
            denied
        );
        let object = r#""protocol":"s3","#;
        assert_eq!(
            replay(&access("DELETE", "/lake/main/a/b", "s3:DeleteObject", object), PROTECT),
            denied
        );
    }
}
