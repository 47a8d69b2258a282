//! What no single key of `guard` can tell: rules that say nothing, that never speak, or that take back what another one says.

use super::guard::{Effect, GuardConfig, GuardDefault, Preset, RoleConfig, RuleConfig};
use super::problem::Problem;
use super::{HardResetMember, RuleMode, WhoConfig};
use crate::lakefs::Operation;
use crate::lakefs::glob::Glob;

/// Everything that is wrong with the rules and roles.
pub(super) fn findings(guard: &GuardConfig) -> Vec<Problem> {
    let mut findings = Findings(Vec::new());
    for (index, rule) in guard.rules.iter().enumerate() {
        let at = At(format!("guard.rules[{index}]"));
        findings.name(&at, rule, guard.rules.get(..index).unwrap_or_default());
        findings.what(&at, rule);
        findings.places(&at, rule);
        findings.people(&at, [&rule.users, &rule.groups, &rule.keys]);
        findings.times(&at, rule);
    }
    for (index, role) in guard.roles.iter().enumerate() {
        findings.role(&At(format!("guard.roles[{index}]")), role);
    }
    if findings.0.is_empty() {
        findings.one_against_another(guard);
    }
    findings.0
}

struct Findings(Vec<Problem>);

/// Where in the file a rule or role stands.
struct At(String);

impl At {
    fn key(&self, field: &str) -> String {
        format!("{}.{field}", self.0)
    }
}

