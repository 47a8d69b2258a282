//! Guard: who may do what, where and when; refuses what would hurt a protected branch.
//!
//! `lakefs::danger` says what is dangerous, `rule` what a rule speaks of (`who`, `operations`, `pattern`, `when`), `decide` puts both
//! together, `refusal` words it; this layer acts on the decision. Names are compared as lakeFS will bind them: that is
//! `lakefs::classify`'s work. Only where something could be hurt is lakeFS asked: for its own rules (`theirs`), for its users (`users`).
//! Listings of repositories are cut to what one may know of (`listing`).

pub mod decide;
pub mod refusal;
pub mod rule;

mod index;
mod listing;
mod operations;
mod pattern;
#[cfg(test)]
mod tests;
mod theirs;
mod users;
mod when;
mod who;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::{Effect, GuardConfig, LakefsRules, Mode, RuleMode};
use crate::exchange::step::Inner;
use crate::exchange::{
    Afterwards, Ask, Context, Next, Proof, Rejection, Request, Requirement, Response, Step, headers,
};
use crate::lakefs::{Classified, Danger, Dangers, Operation};
use crate::lakefs_client::{Caller, Client, Identity};
use decide::decide_of;
use listing::Listing;
use theirs::Theirs;

pub use decide::{Asked, Cause, Decision, Opinion, decide, may_see, opinions};
pub use refusal::Refusal;
pub use rule::{Rule, Rules};

/// What of guard outlives a reload.
#[derive(Debug)]
pub struct State {
    client: Client,
    theirs: Arc<Theirs>,
    /// Of listings that are cut.
    places: Arc<Semaphore>,
}

impl State {
    /// Asks lakeFS by `client`.
    pub fn new(client: Client) -> Self {
        Self {
            theirs: Arc::new(Theirs::new(client.clone())),
            places: Arc::new(Semaphore::new(listing::AT_A_TIME)),
            client,
        }
    }
}

/// The guard layer.
#[derive(Debug)]
pub struct Guard {
    rules: Arc<Rules>,
    mode: Mode,
    lakefs_rules: LakefsRules,
    /// The gateway's own user.
    caller: Option<Caller>,
    state: Arc<State>,
}

impl Guard {
    /// Compiles the rules; in `Mode::Observe` all of them are in shadow. Without an `identity` lakeFS cannot be asked for its own.
    pub fn new(config: &GuardConfig, mode: Mode, state: Arc<State>, identity: Option<Arc<dyn Identity>>) -> Self {
        let lakefs_rules = match (config.lakefs_rules, &identity) {
            (Some(said), Some(_)) => said,
            (None, Some(_)) => LakefsRules::Enforce,
            (Some(LakefsRules::Off), None) => LakefsRules::Off,
            (_, None) => {
                tracing::info!(
                    target: "lakegate::guard",
                    "lakeFS's own branch protection rules are left to lakeFS: the gateway has no user to read them with (auth.service)"
                );
                LakefsRules::Off
            }
        };
        Self {
            rules: Arc::new(Rules::new(config)),
            mode,
            lakefs_rules,
            caller: identity.map(Caller::Gateway),
            state,
        }
    }

    /// The dangers of a request, those that could be ruled out by asking lakeFS left out.
    async fn dangers(&self, asked: Asked<'_>, path: &str) -> Dangers {
        let dangers = Dangers::of(asked.classified, asked.method);
        if !dangers.and(self.rules.dangers()).has(Danger::DeleteUser) {
            return dangers;
        }
        let Some(caller) = &self.caller else { return dangers };
        match users::can_be_spared(&self.state.client, caller, path).await {
            Ok(true) => dangers.without(Danger::DeleteUser),
            Ok(false) => dangers,
            Err(error) => {
                tracing::warn!(target: "lakegate::guard", %error, "whose deletion it is, lakeFS does not say: it counts as the last one's");
                dangers
            }
        }
    }

    /// What lakeFS's own rules are where a request could hurt something.
    async fn theirs(&self, asked: Asked<'_>, dangers: Dangers) -> Result<Vec<Arc<Rules>>, Rejection> {
        let mut theirs = Vec::new();
        let Some(caller) = self.caller.as_ref().filter(|_| self.lakefs_rules != LakefsRules::Off) else {
            return Ok(theirs);
        };
        for repository in theirs::concerned(asked.classified, dangers) {
            match self.state.theirs.rules(caller, repository).await {
                Ok(rules) => theirs.extend(rules),
                Err(error) => return Err(Rejection::ProtectionUnknown(error.to_string())),
            }
        }
        Ok(theirs)
    }

