//! Requests of the past: the lines of audit logs and of access logs in JSON, read one by one, the oldest first.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use uuid::Uuid;

use crate::audit::entry::Object;
use crate::audit::{Entry, Kind, Outcome, files};
use crate::config::load;
use crate::lakefs::{Danger, Operation};
use crate::store::Timestamp;

use super::text::note;

/// Which logs are read.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Logs {
    /// An audit log, or an access log in JSON; may be repeated. Files that were rotated away stand beside it and are read too
    #[arg(long = "file", value_name = "FILE", conflicts_with = "config")]
    files: Vec<PathBuf>,
    /// The gateway's configuration, which names its audit log
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// From when to when.
#[derive(Debug, Default, Clone, Copy, clap::Args)]
pub(super) struct Span {
    /// From when: a length of time ago (`7d`), a day (`2026-05-01`) or a moment (`2026-05-01T12:00:00Z`)
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(super) since: Option<Timestamp>,
    /// Until when, in the same form
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(super) until: Option<Timestamp>,
}

impl Span {
    pub(super) fn has(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }
}

/// Reads a moment.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let day = || humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
    let absolute = humantime::parse_rfc3339(text).or_else(|_| day());
    let time = match (humantime::parse_duration(text), absolute) {
        (Ok(ago), _) => SystemTime::now().checked_sub(ago),
        (_, Ok(time)) => Some(time),
        _ => None,
    };
    let wrong = || format!("`{text}` is no moment: write `7d` (ago), `2026-05-01`, or `2026-05-01T12:00:00Z`");
    let since = time
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .ok_or_else(wrong)?;
    u64::try_from(since.as_millis()).map(Timestamp).map_err(|_| wrong())
}

/// What one line says.
#[derive(Debug)]
pub(super) struct Past {
    /// The line in the form of the audit log.
    pub(super) entry: Entry<'static>,
    /// The request's target, as the access log has it.
    pub(super) uri: Option<String>,
}

impl Logs {
    /// These.
    pub(super) fn of(files: Vec<PathBuf>) -> Self {
        Self { files, config: None }
    }

    pub(super) fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let named = match &self.config {
            Some(config) => match load(Some(config))?.config.audit.file {
                Some(file) => vec![file],
                None => bail!(
                    "{} names no audit.file: there is no audit log (name an access log with --file)",
                    config.display()
                ),
            },
            None if self.files.is_empty() => {
                bail!("name the gateway's configuration with --config, or a log with --file")
            }
            None => self.files.clone(),
        };
        let mut paths = Vec::new();
        for file in named {
            let all = files::of_log(&file).with_context(|| format!("looking for {}", file.display()))?;
            if all.is_empty() {
                bail!("there is no {}", file.display());
            }
            paths.extend(all);
        }
        Ok(paths)
    }

    /// Shows `each` line that can be read, and the line itself; says at the end how many could not.
    pub(super) fn read(&self, mut each: impl FnMut(Past, &str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut unread = 0_u64;
        for path in self.paths()? {
            let reading = || format!("reading {}", path.display());
            let mut lines = BufReader::new(File::open(&path).with_context(reading)?);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).with_context(reading)? > 0 {
                let text = String::from_utf8_lossy(&line);
                match past(text.trim()) {
                    Line::Past(past) => each(*past, text.trim())?,
                    Line::Other => {}
                    Line::Broken => unread += 1,
                }
                line.clear();
            }
        }
        if unread > 0 {
            note(&format!("{unread} lines could not be read"))?;
        }
        Ok(())
    }
}

pub(super) enum Line {
    Past(Box<Past>),
    /// A log line of another kind.
    Other,
    Broken,
}

/// What a line says.
pub(super) fn past(line: &str) -> Line {
    if line.is_empty() {
        return Line::Other;
    }
    if let Ok(entry) = serde_json::from_str::<Entry<'static>>(line) {
        return Line::Past(Box::new(Past { entry, uri: None }));
    }
    match serde_json::from_str::<AccessLine>(line) {
        Ok(line) if line.target == "lakegate::access" => match line.into_past() {
            Some(past) => Line::Past(Box::new(past)),
            None => Line::Other,
        },
        Ok(_) => Line::Other,
        Err(_) => Line::Broken,
    }
}

/// A line of the access log in JSON.
#[derive(Debug, Deserialize)]
struct AccessLine {
    timestamp: Timestamp,
    target: String,
    #[serde(rename = "request.id")]
    request_id: Option<Uuid>,
    #[serde(rename = "client.address")]
    client_address: Option<String>,
    principal: Option<String>,
    groups: Option<String>,
    key: Option<String>,
    #[serde(rename = "auth.method")]
    auth_method: Option<String>,
    #[serde(rename = "auth.proved", default)]
    proved: bool,
    protocol: Option<String>,
    method: Option<String>,
    uri: Option<String>,
    operation: Option<String>,
    repository: Option<String>,
    reference: Option<String>,
    targets: Option<String>,
    #[serde(default)]
    force: bool,
    dangers: Option<String>,
    status: Option<u16>,
    decision: Option<String>,
    reason: Option<String>,
    rule: Option<String>,
    shadow: Option<String>,
    #[serde(rename = "upstream.status")]
    upstream_status: Option<u16>,
    duration_ms: Option<f64>,
}