impl Findings {
    fn error(&mut self, key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Problem::error(key, message, remedy));
    }

    fn warning(&mut self, key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Problem::warning(key, message, remedy));
    }

    fn name(&mut self, at: &At, rule: &RuleConfig, earlier: &[RuleConfig]) {
        if rule.name.is_empty() || rule.name.len() > 100 || rule.name.contains(char::is_control) {
            self.error(
                at.key("name"),
                "is no name",
                "write 1 to 100 characters on one line: refused clients read it",
            );
        } else if earlier.iter().any(|other| other.name == rule.name) {
            self.error(
                at.key("name"),
                format!("is `{}`, as an earlier rule's", rule.name),
                "give each rule a name of its own",
            );
        }
    }

    fn what(&mut self, at: &At, rule: &RuleConfig) {
        let protects = rule.preset() == Some(Preset::Protect);
        if protects && rule.branches.is_none() {
            let remedy = "write `branches: [main]`, or `branches: [\"*\"]` for all of them";
            self.error(at.key("branches"), "is missing: `protect` stands over branches", remedy);
        }
        if protects && rule.paths.is_some() {
            let remedy = "take it out, or name `dangers` and `operations` on objects instead of the preset";
            let message = "leaves the branch itself open: most of what `protect` refuses is about no object";
            self.error(at.key("paths"), message, remedy);
        }
        let named = RuleConfig {
            allow: Vec::new(),
            ..rule.clone()
        };
        for (index, danger) in rule.allow.iter().enumerate() {
            if !named.dangers().has(*danger) || rule.dangers.contains(danger) {
                let message = format!("lets `{}` pass, of which the rule does not speak", danger.name());
                let remedy =
                    "it takes a danger out of `preset: protect`; to grant something write a rule with `effect: allow`";
                self.error(at.key(&format!("allow[{index}]")), message, remedy);
            }
        }
        if rule.hard_reset != HardResetMember::default() && !rule.dangers().has(crate::lakefs::Danger::HardReset) {
            let remedy = "take it out";
            self.error(
                at.key("hard_reset"),
                "has no effect: the rule does not speak of hard resets",
                remedy,
            );
        }
        let speaks = Operation::ALL.iter().any(|operation| rule.names(*operation));
        if rule.effect == Effect::Allow && !rule.dangers().is_empty() {
            let remedy = "name `operations` or `classes`, or `preset: everything`";
            self.error(at.key("effect"), "is `allow`, and dangers can only be refused", remedy);
        } else if !speaks && rule.dangers().is_empty() {
            self.error(
                at.0.clone(),
                "speaks of nothing",
                "name `dangers`, `operations` or `classes`",
            );
        }
    }

    fn places(&mut self, at: &At, rule: &RuleConfig) {
        self.patterns(at, "repositories", &rule.repositories, Some(('-', "repository")));
        for (field, patterns, named) in [
            ("branches", &rule.branches, Some(('_', "branch"))),
            ("tags", &rule.tags, None),
            ("paths", &rule.paths, None),
        ] {
            if let Some(patterns) = patterns {
                self.patterns(at, field, patterns, named);
            }
        }
    }

    fn people(&mut self, at: &At, lists: [&Vec<String>; 3]) {
        for (field, names) in ["users", "groups", "keys"].into_iter().zip(lists) {
            for (index, name) in names.iter().enumerate() {
                self.pattern(at.key(&format!("{field}[{index}]")), name, None);
            }
        }
    }

    fn times(&mut self, at: &At, rule: &RuleConfig) {
        let Some(when) = &rule.when else {
            if rule.effect == Effect::Freeze {
                let remedy = "write `when: { until: 2026-12-24T18:00:00Z }`, or days and hours";
                self.error(
                    at.key("when"),
                    "is missing: a freeze has an end that clients are told",
                    remedy,
                );
            }
            return;
        };
        if let (Some(from), Some(until)) = (when.from, when.until)
            && from >= until
        {
            self.error(at.key("when.until"), "is not after `from`", "write a later moment");
        } else if when.until.is_some_and(|until| until.0 < jiff::Timestamp::now()) {
            self.warning(
                at.key("when.until"),
                "is past: the rule does not hold any more",
                "take the rule out",
            );
        }
        if when.days.is_empty() && when.hours.is_none() && when.from.is_none() && when.until.is_none() {
            self.error(
                at.key("when"),
                "names no time",
                "write days, hours, from or until, or take it out",
            );
        }
    }

    fn role(&mut self, at: &At, role: &RoleConfig) {
        self.patterns(at, "repositories", &role.repositories, Some(('-', "repository")));
        if let Some(branches) = &role.branches {
            self.patterns(at, "branches", branches, Some(('_', "branch")));
        }
        self.people(at, [&role.users, &role.groups, &role.keys]);
    }

    /// `named` is a sign that such names may hold beside letters and digits, and what they are called.
    fn patterns(&mut self, at: &At, field: &str, patterns: &[String], named: Option<(char, &str)>) {
        if patterns.is_empty() {
            let message = "is empty, so the rule speaks of nothing";
            self.error(at.key(field), message, "write a pattern: `*` is all of them");
        }
        for (index, pattern) in patterns.iter().enumerate() {
            self.pattern(at.key(&format!("{field}[{index}]")), pattern, named);
        }
    }

    fn pattern(&mut self, key: String, pattern: &str, named: Option<(char, &str)>) {
        // lakeFS's own patterns of names (pkg/validator/validate.go).
        let in_name = |c: char| match named {
            Some((_, "repository")) => c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
            Some((sign, _)) => c.is_ascii_alphanumeric() || c == sign || c == '-',
            None => true,
        };
        if pattern.is_empty() {
            self.error(
                key,
                "is empty, and matches no name",
                "write a pattern: `*` is all of them",
            );
        } else if let Err(error) = Glob::new(pattern) {
            let message = format!("is no pattern: {error}");
            self.error(
                key,
                message,
                "write lakeFS's own syntax: `*`, `?`, `[a-c]`, `[!x]`, `{a,b}`, `\\` before a sign that is meant",
            );
        } else if let Some((_, named)) = named
            && let Some(sign) = pattern.chars().find(|c| !in_name(*c) && !"*?[]{}!,\\".contains(*c))
        {
            let message = format!("holds `{sign}`, and no {named} of lakeFS has that in its name");
            self.warning(key, message, "take it out, or the pattern stands for nothing");
        }
    }

    /// Rules that never speak, because another has said it all, and rules that take back what another says.
    fn one_against_another(&mut self, guard: &GuardConfig) {
        let default = guard.default_verdict();
        if default == GuardDefault::Allow {
            if !guard.roles.is_empty() {
                let remedy = "take one of the two out: roles grant nothing where everything is allowed";
                self.error("guard.default", "is `allow`, and roles are given", remedy);
            }
        } else if guard.roles.is_empty() && !guard.rules.iter().any(|rule| rule.effect == Effect::Allow) {
            let remedy = "give people roles, or write rules with `effect: allow`";
            self.error(
                "guard.default",
                "is not `allow`, and nothing grants anything: everything would be refused",
                remedy,
            );
        }
        for (index, rule) in guard.rules.iter().enumerate() {
            let key = format!("guard.rules[{index}]");
            if rule.effect == Effect::Allow && default == GuardDefault::Allow {
                let remedy =
                    "take the rule out, or write `default: deny`; to exempt somebody from a rule use its `except`";
                self.error(
                    format!("{key}.effect"),
                    "is `allow`, and everything is allowed already",
                    remedy,
                );
                continue;
            }
            let others = guard.rules.iter().enumerate().filter(|(at, _)| *at != index);
            for (at, other) in others {
                if let Some((message, remedy)) = said_by(rule, other, at < index) {
                    self.error(key, message, remedy);
                    break;
                }
            }
        }
        for (index, role) in guard.roles.iter().enumerate() {
            let others = guard.roles.iter().enumerate().filter(|(at, _)| *at != index);
            for (at, other) in others {
                if grants_all(other, role) && (at < index || !grants_all(role, other)) {
                    let message = format!(
                        "grants nothing beyond the role `{}` of guard.roles[{at}]",
                        other.role.name()
                    );
                    self.error(format!("guard.roles[{index}]"), message, "take one of the two out");
                    break;
                }
            }
        }
    }
}

