//! `lakegate explain METHOD TARGET`: what a request is to the gateway, which rules look at it, which limits apply, and why.
//!
//! It asks the gateway's own code (`lakefs::classify`, `guard::decide`, `limit::Plan`) and sends nothing anywhere.

use std::fmt;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Uri};
use serde::Serialize;

use crate::config::{Config, Effect, Mode, Moment, RuleMode, load};
use crate::exchange::{Principal, Proof};
use crate::guard::{self, Asked, Opinion, Rule, Rules};
use crate::lakefs::{self, Classified, Force, ForceIn, Operation, Protocol, Role};
use crate::limit::plan::Turns;
use crate::limit::{Kind, Plan, Slot};

/// Explain what the gateway would do with a request: its operation, the rules that look at it, the limits that apply
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    /// The request's method.
    method: Method,
    /// Its target, as in the access log: `/api/v1/...`; or a whole URL, whose host then counts as its Host header.
    target: String,
    /// The user it acts for; without it nobody in particular.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// A group of that user; may be repeated.
    #[arg(long = "group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,
    /// The access key id that it comes with.
    #[arg(long, value_name = "ID", requires = "user")]
    key: Option<String>,
    /// The address that it comes from.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// The time it is then, for rules with hours and dates; without it now.
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// A file with the request's body, for operations whose body decides.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A header of the request, as `Name: value`; may be repeated. Host and Authorization tell an S3 request.
    #[arg(long = "header", value_name = "HEADER", value_parser = header_line)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The configuration to explain it by; without it the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lakegate explain --config lakegate.yaml PUT '/api/v1/repositories/lake/branches/main/hard_reset?ref=main~1&force=true'
  lakegate explain POST /api/v1/repositories/lake/branches/main/commits --body commit.json --as alice --group analysts
  lakegate explain DELETE http://s3.local.lakefs.io/lake/main/data/a.parquet

It prints what the request is (operation, class, what it touches, whether it is forced), then each guard rule and what it says of it,
then what it would wait for, in this order: its principal's share, its turn on the branch, a slot of the upstream.
Write `~` and `&` in quotes: the shell has its own meaning for them.";

fn header_line(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = line.split_once(':').ok_or("write it as `Name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is no header name"))?;
    let value = value
        .trim()
        .parse()
        .map_err(|_| format!("the value of `{name}` is no header value"))?;
    Ok((name, value))
}

impl Explain {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = load(self.config.as_deref())?.config;
        let body = match &self.body {
            Some(file) => Some(std::fs::read(file).with_context(|| format!("reading the body {}", file.display()))?),
            None => None,
        };
        let head = self.head()?;
        let text = match lakefs::classify(&head, &config.upstream.s3_domains) {
            Ok(classified) => {
                let explained = explain(&head.method, classified, body.as_deref(), &config, &self.sender());
                self.print(&explained, || explained.to_string())?
            }
            Err(malformed) => {
                let refused =
                    serde_json::json!({ "refused": "ambiguous-target", "status": 400, "why": malformed.what });
                self.print(&refused, || {
                    format!("refused with 400 before any rule is asked: {malformed}\n")
                })?
            }
        };
        std::io::stdout()
            .write_all(text.as_bytes())
            .context("writing to standard output")?;
        Ok(ExitCode::SUCCESS)
    }

    /// Who sends it, whence and when.
    fn sender(&self) -> Sender {
        Sender {
            principal: self.user.as_deref().map(|user| Principal {
                name: user.into(),
                groups: self.groups.clone().into(),
                key: self.key.as_deref().map(Arc::from),
                method: "basic",
                proof: Proof::Proved,
                limit_key: user.into(),
            }),
            address: self.address,
            now: self.at.map_or_else(jiff::Timestamp::now, |at| at.0),
        }
    }

    fn print(&self, json: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<String> {
        if self.json {
            return Ok(serde_json::to_string_pretty(json)? + "\n");
        }
        let groups = if self.groups.is_empty() {
            String::new()
        } else {
            format!(" of {}", self.groups.join(", "))
        };
        let user = self.user.as_deref().unwrap_or("nobody in particular");
        Ok(format!(
            "{} {}\nas {user}{groups}\n\n{}",
            self.method,
            self.target,
            text()
        ))
    }

    fn head(&self) -> anyhow::Result<Parts> {
        head_of(&self.method, &self.target, &self.headers)
    }
}

