//! Guard: who may do what, where and when; refuses what would hurt a protected branch.
//!
//! `lakefs::danger` says what is dangerous, `rule` what a rule speaks of (`who`, `operations`, `pattern`, `when`), `decide` puts both
//! together, `refusal` words it; this layer acts on the decision. Names are compared as lakeFS will bind them: that is
//! `lakefs::classify`'s work.

pub mod decide;
pub mod refusal;
pub mod rule;

mod index;
mod operations;
mod pattern;
#[cfg(test)]
mod tests;
mod when;
mod who;

use crate::config::{Effect, GuardConfig, Mode, RuleMode};
use crate::exchange::step::Inner;
use crate::exchange::{Ask, Context, Next, Proof, Rejection, Request, Requirement, Response, Step, headers};

pub use decide::{Asked, Cause, Decision, Opinion, decide, may_see, opinions};
pub use refusal::Refusal;
pub use rule::{Rule, Rules};

/// The guard layer.
#[derive(Debug)]
pub struct Guard {
    rules: Rules,
    mode: Mode,
}

impl Guard {
    /// Compiles the rules; in `Mode::Observe` all of them are in shadow.
    pub fn new(config: &GuardConfig, mode: Mode) -> Self {
        Self {
            rules: Rules::new(config),
            mode,
        }
    }

    fn decide<'a>(&'a self, asked: Asked<'a>) -> Decision<'a> {
        let mut decision = decide(asked, &self.rules);
        if self.mode == Mode::Observe {
            decision.shadow.extend(decision.denied.take());
        }
        decision
    }
}

/// What record asks for, in the rules' names.
fn requirements(required: &[Refusal<'_>]) -> Vec<Requirement> {
    let requirement = |refusal: &Refusal<'_>| {
        let rule = refusal.rule?;
        Some(Requirement {
            ask: match rule.effect() {
                Effect::RequireConfirmation => Ask::Confirmation,
                Effect::RequireApproval => Ask::Approval,
                Effect::Deny | Effect::Allow | Effect::Freeze => return None,
            },
            rule: rule.name().to_owned(),
            mode: if rule.is_shadow() {
                RuleMode::Shadow
            } else {
                RuleMode::Enforce
            },
        })
    };
    required.iter().filter_map(requirement).collect()
}

impl Step for Guard {
    async fn call<S: Inner>(&self, request: Request, next: Next<S>) -> Response {
        let context = Context::of(&request);
        let Some(classified) = context.classified() else {
            tracing::error!(request.id = %context.id(), "a request came to the guard unclassified");
            return Rejection::Internal.respond(&context, request.method());
        };
        let asked = Asked {
            classified,
            method: request.method(),
            principal: context.principal(),
            address: context.client().address,
            now: jiff::Timestamp::now(),
        };
        let decision = self.decide(asked);
        for refusal in &decision.shadow {
            log(refusal, &context, "shadow");
            rejection(refusal).shadow(&context, refusal.by_name());
        }
        if let Some(refusal) = decision.denied {
            log(&refusal, &context, "refused");
            return rejection(&refusal).respond(&context, request.method());
        }
        if !decision.required.is_empty() {
            context.set_requirements(requirements(&decision.required));
        }
        let in_shadow: Vec<_> = decision
            .shadow
            .iter()
            .map(|refusal| headers::value(refusal.by_name()))
            .collect();
        let mut response = next.run(request).await;
        for rule in in_shadow {
            response.headers_mut().append(headers::SHADOW, rule);
        }
        response
    }
}

fn rejection(refusal: &Refusal<'_>) -> Rejection {
    let message = refusal.to_string();
    match refusal.rule {
        None => Rejection::NotGranted(message),
        Some(rule) if refusal.is_for_now() => Rejection::Frozen {
            rule: rule.name().to_owned(),
            message,
            retry_after: refusal.retry_after(),
        },
        Some(rule) => Rejection::Guarded {
            rule: rule.name().to_owned(),
            message,
        },
    }
}

/// One line a decision.
fn log(refusal: &Refusal<'_>, context: &Context, decision: &'static str) {
    tracing::info!(
        target: "lakegate::guard",
        {
            request.id = %context.id(),
            decision,
            rule = refusal.by_name(),
            member = refusal.member(),
            operation = context.classified().map(|classified| classified.operation.spec().id),
            repository = refusal.place.repository,
            branch = refusal.place.branch,
            tag = refusal.place.tag,
            principal = context.principal().map(|principal| &*principal.name),
            auth.proved = context.principal().map(|principal| principal.proof == Proof::Proved),
        },
        "{refusal}"
    );
}
