//! `lakegate policy test FILE --config CFG`: written expectations of the rules, with how much of the rules they reach.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_saphyr::Spanned;

use crate::config::{Config, Moment, Place, Problem, Problems, load};
use crate::exchange::{Principal, Proof};
use crate::guard::Rules;
use crate::lakefs::{self, Classified};

use super::explain::head_of;
use super::text::{clean, print};
use super::verdict::{Judgement, Sender, Verdict, judge};

/// Test rules before they are in force
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true)]
pub(crate) struct Policy {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lakegate policy test policy.yaml --config lakegate.yaml

The file is a list of expectations:

  - request: DELETE /api/v1/repositories/lake/branches/main
    as: ann                       # and groups: [analysts], key: AKIA..., address: 10.0.0.1, proved: false
    at: 2026-12-24T18:00:00Z      # for rules with hours and dates
    expect: deny                  # allow, deny, require, freeze
    by: main-stays                # the rule, or `default`; may be left out
  - request: POST /api/v1/repositories/lake/branches/main/commits
    body: '{\"message\": \"m\", \"force\": true}'
    expect: allow
    shadow: [no-force]            # rules in shadow that would have refused it; may be left out

Exit codes: 0 all are met, 1 one is not (or, with --every-rule, a rule that none reaches), 64 the file or the configuration cannot be read.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run expectations against a configuration's rules
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct Test {
    /// Files of expectations
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Fail if there is a rule that no expectation reaches
    #[arg(long)]
    every_rule: bool,
}

/// One expectation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// What it is called where it is not met.
    name: Option<String>,
    request: Line,
    #[serde(rename = "as")]
    user: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    key: Option<String>,
    #[serde(default = "yes")]
    proved: bool,
    #[serde(default = "here")]
    address: IpAddr,
    at: Option<Moment>,
    body: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    expect: Verdict,
    by: Option<String>,
    shadow: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

fn here() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

/// `METHOD TARGET`.
#[derive(Debug)]
struct Line {
    method: Method,
    target: String,
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("`{text}` is no request: write `DELETE /api/v1/...`"));
        let (method, target) = text.split_once(' ').ok_or_else(wrong)?;
        let upper = method.chars().all(|c| c.is_ascii_uppercase());
        let method = method.parse().ok().filter(|_| upper).ok_or_else(wrong)?;
        let target = target.trim().to_owned();
        head_of(&method, &target, &[]).map_err(|error| D::Error::custom(format!("{error:#}")))?;
        Ok(Self { method, target })
    }
}

impl Policy {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Command::Test(test) = self.command;
        test.run()
    }
}

impl Test {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = load(Some(&self.config))?.config;
        let rules = Rules::new(&config.guard);
        let (mut reached, mut count, mut failures) = (vec![false; rules.iter().count()], 0, Vec::new());
        for file in &self.files {
            let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            for expectation in read(file, &text)? {
                count += 1;
                let (judged, wrong) = check(&expectation.value, &rules, &config)?;
                for (reached, rule) in reached.iter_mut().zip(rules.iter()) {
                    *reached |= judged.spoke.iter().any(|name| name == rule.name());
                }
                if let Some(wrong) = wrong {
                    let line = expectation.defined.line();
                    failures.push(format!("{}:{line}: {wrong}", file.display()));
                }
            }
        }
        let unreached: Vec<&str> = rules
            .iter()
            .zip(&reached)
            .filter(|(_, reached)| !**reached)
            .map(|(rule, _)| rule.name())
            .collect();
        let mut text: String = failures.iter().map(|failure| format!("{failure}\n")).collect();
        text += &format!(
            "{count} expectations, {} not met; {} of {} rules reached\n",
            failures.len(),
            reached.len() - unreached.len(),
            reached.len()
        );
        for rule in &unreached {
            text += &format!("  not reached: {}\n", clean(rule));
        }
        print(&text)?;
        let failed = !failures.is_empty() || (self.every_rule && !unreached.is_empty());
        std::io::stdout().flush().context("writing to standard output")?;
        Ok(ExitCode::from(u8::from(failed)))
    }
}

/// The expectations of a file.
fn read(file: &Path, text: &str) -> Result<Vec<Spanned<Expectation>>, Problems> {
    serde_saphyr::from_str(text).map_err(|error| {
        let remedy = "`lakegate policy --help` shows what an expectation looks like";
        let message = error.without_snippet().to_string();
        let problem = Problem::error("", message, remedy);
        let place = error.location().map(|location| {
            let (line, column) = (location.line(), location.column());
            let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            Place::File {
                file: file.display().to_string(),
                line: number(line),
                column: number(column),
                width: 1,
                text: text
                    .lines()
                    .nth(number(line).saturating_sub(1))
                    .map(clean)
                    .unwrap_or_default(),
            }
        });
        Problems(vec![match place {
            Some(place) => problem.at(place),
            None => problem,
        }])
    })
}

