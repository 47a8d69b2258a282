//! Meets what rules ask before a request may go: a confirmation of what is about to be lost, an approval by a second person.
//!
//! Confirmations come first: one that is stale must not use an approval up. The refusal names the commit. A confirmation guards against
//! what nobody has looked at and against a branch that moved meanwhile, not against ill will; for that there are approvals.

use http::HeaderValue;

use super::approvals::Asked;
use super::state::State;
use super::subject::Place;
use super::{Record, Sent, cannot};
use crate::config::Mode;
use crate::exchange::{Ask, Context, Rejection};
use crate::store::Approval;

impl Record {
    /// Meets what rules ask of a request whose place stands at `commit`.
    pub(super) async fn meet(
        &self,
        context: &Context,
        sent: Sent,
        place: &Place,
        commit: Option<&str>,
    ) -> Result<(), Rejection> {
        let asked = |ask| context.requirements().iter().filter(move |asked| asked.ask == ask);
        for asked in asked(Ask::Confirmation) {
            let rejection = confirmation(&asked.rule, sent.confirmed.as_ref(), place, commit);
            if let Some(rejection) = rejection
                && rejection.bites(asked.effective(self.mode), context, &asked.rule)
            {
                return Err(rejection);
            }
        }
        let mut biting = None;
        for asked in asked(Ask::Approval) {
            if asked.effective(self.mode) == Mode::Enforce {
                biting = biting.or(Some(&asked.rule));
            } else {
                let rejection = Rejection::ApprovalRequired {
                    rule: asked.rule.clone(),
                    what: String::new(),
                };
                rejection.shadow(context, &asked.rule);
            }
        }
        match (biting, sent.wanted) {
            (Some(rule), Some(wanted)) => {
                let wanted = Approval {
                    commit: commit.map(str::to_owned),
                    ..wanted
                };
                approval(&self.state, rule.clone(), wanted).await
            }
            _ => Ok(()),
        }
    }
}

fn confirmation(rule: &str, confirmed: Option<&HeaderValue>, place: &Place, commit: Option<&str>) -> Option<Rejection> {
    let rule = rule.to_owned();
    let (kind, name) = match place {
        Place::Branch { branch, .. } => ("branch", branch),
        Place::Tag { tag, .. } => ("tag", tag),
        Place::Repository { .. } | Place::Nowhere => {
            let what = "this operation names no branch and no tag, so there is no commit to confirm; the rule's owner \
                        can let a second person approve it instead"
                .to_owned();
            return Some(Rejection::ConfirmationRequired { rule, what });
        }
    };
    // Where nothing is, nothing can be lost.
    let commit = commit?;
    let what = format!("{kind} {name} is at {commit}");
    match confirmed {
        None => Some(Rejection::ConfirmationRequired { rule, what }),
        Some(value) if value.as_bytes().trim_ascii().eq_ignore_ascii_case(commit.as_bytes()) => None,
        Some(_) => Some(Rejection::ConfirmationStale { rule, what }),
    }
}

async fn approval(state: &State, rule: String, wanted: Approval) -> Result<(), Rejection> {
    let what = match state.ask(wanted).await.map_err(|error| cannot(&error))? {
        Asked::Passes => return Ok(()),
        Asked::Waits(approval) => format!(
            "let them run `lakegate approve {}` before {}, then send the request again, unchanged",
            approval.id, approval.until
        ),
        Asked::Denied(approval) => format!(
            "{} has denied it (approval {})",
            approval.by.as_deref().unwrap_or("a second person"),
            approval.id
        ),
        Asked::Unsure => {
            let why = "whether another replica has used this approval up cannot be known while Redis cannot be reached";
            return Err(Rejection::CannotRecord(why.into()));
        }
        Asked::Full => return Err(Rejection::CannotRecord("too many requests wait for an approval".into())),
    };
    Err(Rejection::ApprovalRequired { rule, what })
}
