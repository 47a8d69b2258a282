//! One-time approvals: a request that a rule wants approved is kept until a second person has spoken, and then passes once.
//!
//! Each step is one transaction of the store, so that of two equal requests only one passes.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest;
use http::StatusCode;
use tracing::info;
use uuid::Uuid;

use super::state::State;
use super::{Operator, Refusal, broken};
use crate::config::ApprovalsConfig;
use crate::exchange::{Ask, Context, Inspected, Proof, Request};
use crate::lakefs::{Force, Role};
use crate::observe::metrics::OutcomeLabels;
use crate::replicas::Use;
use crate::store::{Approval, ApprovalState, Records, Snapshot, StoreError, Timestamp, clip};

/// How long a denied or used one is still shown.
const SHOWN: Duration = Duration::from_secs(24 * 3600);
/// Longest text of a request that is kept.
const TEXT_MAX: usize = 512;
/// Targets that are kept.
const TARGETS_MAX: usize = 10;

/// What became of a request that asks.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is approved, and has used that up.
    Passes,
    /// It waits for a second person.
    Waits(Box<Approval>),
    /// A second person has said no.
    Denied(Box<Approval>),
    /// Too many wait already.
    Full,
    /// It is approved, and whether another replica has used that up cannot be asked.
    Unsure,
}

