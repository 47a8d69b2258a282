//! The decision: a classified request and the rules to allow or deny. Pure; allocates nothing where no rule speaks.

use std::fmt;

use http::Method;

use super::member::{Member, Place};
use super::rule::{Rule, Rules};
use crate::lakefs::{Classified, Force};

/// What is decided about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What the request is.
    pub classified: &'a Classified,
    /// Its method: of what the gateway does not know, only the method tells whether it changes anything.
    pub method: &'a Method,
}

/// What the rules say of a request.
#[derive(Debug, Default)]
pub struct Decision<'a> {
    /// The first rule in the configuration's order that refuses it; without one it is allowed.
    pub denied: Option<Refusal<'a>>,
    /// The rules in shadow that would refuse it, in the configuration's order.
    pub shadow: Vec<Refusal<'a>>,
}

/// One rule's no.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// What of the rule's preset it is.
    pub member: Member,
    /// What it protects.
    pub place: Place<'a>,
    forced: bool,
    method: &'a Method,
    number: usize,
}

/// What was refused, why, and what can be done: for the client.
impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.rule.name();
        match self.member {
            Member::HardReset => {
                let forced = if self.forced { " with force" } else { "" };
                let branch = self.place.branch.unwrap_or("(unnamed)");
                write!(
                    f,
                    "hard reset{forced} of protected branch `{branch}` is refused by rule `{rule}`: revert the commits instead, or ask whoever owns the gateway's rules"
                )
            }
            Member::UnknownMutation => write!(
                f,
                "{method} of an operation that the gateway does not know, in repository `{repository}`, is refused by rule `{rule}`: use an operation of lakeFS's documented API, or ask whoever owns the gateway's rules",
                method = self.method,
                repository = self.place.repository.unwrap_or("(unnamed)"),
            ),
        }
    }
}

/// Decides.
pub fn decide<'a>(asked: Asked<'a>, rules: &'a Rules) -> Decision<'a> {
    let mut decision = Decision::default();
    let Some(member) = Member::of(asked.classified.operation, asked.method) else {
        return decision;
    };
    for place in member.places(asked.classified) {
        rules.standing_over(place, |number, rule| {
            if !rule.refuses(member, asked.classified.force) {
                return;
            }
            let refusal = Refusal {
                rule,
                member,
                place,
                forced: asked.classified.force != Force::No,
                method: asked.method,
                number,
            };
            if !rule.is_shadow() {
                if decision.denied.is_none_or(|first| number < first.number) {
                    decision.denied = Some(refusal);
                }
            } else if decision.shadow.iter().all(|known| known.number != number) {
                decision.shadow.push(refusal);
            }
        });
    }
    decision.shadow.sort_unstable_by_key(|refusal| refusal.number);
    decision
}

/// What one rule makes of a request; for `lakegate explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// It stands over other repositories or branches.
    Elsewhere,
    /// It stands over this one, and lets this request through.
    Allows,
    /// It refuses.
    Refuses,
    /// It would refuse, were it not in shadow.
    WouldRefuse,
}

/// What each rule makes of a request, in the configuration's order. Empty where no rule can speak of the operation.
pub fn opinions<'a>(asked: Asked<'a>, rules: &'a Rules) -> Vec<(&'a Rule, Opinion)> {
    let Some(member) = Member::of(asked.classified.operation, asked.method) else {
        return Vec::new();
    };
    let opinion = |rule: &Rule| {
        let here = member.places(asked.classified).any(|place| rule.stands_over(place));
        match (here, rule.refuses(member, asked.classified.force)) {
            (false, _) => Opinion::Elsewhere,
            (true, false) => Opinion::Allows,
            (true, true) if rule.is_shadow() => Opinion::WouldRefuse,
            (true, true) => Opinion::Refuses,
        }
    };
    rules.iter().map(|rule| (rule, opinion(rule))).collect()
}
