//! One destructive call, from the head that it is about to lose to what became of it. Below limit, so under the branch's turn.

use std::sync::Arc;

use http::{Method, StatusCode};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::state::{Look, State};
use super::subject::{Place, Subject};
use crate::config::UndoOperation;
use crate::exchange::step::Inner;
use crate::exchange::{Context, Next, Proof, Rejection, Request, Response};
use crate::lakefs::Dangers;
use crate::lakefs_client::Caller;
use crate::observe::metrics::OutcomeLabels;
use crate::store::{Outcome, Pin, Records, StoreError, Timestamp, Undo, clip};

/// Longest name or word of a request that is kept.
const TEXT_MAX: usize = 1024;

/// The record of a request that is about to go.
pub(super) fn draft(context: &Context, method: &Method, subject: &Subject, look: Look) -> Undo {
    let principal = context.principal();
    let (operation, dangers) = context.classified().map_or(("unknown", Dangers::NONE), |classified| {
        (classified.operation.spec().id, Dangers::of(classified, method))
    });
    let text = |text: &str| clip(text, TEXT_MAX).to_owned();
    Undo {
        id: Uuid::now_v7(),
        time: Timestamp::now(),
        request_id: context.id(),
        principal: text(principal.map_or("unknown", |principal| &principal.name)),
        proved: principal.is_some_and(|principal| principal.proof == Proof::Proved),
        auth_method: principal.map_or("unknown", |principal| principal.method).to_owned(),
        client_address: Some(context.client().address),
        operation: operation.to_owned(),
        dangers: dangers.iter().map(|danger| danger.name().to_owned()).collect(),
        repository: text(subject.place.repository()),
        branch: subject.place.branch().map(text),
        tag: subject.place.tag().map(text),
        commit: look.commit,
        heads: look.heads,
        moved_to: subject.moved_to.as_deref().map(text),
        left_at: None,
        uncommitted: look.uncommitted,
        pin: None,
        outcome: Outcome::Pending,
        ended: None,
        status: None,
        upstream_request_id: None,
        undoes: None,
        undone_by: None,
    }
}

impl State {
    /// Writes a record down, durably, and pins its commit.
    pub(super) async fn begin(
        self: &Arc<Self>,
        caller: &Caller,
        kind: UndoOperation,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let config = &self.current().config.undo;
        if config.pin.contains(&kind) && undo.commit.is_some() {
            let tag = format!("{}{}", config.tag_prefix, undo.id.simple());
            // Named before it is made, so that it is found after a crash.
            undo.pin = Some(Pin { tag, made: false });
        }
        let (record, most) = (undo.clone(), config.max_records);
        let gone = self.store.write(move |undos: &mut Records<'_, Undo>| {
            let gone = undos.make_room(most)?;
            undos.put(&record)?;
            Ok(gone)
        });
        self.displaced(gone.await?);
        if let (Some(pin), Some(commit)) = (&mut undo.pin, &undo.commit) {
            let made = self.client.create_tag(caller, &undo.repository, &pin.tag, commit).await;
            pin.made = made.is_ok();
            if let Err(error) = made {
                self.metrics.undo_pin_failures.inc();
                warn!(
                    target: "lakegate::undo", %error, undo.record = %undo.id, request.id = %undo.request_id, repository = undo.repository, tag = pin.tag,
                    "the commit could not be pinned, and the call goes on: nothing keeps it from garbage collection"
                );
            }
        }
        Ok(())
    }

    /// Writes down how it ended, removes a pin that holds nothing, and tells the log.
    pub(super) async fn end(&self, caller: &Caller, mut undo: Undo, end: End) {
        undo.outcome = end.outcome;
        undo.ended = Some(Timestamp::now());
        undo.status = end.status;
        undo.left_at = end.left_at;
        undo.upstream_request_id = end.upstream_request_id;
        if end.outcome == Outcome::Failed
            && let Some(pin) = undo.pin.take()
            && let Err(error) = self.client.delete_tag(caller, &undo.repository, &pin.tag).await
        {
            warn!(target: "lakegate::undo", %error, undo.record = %undo.id, tag = pin.tag, "the tag of a call that failed could not be removed");
            undo.pin = Some(pin);
        }
        self.told(&undo);
        let record = undo.clone();
        let written = self
            .store
            .write(move |undos: &mut Records<'_, Undo>| undos.put(&record));
        if let Err(error) = written.await {
            error!(target: "lakegate::undo", %error, undo.record = %undo.id, "how the call ended could not be written down");
        }
    }

    fn told(&self, undo: &Undo) {
        let outcome = undo.outcome.as_str();
        self.metrics
            .undo_records
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
        info!(
            target: "lakegate::undo",
            outcome,
            undo.record = %undo.id,
            request.id = %undo.request_id,
            principal = undo.principal,
            auth.proved = undo.proved,
            operation = undo.operation,
            repository = undo.repository,
            branch = undo.branch,
            tag = undo.tag,
            commit = undo.commit,
            left_at = undo.left_at,
            pin = undo.pin.as_ref().map(|pin| pin.tag.as_str()),
            uncommitted = undo.uncommitted,
            status = undo.status,
            undoes = undo.undoes.map(tracing::field::display),
            "a destructive call"
        );
    }

    /// Sends a call whose record stands, and follows it to its end.
    pub(super) async fn follow<S: Inner>(
        self: &Arc<Self>,
        context: &Context,
        caller: &Caller,
        subject: &Subject,
        lost: Lost,
        (request, next): (Request, Next<S>),
    ) -> Response {
        let response = next.run(request).await;
        let undo = lost.found();
        let (reason, upstream_request_id) = {
            let facts = context.facts();
            (facts.reason, facts.upstream_request_id.clone())
        };
        let verdict = verdict(response.status(), reason);
        let (left_at, outcome) = match verdict {
            Verdict::Failed => (undo.commit.clone(), Outcome::Failed),
            Verdict::Done if subject.deferred => (None, Outcome::Done),
            Verdict::Done => (self.now_at(caller, &subject.place).await.flatten(), Outcome::Done),
            Verdict::Lost => (None, Outcome::Unknown),
            // lakeFS failed over it, and says not how far it came.
            Verdict::Broken => match self.now_at(caller, &subject.place).await {
                Some(now) if now == undo.commit && now.is_some() => (now, Outcome::Failed),
                Some(now) => (now, Outcome::Unknown),
                None => (None, Outcome::Unknown),
            },
        };
        let end = End {
            outcome,
            status: Some(response.status().as_u16()),
            left_at,
            upstream_request_id,
        };
        self.end(caller, undo, end).await;
        response
    }

    async fn now_at(&self, caller: &Caller, place: &Place) -> Option<Option<String>> {
        self.stands_at(caller, place).await.ok()
    }
}