/// What becomes of the request, and what about it is not as expected.
fn check(expectation: &Expectation, rules: &Rules, config: &Config) -> anyhow::Result<(Judgement, Option<String>)> {
    let Line { method, target } = &expectation.request;
    let headers: Vec<(HeaderName, HeaderValue)> = expectation
        .headers
        .iter()
        .map(|(name, value)| {
            Ok((
                name.parse().context("a header's name")?,
                value.parse().context("a header's value")?,
            ))
        })
        .collect::<anyhow::Result<_>>()?;
    let head = head_of(method, target, &headers)?;
    let sender = Sender {
        principal: expectation.user.as_deref().map(|user| Principal {
            name: user.into(),
            groups: Arc::from(expectation.groups.clone()),
            method: "basic",
            proof: if expectation.proved {
                Proof::Proved
            } else {
                Proof::Claimed
            },
            key: expectation.key.as_deref().map(Arc::from),
            limit_key: user.into(),
        }),
        address: expectation.address,
        now: expectation.at.map_or_else(jiff::Timestamp::now, |at| at.0),
    };
    let judged = match lakefs::classify(&head, &config.upstream.s3_domains) {
        Ok(mut classified) => {
            read_body(&mut classified, expectation.body.as_deref());
            judge(&classified, method, &sender, rules, config)
        }
        // Refused before any rule is asked.
        Err(_) => Judgement {
            verdict: Verdict::Deny,
            by: Some("ambiguous-target".to_owned()),
            shadow: Vec::new(),
            spoke: Vec::new(),
        },
    };
    let by = |by: Option<&str>| by.map(|by| format!(" by {}", clean(by))).unwrap_or_default();
    let differs = judged.verdict != expectation.expect
        || expectation
            .by
            .as_ref()
            .is_some_and(|wanted| judged.by.as_ref() != Some(wanted));
    let request = clean(&format!("{method} {target}"));
    let name = expectation.name.as_deref().map_or(request, clean);
    let wrong = if differs {
        let (wanted, found) = (expectation.expect.name(), judged.verdict.name());
        Some(format!(
            "{name}: expected {wanted}{}, got {found}{}",
            by(expectation.by.as_deref()),
            by(judged.by.as_deref())
        ))
    } else {
        let shadow = expectation.shadow.as_ref().filter(|shadow| **shadow != judged.shadow);
        shadow.map(|wanted| {
            let list = |rules: &[String]| {
                clean(&if rules.is_empty() {
                    "none".to_owned()
                } else {
                    rules.join(", ")
                })
            };
            format!(
                "{name}: expected in shadow {}, got {}",
                list(wanted),
                list(&judged.shadow)
            )
        })
    };
    Ok((judged, wrong))
}

fn read_body(classified: &mut Classified, body: Option<&str>) {
    if classified.operation.spec().inspected {
        classified.read_body(body.unwrap_or_default().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
guard:
  rules:
    - { name: main-stays, branches: [main], except: { users: [root] } }
    - { name: quiet, operations: [commit], branches: [dev], mode: shadow }
    - { name: holidays, effect: freeze, repositories: [lake], branches: [prod], when: { until: 2026-12-27T00:00:00Z } }
"#;

    fn run(text: &str) -> Vec<String> {
        let config: Config = serde_saphyr::from_str(CONFIG).unwrap();
        let rules = Rules::new(&config.guard);
        let all = read(Path::new("p.yaml"), text).unwrap();
        all.iter()
            .filter_map(|each| check(&each.value, &rules, &config).unwrap().1)
            .collect()
    }

    #[test]
    fn met_expectations_say_nothing() {
        let met = r"
- request: DELETE /api/v1/repositories/lake/branches/main
  as: ann
  groups: [analysts]
  expect: deny
  by: main-stays
- request: DELETE /api/v1/repositories/lake/branches/main
  as: root
  expect: allow
- request: DELETE /api/v1/repositories/l%61ke/branches/main
  expect: deny
  by: ambiguous-target
- request: POST /api/v1/repositories/lake/branches/dev/commits
  body: '{}'
  expect: allow
  shadow: [quiet]
- request: DELETE http://s3.local.lakefs.io/lake/main/a
  expect: deny
- request: POST /api/v1/repositories/lake/branches/prod/commits
  at: 2026-12-26T00:00:00Z
  expect: freeze
  by: holidays
- request: POST /api/v1/repositories/lake/branches/prod/commits
  at: 2026-12-28T00:00:00Z
  expect: allow
";
        assert_eq!(run(met), [""; 0]);
    }

    #[test]
    fn an_expectation_that_is_not_met_says_what_happened_instead() {
        let wrong = r"
- request: DELETE /api/v1/repositories/lake/branches/main
  expect: allow
- name: the other rule
  request: DELETE /api/v1/repositories/lake/branches/main
  expect: deny
  by: holidays
- request: POST /api/v1/repositories/lake/branches/dev/commits
  expect: allow
  shadow: []
";
        assert_eq!(
            run(wrong),
            [
                "DELETE /api/v1/repositories/lake/branches/main: expected allow, got deny by main-stays",
                "the other rule: expected deny by holidays, got deny by main-stays",
                "POST /api/v1/repositories/lake/branches/dev/commits: expected in shadow none, got quiet",
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_by_line_and_column() {
        for (text, place, what) in [
            ("- request: DELETE /x\n  expekt: deny\n", "p.yaml:2:", "expekt"),
            ("- request: DELETE /x\n  expect: maybe\n", "p.yaml:2:", "maybe"),
            ("- request: /x\n  expect: deny\n", "p.yaml:1:", "is no request"),
        ] {
            let told = read(Path::new("p.yaml"), text).unwrap_err().to_string();
            assert!(told.contains(place) && told.contains(what), "{told}");
        }
    }
}
