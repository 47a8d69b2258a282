//! The decision: a classified request, who sends it, and the rules. Pure; allocates nothing where no rule speaks.
//!
//! A request has causes to be spoken of: each danger in each place that it reaches, and its operation on each of its targets. A rule that
//! refuses one of them refuses the request, whatever other rules say. Where `guard.default` is not `allow`, each target must be granted.

use std::net::IpAddr;

use http::Method;

use super::refusal::Refusal;
use super::rule::{Rule, Rules};
use crate::config::{Effect, GuardDefault};
use crate::exchange::Principal;
use crate::lakefs::{Classified, Danger, Dangers, Force, Operation, Place, Role, Target};

/// What is decided about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What the request is.
    pub classified: &'a Classified,
    /// Its method: of what the gateway does not know, only the method tells whether it changes anything.
    pub method: &'a Method,
    /// Whom it acts for; nobody in particular if nothing.
    pub principal: Option<&'a Principal>,
    /// Where it comes from.
    pub address: IpAddr,
    /// What time it is.
    pub now: jiff::Timestamp,
}

/// What a rule can speak of in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// What it can do.
    Danger(Danger),
    /// What it is. What a mutation reads from counts as read (`getObject`).
    Operation(Operation),
}

/// What the rules say of a request.
#[derive(Debug, Default)]
pub struct Decision<'a> {
    /// Why it is refused: the first rule in the configuration's order that denies it; else the first that freezes it; else that nothing
    /// grants it. Without one it is allowed.
    pub denied: Option<Refusal<'a>>,
    /// What is asked for before it goes, in shadow too, in the configuration's order.
    pub required: Vec<Refusal<'a>>,
    /// What in shadow would refuse it, in the configuration's order.
    pub shadow: Vec<Refusal<'a>>,
}

/// Decides.
pub fn decide<'a>(asked: Asked<'a>, rules: &'a Rules) -> Decision<'a> {
    decide_of(asked, Dangers::of(asked.classified, asked.method), rules)
}

/// Decides, where it is known which dangers there are.
pub(super) fn decide_of<'a>(asked: Asked<'a>, dangers: Dangers, rules: &'a Rules) -> Decision<'a> {
    let mut decision = Decision::default();
    let dangers = dangers.and(rules.dangers());
    causes(&asked, dangers, rules.operations().any(&asked), |cause, place| {
        rules.standing_over(place, |number, rule| {
            if !decision.is_settled(number, rule)
                && rule.is_of(cause, asked.classified.force)
                && rule.stands_over_path(place.path)
                && rule.is_about(&asked)
                && rule.holds(&asked)
            {
                decision.take(Refusal::by(number, rule, cause, place, &asked));
            }
        });
    });
    if rules.default_verdict() != GuardDefault::Allow
        && let Some(place) = ungranted(&asked, rules)
    {
        let refusal = Refusal::by_default(place, &asked);
        match rules.default_verdict() {
            GuardDefault::Deny if decision.denied.is_none() => decision.denied = Some(refusal),
            GuardDefault::Shadow => decision.shadow.push(refusal),
            GuardDefault::Deny | GuardDefault::Allow => {}
        }
    }
    decision.required.sort_unstable_by_key(Refusal::number);
    decision.shadow.sort_unstable_by_key(Refusal::number);
    decision
}

impl<'a> Decision<'a> {
    /// Whether a rule could not change it any more: one that refuses behind one that has refused.
    fn is_settled(&self, number: usize, rule: &Rule) -> bool {
        let refuses = matches!(rule.effect(), Effect::Deny | Effect::Freeze) && !rule.is_shadow();
        let rank = (rule.effect() == Effect::Freeze, number);
        refuses
            && self
                .denied
                .is_some_and(|first| (first.is_for_now(), first.number()) <= rank)
    }

    fn take(&mut self, refusal: Refusal<'a>) {
        let once = |known: &mut Vec<Refusal<'a>>| {
            if known.iter().all(|known| known.number() != refusal.number()) {
                known.push(refusal);
            }
        };
        let Some(rule) = refusal.rule else { return };
        match rule.effect() {
            Effect::RequireConfirmation | Effect::RequireApproval => once(&mut self.required),
            _ if rule.is_shadow() => once(&mut self.shadow),
            Effect::Deny | Effect::Freeze => {
                let rank = |refusal: &Refusal<'_>| (refusal.is_for_now(), refusal.number());
                if self.denied.is_none_or(|first| rank(&refusal) < rank(&first)) {
                    self.denied = Some(refusal);
                }
            }
            Effect::Allow => {}
        }
    }
}

/// Shows `each` what rules can speak of in a request: the gravest first.
fn causes<'a>(asked: &Asked<'a>, dangers: Dangers, operations: bool, mut each: impl FnMut(Cause, Place<'a>)) {
    let classified = asked.classified;
    for danger in dangers.iter() {
        for place in danger.places(classified) {
            each(Cause::Danger(danger), place);
        }
    }
    if operations {
        for (operation, place) in touched(asked) {
            each(Cause::Operation(operation), place);
        }
    }
}