/// How a call ended.
pub(super) struct End {
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) left_at: Option<String>,
    pub(super) upstream_request_id: Option<String>,
}

/// What an answer says of a destructive call.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    Failed,
    /// lakeFS's own 5xx.
    Broken,
    /// No answer, and the request had gone up, or may have.
    Lost,
}

/// `reason` is there if the gateway itself answered.
fn verdict(status: StatusCode, reason: Option<&'static str>) -> Verdict {
    let lost = [
        Rejection::UpstreamBroken(String::new()),
        Rejection::UpstreamTimeout,
        Rejection::Internal,
    ];
    match reason {
        Some(reason) if lost.iter().any(|rejection| rejection.reason() == reason) => Verdict::Lost,
        Some(_) => Verdict::Failed,
        None if status.is_success() => Verdict::Done,
        None if status.is_server_error() => Verdict::Broken,
        None => Verdict::Failed,
    }
}

/// Dropped before the answer is there, it writes down that the answer is lost: the client has left, or the gateway has failed.
pub(super) struct Lost {
    state: Arc<State>,
    pub(super) undo: Undo,
    told: bool,
}

impl Lost {
    pub(super) fn watch(state: &Arc<State>, undo: Undo) -> Self {
        Self {
            state: Arc::clone(state),
            undo,
            told: false,
        }
    }

    /// The answer is there, or none is to come.
    pub(super) fn found(mut self) -> Undo {
        self.told = true;
        self.undo.clone()
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let mut undo = self.undo.clone();
        undo.outcome = Outcome::Unknown;
        undo.ended = Some(Timestamp::now());
        self.state.told(&undo);
        self.state
            .store
            .submit(move |undos: &mut Records<'_, Undo>| undos.put(&undo), drop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_done_failed_or_that_nobody_knows() {
        for (status, reason, expected) in [
            (204, None, Verdict::Done),
            (403, None, Verdict::Failed),
            (404, None, Verdict::Failed),
            (500, None, Verdict::Broken),
            (502, Some("upstream-down"), Verdict::Failed),
            (502, Some("upstream-broken"), Verdict::Lost),
            (504, Some("upstream-timeout"), Verdict::Lost),
            (500, Some("internal"), Verdict::Lost),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(verdict(status, reason), expected, "{status} {reason:?}");
        }
    }
}