/// A request's head as it would arrive.
pub(super) fn head_of(method: &Method, target: &str, headers: &[(HeaderName, HeaderValue)]) -> anyhow::Result<Parts> {
    if target.contains('#') {
        bail!("a request target holds no `#`: write it as `%23`");
    }
    let uri: Uri = target
        .parse()
        .with_context(|| format!("`{target}` is no request target"))?;
    if uri.scheme().is_none() && !target.starts_with('/') {
        bail!("`{target}` is no request target: it begins with `/`, or is a whole URL");
    }
    let host = uri.authority().map(|authority| authority.as_str().to_owned());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = http::Request::builder().method(method.clone()).uri(path).body(())?;
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    request
        .headers_mut()
        .insert(header::HOST, host.parse().context("the host of the URL")?);
    for (name, value) in headers {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(request.into_parts().0)
}

/// Who sends the request, whence and when.
struct Sender {
    principal: Option<Principal>,
    address: IpAddr,
    now: jiff::Timestamp,
}

/// Everything there is to say of a request.
#[derive(Debug, Serialize)]
struct Explained {
    operation: &'static str,
    protocol: &'static str,
    class: &'static str,
    experimental: bool,
    mutates: bool,
    repeatable: bool,
    force: &'static str,
    targets: Vec<Touched>,
    upload_id: Option<String>,
    guard: Guarded,
    limit: Limited,
}

#[derive(Debug, Serialize)]
struct Touched {
    role: &'static str,
    repository: String,
    reference: Option<String>,
    path: Option<String>,
}

#[derive(Debug, Serialize)]
struct Guarded {
    decision: &'static str,
    rule: Option<String>,
    message: Option<String>,
    rules: Vec<Said>,
}

#[derive(Debug, Serialize)]
struct Said {
    rule: String,
    says: &'static str,
}

#[derive(Debug, Serialize)]
struct Turn {
    on: Vec<String>,
    how: &'static str,
}

#[derive(Debug, Serialize)]
struct Limited {
    mode: &'static str,
    share: String,
    requests_per_second: u32,
    burst: u32,
    in_flight: usize,
    turn: Option<Turn>,
    slot: &'static str,
    slots: Option<String>,
    priority: &'static str,
    max_wait: String,
    outlives_client: bool,
}

/// Asks the gateway's own code. Without a `body` the request counts as having none.
fn explain(
    method: &Method,
    mut classified: Classified,
    body: Option<&[u8]>,
    config: &Config,
    sender: &Sender,
) -> Explained {
    let spec = classified.operation.spec();
    if classified.operation.spec().inspected {
        classified.read_body(body.unwrap_or_default());
    }
    let force = match (classified.force, spec.force) {
        _ if matches!(classified.operation, Operation::UnknownApi | Operation::S3Unknown) => {
            "unknown, like the operation"
        }
        (_, ForceIn::Nothing) => "no: this operation cannot be forced",
        (Force::No, ForceIn::Query) => "no: its query does not force",
        (Force::No, ForceIn::Body) if body.is_none() => "no: without a body (give it with --body FILE)",
        (Force::No, ForceIn::Body) => "no: its body does not force",
        (_, ForceIn::Query) => "yes: its query forces, or could",
        (_, ForceIn::Body) => "yes: its body forces, or could in one of lakeFS's readings",
    };
    let targets = classified.targets.iter().map(|target| Touched {
        role: if target.role == Role::Subject {
            "subject"
        } else {
            "source"
        },
        repository: target.repository.clone(),
        reference: target.reference.clone(),
        path: target.path.clone(),
    });
    let complete = body.is_none_or(<[u8]>::is_empty) || spec.inspected;
    Explained {
        operation: spec.id,
        protocol: match classified.protocol {
            Protocol::Rest => "rest",
            Protocol::S3 => "s3",
            Protocol::Web => "web",
        },
        class: spec.class.as_str(),
        experimental: spec.experimental,
        mutates: spec.mutates,
        repeatable: spec.repeatable,
        force,
        targets: targets.collect(),
        upload_id: classified.upload_id.clone(),
        guard: guarded(
            Asked {
                classified: &classified,
                method,
                principal: sender.principal.as_ref(),
                address: sender.address,
                now: sender.now,
            },
            config,
        ),
        limit: limited(&classified, complete, config, sender.principal.as_ref()),
    }
}

fn guarded(asked: Asked<'_>, config: &Config) -> Guarded {
    let rules = Rules::new(&config.guard);
    let decision = guard::decide(asked, &rules);
    let says = |rule: &Rule, opinion| match opinion {
        Opinion::Other => "nothing: it is about other requests",
        Opinion::Elsewhere => "nothing: it stands over other places",
        Opinion::Others => "nothing: it is about other people",
        Opinion::NotNow => "nothing: it holds at other times",
        Opinion::WouldRefuse => "no, but in shadow: it only says so",
        Opinion::Refuses if rule.effect() == Effect::Freeze => "not now",
        Opinion::Refuses => "no",
        Opinion::Requires if rule.effect() == Effect::RequireApproval => "only with a second person's approval",
        Opinion::Requires => "only with a confirmation",
        Opinion::Grants => "yes",
    };
    let said = guard::opinions(asked, &rules).into_iter().map(|(rule, opinion)| Said {
        rule: rule.name().to_owned(),
        says: says(rule, opinion),
    });
    let asks = decision.required.first();
    Guarded {
        decision: match (&decision.denied, asks, config.mode) {
            (None, None, _) => "allowed",
            (Some(_), _, Mode::Enforce) => "refused",
            (None, Some(_), Mode::Enforce) => "asked for more",
            (_, _, Mode::Observe) => "allowed: the gateway's mode is observe",
        },
        rule: decision
            .denied
            .as_ref()
            .or(asks)
            .map(|refusal| refusal.by_name().to_owned()),
        message: decision.denied.as_ref().or(asks).map(ToString::to_string),
        rules: said.collect(),
    }
}

fn turn(turns: &Turns<'_>) -> Turn {
    let name = |(repository, branch): &(&str, &str)| format!("{repository}/{branch}");
    Turn {
        on: turns.on.iter().map(name).collect(),
        how: match (turns.kind, turns.at_the_end) {
            (Kind::Moves, _) => "alone",
            (Kind::Writes(_), false) => "beside other writes, not beside what moves the branch",
            (Kind::Writes(_), true) => {
                "the last bytes of its body wait for it, beside other writes, not beside what moves the branch"
            }
        },
    }
}

fn limited(classified: &Classified, complete: bool, config: &Config, principal: Option<&Principal>) -> Limited {
    let plan = Plan::of(classified, complete, &config.limit);
    let enforced = config.mode == Mode::Enforce && config.limit.mode == RuleMode::Enforce;
    Limited {
        mode: if enforced { "enforce" } else { "shadow" },
        share: principal.map_or_else(
            || "its client's address".to_owned(),
            |principal| principal.name.to_string(),
        ),
        requests_per_second: plan.rate.per_second.get(),
        burst: plan.rate.burst.get(),
        in_flight: plan.in_flight,
        turn: plan.turns.as_ref().map(turn),
        slot: plan.slot.name(),
        slots: match plan.slot {
            Slot::Request => Some(config.limit.upstream.in_flight.to_string()),
            Slot::Stream => Some(config.limit.upstream.streams.to_string()),
            Slot::None => None,
        },
        priority: plan.priority.as_str(),
        max_wait: config.limit.max_wait.to_string(),
        outlives_client: plan.outlives_client,
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let experimental = if self.experimental { ", experimental" } else { "" };
        writeln!(
            f,
            "operation   {} ({}, class {}{experimental})",
            self.operation, self.protocol, self.class
        )?;
        for target in &self.targets {
            let what = if target.role == "subject" {
                "touches"
            } else {
                "reads from"
            };
            write!(f, "{what:<11} repository {}", target.repository)?;
            for (name, value) in [("reference", &target.reference), ("path", &target.path)] {
                if let Some(value) = value {
                    write!(f, ", {name} {value}")?;
                }
            }
            writeln!(f)?;
        }
        if let Some(upload) = &self.upload_id {
            writeln!(f, "upload      {upload}")?;
        }
        writeln!(
            f,
            "changes     {}; may be sent twice: {}",
            yes(self.mutates),
            yes(self.repeatable)
        )?;
        writeln!(f, "forced      {}\n", self.force)?;
        write!(f, "{}\n{}", self.guard, self.limit)
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => writeln!(f, "guard       {} by rule {rule}", self.decision)?,
            None if self.rules.is_empty() => {
                writeln!(f, "guard       {}: no rule speaks of this operation", self.decision)?
            }
            None => writeln!(f, "guard       {}", self.decision)?,
        }
        for said in &self.rules {
            writeln!(f, "  {:<16} says {}", said.rule, said.says)?;
        }
        match &self.message {
            Some(message) => writeln!(f, "  {message}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shadow = if self.mode == "shadow" {
            " (in shadow: it never waits, and says what it would have done)"
        } else {
            ""
        };
        writeln!(f, "limit       waits {} at most, in this order{shadow}", self.max_wait)?;
        writeln!(
            f,
            "  share     of {}: {} a second of this class, {} at once, {} under way",
            self.share, self.requests_per_second, self.burst, self.in_flight
        )?;
        match &self.turn {
            Some(turn) => writeln!(f, "  turn      on {}: {}", turn.on.join(", "), turn.how)?,
            None => writeln!(
                f,
                "  turn      none: it names no branch that it changes, or it takes none (limit.branch)"
            )?,
        }
        match &self.slots {
            Some(slots) => writeln!(
                f,
                "  slot      {}, one of {slots}; as {} when they are all taken",
                self.slot, self.priority
            )?,
            None => writeln!(f, "  slot      none")?,
        }
        if self.outlives_client {
            writeln!(f, "  goes on when its client leaves")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        explain: Explain,
    }

    fn said(line: &[&str], body: Option<&[u8]>, config: &str) -> Explained {
        let command = Line::try_parse_from([&["explain"], line].concat()).unwrap().explain;
        let config: Config = serde_saphyr::from_str(config).unwrap();
        let head = command.head().unwrap();
        let classified = lakefs::classify(&head, &config.upstream.s3_domains).unwrap();
        explain(&head.method, classified, body, &config, &command.sender())
    }

    const RULES: &str =
        r#"guard: { rules: [{ name: main-stays, branches: [main] }, { name: dev, branches: ["dev*"] }] }"#;
    const RESET: [&str; 2] = [
        "PUT",
        "/api/v1/repositories/lake/branches/main/hard_reset?ref=x&force=true",
    ];

    #[test]
    fn names_the_rule_that_refuses_and_what_the_others_say() {
        let explained = said(&RESET, None, RULES);
        assert_eq!(
            (explained.operation, explained.guard.decision),
            ("hardResetBranch", "refused")
        );
        assert_eq!(explained.guard.rule.as_deref(), Some("main-stays"));
        let says: Vec<_> = explained.guard.rules.iter().map(|said| said.says).collect();
        assert_eq!(says, ["no", "nothing: it stands over other places"]);
        let text = explained.to_string();
        assert!(text.contains("guard       refused by rule main-stays\n"), "{text}");
        assert!(text.contains("turn      on lake/main: alone"), "{text}");
    }

    #[test]
    fn observe_mode_refuses_nothing() {
        let explained = said(&RESET, None, &format!("mode: observe\n{RULES}"));
        assert_eq!(explained.guard.decision, "allowed: the gateway's mode is observe");
        assert_eq!(explained.limit.mode, "shadow");
    }

    #[test]
    fn a_body_tells_whether_a_commit_is_forced() {
        let commit = [
            "POST",
            "/api/v1/repositories/lake/branches/main/commits",
            "--as",
            "alice",
        ];
        let forced = said(&commit, Some(b"{\"message\":\"m\",\"force\":true}"), RULES);
        assert!(forced.force.starts_with("yes"), "{}", forced.force);
        let plain = said(&commit, Some(b"{\"message\":\"m\"}"), RULES);
        assert!(plain.force.starts_with("no: its body"), "{}", plain.force);
        assert_eq!(
            (&*plain.limit.share, &*plain.limit.turn.unwrap().on),
            ("alice", &["lake/main".to_owned()][..])
        );
        assert!(plain.limit.outlives_client);
    }

    #[test]
    fn a_url_or_a_header_tells_an_s3_request() {
        let by_url = said(&["GET", "http://s3.local.lakefs.io/lake/main/a"], None, "{}");
        let by_header = said(
            &["GET", "/lake/main/a", "--header", "Host: s3.local.lakefs.io"],
            None,
            "{}",
        );
        for explained in [by_url, by_header] {
            assert_eq!((explained.operation, explained.limit.slot), ("s3:GetObject", "stream"));
        }
    }

    #[test]
    fn what_is_no_target_is_told() {
        for target in ["abc", "/a#b", "/a b"] {
            let command = Line::try_parse_from(["explain", "GET", target]).unwrap().explain;
            assert!(command.head().is_err(), "{target}");
        }
    }
}
