//! Guard: refuses what would hurt a protected branch.
//!
//! `member` says what is dangerous, `rule` where it is refused, `decide` puts both together; this layer acts on the decision. Names are
//! compared as lakeFS will bind them: that is `lakefs::classify`'s work.

pub mod decide;
pub mod member;
pub mod rule;

mod index;
mod pattern;
#[cfg(test)]
mod tests;

use crate::config::{GuardConfig, Mode};
use crate::exchange::step::Inner;
use crate::exchange::{Context, Next, Proof, Rejection, Request, Response, Step};

pub use decide::{Asked, Decision, Opinion, Refusal, decide, opinions};
pub use member::{Member, Place};
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
        };
        let mut decision = decide(asked, &self.rules);
        if self.mode == Mode::Observe
            && let Some(refusal) = decision.denied.take()
        {
            decision.shadow.push(refusal);
        }
        for refusal in &decision.shadow {
            log(refusal, &context, "shadow");
            rejection(refusal).shadow(&context, refusal.rule.name());
        }
        if let Some(refusal) = decision.denied {
            log(&refusal, &context, "refused");
            return rejection(&refusal).respond(&context, request.method());
        }
        next.run(request).await
    }
}

fn rejection(refusal: &Refusal<'_>) -> Rejection {
    Rejection::Guarded {
        rule: refusal.rule.name().to_owned(),
        message: refusal.to_string(),
    }
}

/// One line a decision.
fn log(refusal: &Refusal<'_>, context: &Context, decision: &'static str) {
    tracing::info!(
        target: "lakegate::guard",
        {
            request.id = %context.id(),
            decision,
            rule = refusal.rule.name(),
            member = refusal.member.name(),
            operation = context.classified().map(|classified| classified.operation.spec().id),
            repository = refusal.place.repository,
            branch = refusal.place.branch,
            principal = context.principal().map(|principal| &*principal.name),
            auth.proved = context.principal().map(|principal| principal.proof == Proof::Proved),
        },
        "{refusal}"
    );
}