    /// Adds what lakeFS's rules say to what its own say.
    fn add<'a>(&self, theirs: &'a [Arc<Rules>], asked: Asked<'a>, dangers: Dangers, decision: &mut Decision<'a>) {
        let mut refused = theirs
            .iter()
            .filter_map(|rules| decide_of(asked, dangers, rules).denied);
        match self.mode_of_theirs() {
            Mode::Observe => decision.shadow.extend(refused),
            Mode::Enforce => decision.denied = decision.denied.take().or_else(|| refused.next()),
        }
    }

    /// Sees to it that rules that a request sets count from its answer on, though its client may have left by then.
    fn forgets(&self, request: &mut Request, context: &Context) -> Option<Afterwards> {
        let classified = context.classified().filter(|classified| {
            matches!(
                classified.operation,
                Operation::SetBranchProtectionRules
                    | Operation::InternalCreateBranchProtectionRule
                    | Operation::InternalDeleteBranchProtectionRule
                    | Operation::DeleteRepository
            )
        })?;
        let (theirs, repository) = (
            Arc::clone(&self.state.theirs),
            classified.targets.first()?.repository.clone(),
        );
        let afterwards = Afterwards::new(move |response| {
            // Whatever it says: a timeout of the gateway's own does not tell what lakeFS did.
            theirs.forget(&repository);
            response
        });
        request.extensions_mut().insert(afterwards.clone());
        Some(afterwards)
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
        let method = request.method().clone();
        let asked = Asked {
            classified,
            method: &method,
            principal: context.principal(),
            address: context.client().address,
            now: jiff::Timestamp::now(),
        };
        let dangers = self.dangers(asked, request.uri().path()).await;
        let mut decision = decide_of(asked, dangers, &self.rules);
        if self.mode == Mode::Observe {
            decision.shadow.extend(decision.denied.take());
        }
        let (theirs, unknown) = match decision.denied {
            // Nothing to ask lakeFS about any more.
            Some(_) => (Vec::new(), None),
            None => match self.theirs(asked, dangers).await {
                Ok(theirs) => (theirs, None),
                Err(unknown) => (Vec::new(), Some(unknown)),
            },
        };
        self.add(&theirs, asked, dangers, &mut decision);
        for refusal in &decision.shadow {
            log(refusal, &context, "shadow");
            rejection(refusal, classified).shadow(&context, refusal.by_name());
        }
        if let Some(refusal) = decision.denied {
            log(&refusal, &context, "refused");
            return rejection(&refusal, classified).respond(&context, &method);
        }
        if let Some(unknown) = unknown
            && unknown.bites(self.mode_of_theirs(), &context, "guard.lakefs_rules")
        {
            return unknown.respond(&context, &method);
        }
        if !decision.required.is_empty() {
            context.set_requirements(requirements(&decision.required));
        }
        let in_shadow: Vec<_> = decision
            .shadow
            .iter()
            .map(|refusal| headers::value(refusal.by_name()))
            .collect();
        let mut response = self.forward(request, &context, next).await;
        for rule in in_shadow {
            response.headers_mut().append(headers::SHADOW, rule);
        }
        response
    }
}

impl Guard {
    fn mode_of_theirs(&self) -> Mode {
        match self.lakefs_rules {
            LakefsRules::Enforce => self.mode,
            LakefsRules::Shadow | LakefsRules::Off => Mode::Observe,
        }
    }

    async fn forward<S: Inner>(&self, mut request: Request, context: &Context, next: Next<S>) -> Response {
        let listing = (self.mode == Mode::Enforce && self.rules.may_hide_repositories())
            .then(|| {
                let State { client, places, .. } = &*self.state;
                Listing::of(&mut request, context, &self.rules, (client, places))
            })
            .flatten();
        let afterwards = self.forgets(&mut request, context);
        let response = next.run(request).await;
        let response = match afterwards {
            Some(afterwards) => afterwards.run(response),
            None => response,
        };
        match listing {
            Some(listing) => listing.cut(response).await,
            None => response,
        }
    }
}

fn rejection(refusal: &Refusal<'_>, classified: &Classified) -> Rejection {
    let message = refusal.to_string();
    match refusal.rule {
        None => Rejection::NotGranted(message),
        Some(rule) if let Some(message) = theirs::words(rule, refusal.cause, classified) => Rejection::Protected {
            rule: rule.name().to_owned(),
            message,
        },
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
