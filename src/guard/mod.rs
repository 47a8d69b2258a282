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

use std::sync::Arc;

use crate::config::{GuardConfig, Mode};
use crate::exchange::step::Inner;
use crate::exchange::{Context, Next, Rejection, Request, Response, Step};
use crate::observe::Metrics;
use crate::observe::metrics::RefusalLabels;

pub use decide::{Asked, Decision, Opinion, Refusal, decide, opinions};
pub use member::{Member, Place};
pub use rule::{Rule, Rules};

/// The guard layer.
#[derive(Debug)]
pub struct Guard {
    rules: Rules,
    mode: Mode,
    metrics: Arc<Metrics>,
}

impl Guard {
    /// Compiles the rules; in `Mode::Observe` all of them are in shadow.
    pub fn new(config: &GuardConfig, mode: Mode, metrics: Arc<Metrics>) -> Self {
        Self {
            rules: Rules::new(config),
            mode,
            metrics,
        }
    }

    /// Writes down what a rule in shadow would have refused.
    fn note_shadow(&self, refusal: &Refusal<'_>, context: &Context) {
        log(refusal, context, "shadow");
        context.facts().shadow.push(refusal.rule.name().to_owned());
        let labels = RefusalLabels {
            reason: "guarded",
            mode: "shadow",
        };
        self.metrics.refusals.get_or_create(&labels).inc();
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
            self.note_shadow(refusal, &context);
        }
        if let Some(refusal) = decision.denied {
            log(&refusal, &context, "refused");
            let rejection = Rejection::Guarded {
                rule: refusal.rule.name().to_owned(),
                message: refusal.to_string(),
            };
            return rejection.respond(&context, request.method());
        }
        next.run(request).await
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
        },
        "{refusal}"
    );
}