/// Whether `other` leaves nothing for `rule` to say: what is wrong then, and the remedy.
fn said_by(rule: &RuleConfig, other: &RuleConfig, earlier: bool) -> Option<(String, &'static str)> {
    if !covers(other, rule) {
        return None;
    }
    let same = covers(rule, other) && rule.effect == other.effect && rule.mode == other.mode;
    if same {
        return earlier.then(|| {
            (
                format!("says the same as the rule `{}`", other.name),
                "take one of the two out",
            )
        });
    }
    if other.mode == RuleMode::Shadow {
        return None;
    }
    match (other.effect, rule.effect) {
        (Effect::Deny, Effect::Allow) => Some((
            format!(
                "contradicts the rule `{}`, which refuses everything that this one allows",
                other.name
            ),
            "take one of the two out, or name whom `except` frees of the other",
        )),
        (Effect::Deny, Effect::Deny | Effect::RequireConfirmation | Effect::RequireApproval | Effect::Freeze) => {
            Some((
                format!("never speaks: the rule `{}` refuses all of it", other.name),
                "take it out, or make the other one narrower",
            ))
        }
        (Effect::Allow, Effect::Allow) => Some((
            format!("grants nothing beyond the rule `{}`", other.name),
            "take it out, or make the other one narrower",
        )),
        _ => None,
    }
}

/// Whether everything that `inner` speaks of is also spoken of by `outer`. Patterns are compared by what is written, so that some that
/// cover each other are not found.
fn covers(outer: &RuleConfig, inner: &RuleConfig) -> bool {
    let when = outer.when.is_none() || outer.when == inner.when;
    let except = outer.except.is_none() || outer.except == inner.except;
    let dangers = outer.dangers().or(inner.dangers()) == outer.dangers();
    let hard_reset = outer.hard_reset == HardResetMember::Any || inner.hard_reset == outer.hard_reset;
    let operations = Operation::ALL
        .iter()
        .all(|operation| outer.names(*operation) || !inner.names(*operation));
    let paths = match (&outer.paths, &inner.paths) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => all_covered(outer, inner),
    };
    when && except
        && dangers
        && hard_reset
        && operations
        && paths
        && all_covered(&outer.repositories, &inner.repositories)
        && all_covered(outer.branches(), inner.branches())
        && all_covered(outer.tags(), inner.tags())
        && about_all(&who(outer), &who(inner))
}

fn who(rule: &RuleConfig) -> WhoConfig {
    WhoConfig {
        users: rule.users.clone(),
        groups: rule.groups.clone(),
        keys: rule.keys.clone(),
        addresses: rule.addresses.clone(),
    }
}

/// Whether a rule about `inner` is about nobody whom one about `outer` is not about.
fn about_all(outer: &WhoConfig, inner: &WhoConfig) -> bool {
    let nobody = |who: &WhoConfig| who.users.is_empty() && who.groups.is_empty() && who.keys.is_empty();
    let people = nobody(outer)
        || (!nobody(inner)
            && all_covered(&outer.users, &inner.users)
            && all_covered(&outer.groups, &inner.groups)
            && all_covered(&outer.keys, &inner.keys));
    let addresses = outer.addresses.is_empty()
        || (!inner.addresses.is_empty()
            && inner
                .addresses
                .iter()
                .all(|network| outer.addresses.iter().any(|wider| wider.contains(network))));
    people && addresses
}

fn grants_all(outer: &RoleConfig, inner: &RoleConfig) -> bool {
    let rule = |role: &RoleConfig| RuleConfig {
        users: role.users.clone(),
        groups: role.groups.clone(),
        keys: role.keys.clone(),
        addresses: role.addresses.clone(),
        repositories: role.repositories.clone(),
        branches: role.branches.clone(),
        effect: Effect::Allow,
        ..RuleConfig::default()
    };
    outer.role >= inner.role && covers(&rule(outer), &rule(inner))
}

/// Whether each of the inner patterns is, as far as is written, within one of the outer ones.
fn all_covered(outer: &[String], inner: &[String]) -> bool {
    let is_name = |pattern: &str| !pattern.contains(|c| "*?[]{}!\\".contains(c));
    inner.iter().all(|pattern| {
        outer.iter().any(|wider| {
            wider == pattern
                || wider == "*"
                || (is_name(pattern) && Glob::new(wider).is_ok_and(|wider| wider.matches(pattern)))
        })
    })
}