/// The approval that rules want for a request, if any does.
pub(super) fn wanted(context: &Context, request: &Request) -> Option<Approval> {
    let asking = context.requirements().iter().filter(|asked| asked.ask == Ask::Approval);
    let rules: Vec<String> = asking.map(|asked| asked.rule.clone()).collect();
    if rules.is_empty() {
        return None;
    }
    let principal = context.principal();
    let classified = context.classified();
    let inspected = request.extensions().get::<Inspected>();
    let proved = principal.is_some_and(|principal| principal.proof == Proof::Proved);
    let name = principal.map_or("unknown", |principal| &principal.name);
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let digest = hex(&[
        name.as_bytes(),
        // Of one who only claims a name it has the address and the credential.
        principal.map_or("", |principal| &principal.limit_key).as_bytes(),
        &[u8::from(proved)],
        request.method().as_str().as_bytes(),
        target.as_bytes(),
        inspected.map_or(&[], |Inspected(body)| body),
    ]);
    let text = |text: &str| clip(text, TEXT_MAX).to_owned();
    let targets = classified.map_or(&[][..], |classified| &classified.targets);
    let targets = targets.iter().take(TARGETS_MAX).map(|target| {
        let from = if target.role == Role::Source { "from " } else { "" };
        let parts = [
            Some(&target.repository),
            target.reference.as_ref(),
            target.path.as_ref(),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        text(&format!("{from}{}", parts.join("/")))
    });
    let now = Timestamp::now();
    Some(Approval {
        id: Uuid::now_v7(),
        digest,
        principal: text(name),
        proved,
        operation: classified
            .map_or("unknown", |classified| classified.operation.spec().id)
            .to_owned(),
        request: text(&format!("{} {}", request.method(), request.uri().path())),
        targets: targets.collect(),
        forced: classified.is_some_and(|classified| classified.force != Force::No),
        body_read: inspected.is_some() || http_body::Body::is_end_stream(request.body()),
        commit: None,
        rules,
        state: ApprovalState::Pending,
        request_id: context.id(),
        asked: now,
        until: now,
        by: None,
        decided: None,
        used_by: None,
    })
}

/// The transaction of a request that asks.
fn ask(
    approvals: &mut Records<'_, Approval>,
    mut wanted: Approval,
    config: &ApprovalsConfig,
    now: Timestamp,
) -> Result<Asked, StoreError> {
    let (mut waiting, mut of_principal, mut known) = (0, 0, None);
    let all: Vec<Approval> = approvals.oldest_first().collect::<Result<_, _>>()?;
    for approval in all {
        if approval.until <= now {
            approvals.remove(approval.id)?;
            continue;
        }
        if matches!(approval.state, ApprovalState::Pending | ApprovalState::Approved) {
            waiting += 1;
            of_principal += usize::from(approval.principal == wanted.principal && approval.proved == wanted.proved);
        }
        if approval.digest == wanted.digest && approval.state != ApprovalState::Used {
            known = Some(approval);
        }
    }
    match known {
        Some(approval) if approval.state == ApprovalState::Approved => {
            approvals.put(&Approval {
                state: ApprovalState::Used,
                until: now.after(SHOWN),
                used_by: Some(wanted.request_id),
                ..approval
            })?;
            Ok(Asked::Passes)
        }
        Some(approval) if approval.state == ApprovalState::Denied => Ok(Asked::Denied(Box::new(approval))),
        Some(approval) => Ok(Asked::Waits(Box::new(approval))),
        None if waiting >= config.max_pending || of_principal >= config.max_pending.div_ceil(10) => Ok(Asked::Full),
        None => {
            wanted.asked = now;
            wanted.until = now.after(config.pending.0);
            // Decided ones are kept to be seen, and are no reason to grow.
            approvals.make_room(config.max_pending * 2)?;
            approvals.put(&wanted)?;
            Ok(Asked::Waits(Box::new(wanted)))
        }
    }
}

/// The transaction of the second person.
fn decide(
    approvals: &mut Records<'_, Approval>,
    id: Uuid,
    (approve, by): (bool, &Operator),
    config: &ApprovalsConfig,
    now: Timestamp,
) -> Result<Result<Approval, Refusal>, StoreError> {
    let Some(approval) = approvals.get(id)?.filter(|approval| approval.until > now) else {
        return Ok(Err(Refusal(
            StatusCode::NOT_FOUND,
            "no request with this id waits for approval: it may have expired".into(),
        )));
    };
    if approval.state != ApprovalState::Pending {
        let who = approval.by.as_deref().unwrap_or("somebody");
        let message = format!("it is {} already, by {who}", approval.state);
        return Ok(Err(Refusal(StatusCode::CONFLICT, message)));
    }
    if approve && by.name.as_ref() == Some(&approval.principal) {
        let message = format!(
            "{} asked for it, and a second person must approve it",
            approval.principal
        );
        return Ok(Err(Refusal(StatusCode::CONFLICT, message)));
    }
    let (state, until) = match approve {
        true => (ApprovalState::Approved, now.after(config.valid.0)),
        false => (ApprovalState::Denied, now.after(config.pending.0)),
    };
    let decided = Approval {
        state,
        until,
        by: Some(by.to_string()),
        decided: Some(now),
        ..approval
    };
    approvals.put(&decided)?;
    Ok(Ok(decided))
}

impl State {
    /// Asks for an approval, or uses the one that there is.
    pub(super) async fn ask(&self, wanted: Approval) -> Result<Asked, StoreError> {
        let config = self.current().config.approvals.clone();
        if !self.use_up(&wanted.digest).await? {
            return Ok(Asked::Unsure);
        }
        let (id, principal, operation) = (wanted.request_id, wanted.principal.clone(), wanted.operation.clone());
        let asking = self
            .store
            .write(move |approvals: &mut Records<'_, Approval>| ask(approvals, wanted, &config, Timestamp::now()));
        let asked = asking.await?;
        let (outcome, approval) = match &asked {
            Asked::Passes => ("used", None),
            Asked::Waits(approval) => ("asked", Some(approval.id)),
            Asked::Denied(approval) => ("refused", Some(approval.id)),
            Asked::Full => ("full", None),
            Asked::Unsure => ("unsure", None),
        };
        self.counted(outcome);
        info!(
            target: "lakegate::approvals", principal, operation, outcome, request.id = %id,
            approval = approval.map(tracing::field::display), "an approval was asked for"
        );
        Ok(asked)
    }

    /// Where there are other replicas, sees that none of them lets a request pass by the approval that this one is about to use; `false`
    /// if that cannot be known.
    async fn use_up(&self, digest: &str) -> Result<bool, StoreError> {
        if self.replicas.are_one() {
            return Ok(true);
        }
        self.replicas.caught_up().await;
        let digest = digest.to_owned();
        let now = Timestamp::now();
        let approved = self.store.read(move |approvals: &Snapshot<'_, Approval>| {
            let stands = |found: &Approval| {
                found.digest == digest && found.state == ApprovalState::Approved && found.until > now
            };
            let found = approvals
                .newest_first()
                .find(|found| !matches!(found, Ok(found) if !stands(found)));
            found.transpose()
        });
        let Some(approved) = approved.await? else {
            return Ok(true);
        };
        let until = approved.until.after(SHOWN);
        match self
            .replicas
            .use_once(&self.store, "approval", &approved.id.to_string(), until)
            .await?
        {
            Use::First => Ok(true),
            Use::Unknown => Ok(false),
            Use::Again => {
                let used = move |approvals: &mut Records<'_, Approval>| {
                    let state = ApprovalState::Used;
                    approvals.put(&Approval {
                        state,
                        until,
                        ..approved
                    })
                };
                self.store.write(used).await.map(|()| true)
            }
        }
    }

    /// Approves or denies a request that waits; `by` is who does.
    ///
    /// # Errors
    /// When it does not wait, or `by` is who asks.
    pub async fn decide(&self, id: Uuid, approve: bool, by: Operator) -> Result<Approval, Refusal> {
        let config = self.current().config.approvals.clone();
        self.replicas.caught_up().await;
        let deciding = self.store.write(move |approvals: &mut Records<'_, Approval>| {
            decide(approvals, id, (approve, &by), &config, Timestamp::now())
        });
        let approval = deciding.await.map_err(|error| broken(&error))??;
        self.counted(approval.state.as_str());
        info!(
            target: "lakegate::approvals",
            approval = %id,
            request.id = %approval.request_id,
            principal = approval.principal,
            operation = approval.operation,
            by = approval.by,
            outcome = approval.state.as_str(),
            "a second person has decided"
        );
        Ok(approval)
    }

    /// All that are kept, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn approvals(&self) -> Result<Vec<Approval>, Refusal> {
        let now = Timestamp::now();
        let reading = self.store.read(move |approvals: &Snapshot<'_, Approval>| {
            let fresh =
                |approval: &Result<Approval, StoreError>| !matches!(approval, Ok(approval) if approval.until <= now);
            approvals.newest_first().filter(fresh).collect()
        });
        reading.await.map_err(|error| broken(&error))
    }

    fn counted(&self, outcome: &'static str) {
        self.metrics.approvals.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

/// The SHA-256 of parts, each ended so that they cannot run together.
fn hex(parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