/// What a request does where: its operation on what it is about, a read of what it takes from.
fn touched<'a>(asked: &Asked<'a>) -> impl Iterator<Item = (Operation, Place<'a>)> {
    let classified = asked.classified;
    // An Iceberg catalog is one operation to the table, whatever is done there.
    let reads = classified.operation == Operation::Iceberg && matches!(*asked.method, Method::GET | Method::HEAD);
    let operation = if reads {
        Operation::GetObject
    } else {
        classified.operation
    };
    let each = classified.targets.iter().map(move |target| {
        let operation = match target.role {
            Role::Source if classified.operation.spec().mutates => Operation::GetObject,
            _ => operation,
        };
        (operation, Place::of(classified.operation, target))
    });
    let nowhere = classified.targets.is_empty().then(|| (operation, Place::default()));
    each.chain(nowhere)
}

impl super::operations::Operations {
    /// Whether it has what a request is, or what it reads from.
    fn any(&self, asked: &Asked<'_>) -> bool {
        self.has(asked.classified.operation)
            || (self.has(Operation::GetObject)
                && asked
                    .classified
                    .targets
                    .iter()
                    .any(|target| target.role == Role::Source))
    }
}

/// The first place of a request where nothing grants it.
fn ungranted<'a>(asked: &Asked<'a>, rules: &Rules) -> Option<Place<'a>> {
    let classified = asked.classified;
    if classified.operation.spec().anonymous {
        return None;
    }
    touched(asked)
        .find(|(operation, place)| {
            !rules.any_grant(asked, |rule| {
                rule.is_of(Cause::Operation(*operation), classified.force)
                    && rule.grants(*place, must_be_whole(*operation))
            })
        })
        .map(|(_, place)| place)
}

/// Whether what an operation does not name must be granted as a whole.
fn must_be_whole(operation: Operation) -> bool {
    (operation.spec().mutates && !changes_no_branch(operation)) || reads_beyond_branches(operation)
}

/// Reads that name no branch and yet give what is on all of them.
fn reads_beyond_branches(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::GetMetaRange | O::GetRange | O::GetMetadataObject | O::DumpStatus | O::RestoreStatus
    )
}

/// Changes that name no branch because they change none.
fn changes_no_branch(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::CreatePullRequest
            | O::UpdatePullRequest
            | O::CreatePullRequestComment
            | O::UpdatePullRequestComment
            | O::DeletePullRequestComment
    )
}

/// Whether whoever asks may know of a repository: what a listing of repositories shows.
pub fn may_see(repository: &str, asked: Asked<'_>, rules: &Rules) -> bool {
    let classified = Classified {
        protocol: asked.classified.protocol,
        operation: Operation::GetRepository,
        targets: vec![Target {
            role: Role::Subject,
            repository: repository.to_owned(),
            reference: None,
            path: None,
        }],
        upload_id: None,
        part_number: None,
        parts: None,
        source_metarange: None,
        source_wins: false,
        presign: false,
        force: Force::No,
    };
    let asked = Asked {
        classified: &classified,
        method: &Method::GET,
        ..asked
    };
    decide(asked, rules).denied.is_none()
}

/// What one rule makes of a request; for `lakegate explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// It is about something else.
    Other,
    /// It stands over other repositories, branches or paths.
    Elsewhere,
    /// It is about other people.
    Others,
    /// It holds at other times.
    NotNow,
    /// It refuses, for now or for good.
    Refuses,
    /// It would refuse, or ask for something, were it not in shadow.
    WouldRefuse,
    /// It asks for something first.
    Requires,
    /// It grants, if every target is granted.
    Grants,
}

/// What each rule makes of a request, in the configuration's order; then the roles.
pub fn opinions<'a>(asked: Asked<'a>, rules: &'a Rules) -> Vec<(&'a Rule, Opinion)> {
    rules.iter().map(|rule| (rule, opinion(&asked, rule))).collect()
}

fn opinion(asked: &Asked<'_>, rule: &Rule) -> Opinion {
    let (mut spoken, mut here) = (false, false);
    causes(
        asked,
        Dangers::of(asked.classified, asked.method),
        true,
        |cause, place| {
            let of = rule.is_of(cause, asked.classified.force);
            spoken |= of;
            here |= of
                && match (rule.effect(), cause) {
                    (Effect::Allow, Cause::Operation(operation)) => rule.grants(place, must_be_whole(operation)),
                    (Effect::Allow, Cause::Danger(_)) => false,
                    _ => rule.stands_over(place),
                };
        },
    );
    match rule.effect() {
        _ if !spoken => Opinion::Other,
        _ if !here => Opinion::Elsewhere,
        _ if !rule.is_about(asked) => Opinion::Others,
        _ if !rule.holds(asked) => Opinion::NotNow,
        _ if rule.is_shadow() => Opinion::WouldRefuse,
        Effect::Deny | Effect::Freeze => Opinion::Refuses,
        Effect::RequireConfirmation | Effect::RequireApproval => Opinion::Requires,
        Effect::Allow => Opinion::Grants,
    }
}