impl AccessLine {
    /// None for what was no request.
    fn into_past(self) -> Option<Past> {
        let operation = self.operation?;
        let spec = Operation::ALL
            .iter()
            .map(|known| known.spec())
            .find(|spec| spec.id == operation);
        let list = |text: Option<String>| -> Vec<String> {
            let text = text.unwrap_or_default();
            text.split(',')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let shadow: Vec<Cow<'_, str>> = list(self.shadow).into_iter().map(Cow::Owned).collect();
        let outcome = match (self.decision.as_deref(), self.upstream_status) {
            (Some("refused"), None) => Outcome::Refused,
            (_, Some(..400)) if shadow.is_empty() => Outcome::Allowed,
            (_, Some(..400)) => Outcome::Shadow,
            (_, Some(_)) => Outcome::Failed,
            (_, None) => Outcome::Unknown,
        };
        let kind = match spec {
            Some(spec) if spec.mutates => Kind::Change,
            _ if outcome == Outcome::Refused => Kind::Refusal,
            _ => Kind::Shadow,
        };
        // What the target does not tell stands beside it.
        let targets: Option<Vec<Object<'static>>> = self.targets.and_then(|text| serde_json::from_str(&text).ok());
        let subject = self.repository.map(|repository| Object {
            role: Cow::Borrowed("subject"),
            repository: Cow::Owned(repository),
            reference: self.reference.map(Cow::Owned),
            path: None,
        });
        let dangers = list(self.dangers);
        let since = Duration::from_secs_f64(self.duration_ms.unwrap_or(0.0).max(0.0) / 1000.0);
        let entry = Entry {
            // The line is written at the request's end.
            time: self.timestamp.before(since),
            kind,
            request_id: self.request_id,
            principal: self.principal.map(Cow::Owned),
            groups: Cow::Owned(list(self.groups)),
            proved: self.proved,
            auth_method: self.auth_method.map(Cow::Owned),
            key: self.key.map(Cow::Owned),
            client_address: self.client_address.and_then(|address| address.parse::<IpAddr>().ok()),
            protocol: self.protocol.map(Cow::Owned),
            method: self.method.map(Cow::Owned),
            operation: Cow::Owned(operation),
            targets: targets.unwrap_or_else(|| subject.into_iter().collect()),
            targets_more: 0,
            force: self.force,
            dangers: Danger::ALL
                .iter()
                .copied()
                .filter(|danger| dangers.iter().any(|name| name == danger.name()))
                .collect(),
            rule: self.rule.map(Cow::Owned),
            reason: self.reason.map(Cow::Owned),
            shadow,
            outcome,
            status: self.status,
            upstream_status: self.upstream_status,
            upstream_request_id: None,
            received_bytes: 0,
            sent_bytes: 0,
        };
        Some(Past { entry, uri: self.uri })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now = Timestamp::now();
        let week = moment("7d").unwrap();
        assert!(now.since(week).abs_diff(Duration::from_secs(7 * 86_400)) < Duration::from_secs(5));
        assert_eq!(moment("2026-05-01").unwrap().to_string(), "2026-05-01T00:00:00.000Z");
        assert_eq!(
            moment("2026-05-01T12:30:00Z").unwrap().to_string(),
            "2026-05-01T12:30:00.000Z"
        );
        assert!(moment("May").unwrap_err().contains("`7d` (ago)"));
    }

    #[test]
    fn lines_of_both_logs_are_told_apart_from_others() {
        let access = r#"{"timestamp":"2026-05-01T12:00:01.000Z","level":"INFO","message":"x","target":"lakegate::access","request.id":"0199a1b2-0000-7000-8000-000000000000","client.address":"10.0.0.1","principal":"ann","auth.proved":true,"method":"DELETE","uri":"/api/v1/repositories/lake/branches/main","operation":"deleteBranch","repository":"lake","reference":"main","status":204,"decision":"forwarded","shadow":"a,b","upstream.status":204,"duration_ms":1000.0}"#;
        let Line::Past(past) = past(access) else {
            panic!("not read")
        };
        assert_eq!(past.entry.time.to_string(), "2026-05-01T12:00:00.000Z");
        assert_eq!((past.entry.outcome, past.entry.kind), (Outcome::Shadow, Kind::Change));
        assert_eq!(past.entry.shadow, ["a", "b"]);
        assert_eq!(past.entry.targets[0].reference.as_deref(), Some("main"));
        let line = serde_json::to_string(&past.entry).unwrap();
        let Line::Past(again) = super::past(&line) else {
            panic!("not read: {line}")
        };
        assert_eq!(again.entry, past.entry);
        let other = r#"{"timestamp":"2026-05-01T12:00:01.000Z","target":"lakegate::guard","message":"x"}"#;
        assert!(matches!(super::past(other), Line::Other));
        for broken in ["{", "plain text", r#"{"time":"2026-05-01T12:00:01Z"}"#] {
            assert!(matches!(super::past(broken), Line::Broken), "{broken}");
        }
    }
}
