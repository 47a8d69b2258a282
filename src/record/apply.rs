//! Brings back what a destructive call has lost, as far as lakeFS still has it: the branch made anew at its commit, moved back to it, or the
//! tag made anew. As the gateway's own user; the caller holds the branch's turn.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::destroy::End;
use super::state::State;
use super::subject::Place;
use super::{Operator, Refusal, broken};
use crate::config::UndoOperation;
use crate::lakefs::Operation;
use crate::lakefs_client::{Caller, RefsError};
use crate::store::{Outcome, Records, Snapshot, StoreError, Timestamp, Undo};

/// How an undo is wanted.
#[derive(Debug, Clone)]
pub struct Apply {
    /// Also where that loses something.
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who wants it.
    pub by: Operator,
}

/// What was done, or would be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Applied {
    /// In words.
    pub did: String,
    /// Whether anything was done.
    pub changed: bool,
    /// What it cannot bring back.
    pub warnings: Vec<String>,
    /// The record by which this can itself be undone.
    pub record: Option<Uuid>,
}

/// A record, and what can be said of bringing it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// The record.
    pub record: Undo,
    /// What cannot be brought back, or may be gone.
    pub warnings: Vec<String>,
}

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    Nothing(String),
    CreateBranch,
    /// Moves it from where it is now.
    MoveBranch(String),
    CreateTag,
    /// The tag is deleted first: it stands elsewhere.
    MoveTag(String),
}

impl State {
    /// One record.
    ///
    /// # Errors
    /// When there is none, or the store cannot be read.
    pub async fn record(&self, id: Uuid) -> Result<Undo, Refusal> {
        let found = self.store.read(move |undos: &Snapshot<'_, Undo>| undos.get(id)).await;
        found.map_err(|error| broken(&error))?.ok_or_else(|| {
            let message = "there is no record with this id: see `lakegate undo list`";
            Refusal(StatusCode::NOT_FOUND, message.into())
        })
    }

    /// At most `limit` records that pass, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn records(
        &self,
        limit: usize,
        pass: impl Fn(&Undo) -> bool + Send + 'static,
    ) -> Result<Vec<Undo>, Refusal> {
        let reading = self.store.read(move |undos: &Snapshot<'_, Undo>| {
            let wanted = |undo: &Result<Undo, StoreError>| undo.as_ref().map_or(true, &pass);
            undos.newest_first().filter(wanted).take(limit).collect()
        });
        reading.await.map_err(|error| broken(&error))
    }

    /// One record, with what can be said of bringing it back.
    ///
    /// # Errors
    /// As for [`State::record`].
    pub async fn show(&self, id: Uuid) -> Result<Shown, Refusal> {
        let record = self.record(id).await?;
        let warnings = self.warnings(&record).await;
        Ok(Shown { record, warnings })
    }

    /// Brings back what the call of a record has lost.
    ///
    /// # Errors
    /// When it is beyond undo, when that would lose something else and `force` is not said, or when lakeFS does not do it.
    pub async fn apply(self: &Arc<Self>, id: Uuid, how: Apply) -> Result<Applied, Refusal> {
        let undo = self.record(id).await?;
        let (place, commit) = sound(&undo)?;
        let caller = self.gateway().ok_or_else(|| no_user(&place, &commit))?;
        let now_at = self.stands_at(&caller, &place).await.map_err(said)?;
        self.not_shadowed(&caller, place.repository(), &commit).await?;
        let plan = plan(&undo, &place, &commit, now_at.as_deref(), how.force)?;
        let mut applied = Applied {
            did: plan.words(&place, &commit),
            changed: false,
            warnings: self.warnings(&undo).await,
            record: None,
        };
        if how.dry_run || matches!(plan, Plan::Nothing(_)) {
            return Ok(applied);
        }
        let record = self.carry_out(&caller, &undo, &place, &commit, (plan, how.by)).await?;
        applied.changed = true;
        applied.record = Some(record);
        Ok(applied)
    }

    /// A branch or tag that bears the commit's name would be taken for it.
    async fn not_shadowed(&self, caller: &Caller, repository: &str, commit: &str) -> Result<(), Refusal> {
        let branch = self.client.branch(caller, repository, commit).await.map_err(said)?;
        let tag = self.client.tag(caller, repository, commit).await.map_err(said)?;
        if branch.is_none() && tag.is_none() {
            return Ok(());
        }
        let kind = if branch.is_some() { "branch" } else { "tag" };
        let message = format!(
            "a {kind} of {repository} is named {commit}, and lakeFS would take it for the commit: rename or delete it first"
        );
        Err(Refusal(StatusCode::CONFLICT, message))
    }

    /// Writes down what the undo itself is about to lose, does it, and sees that it is done.
    async fn carry_out(
        self: &Arc<Self>,
        caller: &Caller,
        undo: &Undo,
        place: &Place,
        commit: &str,
        (plan, by): (Plan, Operator),
    ) -> Result<Uuid, Refusal> {
        let (operation, kind) = plan.operation();
        let mut own = Undo {
            id: Uuid::now_v7(),
            time: Timestamp::now(),
            request_id: Uuid::now_v7(),
            principal: by.to_string(),
            proved: true,
            auth_method: "socket".into(),
            client_address: None,
            operation: operation.spec().id.into(),
            dangers: Vec::new(),
            commit: plan.loses(),
            heads: Vec::new(),
            moved_to: Some(commit.to_owned()),
            left_at: None,
            uncommitted: None,
            pin: None,
            outcome: Outcome::Pending,
            ended: None,
            status: None,
            upstream_request_id: None,
            undoes: Some(undo.id),
            undone_by: None,
            ..undo.clone()
        };
        self.begin(caller, kind, &mut own)
            .await
            .map_err(|error| broken(&error))?;
        let done = self.call(caller, &plan, place, commit).await;
        let stands = self.stands_at(caller, place).await.ok().flatten();
        let there = stands.as_deref() == Some(commit);
        let id = own.id;
        let outcome = match (&done, there) {
            (_, true) => Outcome::Done,
            (Err(error), false) if error.status().is_some_and(|status| status.is_client_error()) => Outcome::Failed,
            _ => Outcome::Unknown,
        };
        let end = End {
            outcome,
            status: done
                .as_ref()
                .err()
                .and_then(RefsError::status)
                .map(|status| status.as_u16()),
            left_at: stands.clone(),
            upstream_request_id: None,
        };
        self.end(caller, own, end).await;
        if !there {
            let found = stands.unwrap_or_else(|| "gone".into());
            return Err(match done {
                Err(error) => said(error),
                Ok(()) => Refusal(
                    StatusCode::CONFLICT,
                    format!(
                        "lakeFS said yes, and {} is {found}: somebody moved it meanwhile",
                        words(place)
                    ),
                ),
            });
        }
        let undone = undo.id;
        let marking = self
            .store
            .write(move |undos: &mut Records<'_, Undo>| match undos.get(undone)? {
                Some(undo) => undos.put(&Undo {
                    undone_by: Some(id),
                    ..undo
                }),
                None => Ok(()),
            });
        marking.await.map_err(|error| broken(&error))?;
        Ok(id)
    }

    async fn call(&self, caller: &Caller, plan: &Plan, place: &Place, commit: &str) -> Result<(), RefsError> {
        let repository = place.repository();
        let name = place.branch().or(place.tag()).unwrap_or_default();
        match plan {
            Plan::Nothing(_) => Ok(()),
            Plan::CreateBranch => self.client.create_branch(caller, repository, name, commit).await,
            Plan::MoveBranch(_) => self.client.hard_reset(caller, repository, name, commit).await,
            Plan::CreateTag => self.client.create_tag(caller, repository, name, commit).await,
            Plan::MoveTag(_) => {
                self.client.delete_tag(caller, repository, name).await?;
                self.client.create_tag(caller, repository, name, commit).await
            }
        }
    }

    /// What cannot be brought back, or may be gone.
    async fn warnings(&self, undo: &Undo) -> Vec<String> {
        let mut warnings = Vec::new();
        match undo.uncommitted {
            Some(true) => warnings.push("objects that nobody had committed are lost for good".into()),
            None if undo.branch.is_some() && undo.operation == Operation::DeleteBranch.spec().id => {
                warnings.push("objects that nobody had committed, if there were any, are lost for good".into());
            }
            _ => {}
        }
        if undo.commit.is_none() || undo.pin.as_ref().is_some_and(|pin| pin.made) {
            return warnings;
        }
        let days = match self.gateway() {
            Some(caller) => self.client.retention_days(&caller, &undo.repository).await,
            None => Err(RefsError::Identity("it has no user of its own".into())),
        };
        let age = Timestamp::now().since(undo.time).as_secs() / 86_400;
        match days {
            // It has no rules, so it does not run.
            Ok(None) => {}
            Ok(Some(days)) if age < u64::from(days) => {}
            Ok(Some(days)) => warnings.push(format!(
                "no tag holds the commit, and garbage collection leaves such objects for {days} days: some may be gone"
            )),
            Err(_) => warnings
                .push("no tag holds the commit: if garbage collection has run, objects of it may be gone".into()),
        }
        warnings
    }
}

/// What a record is about, if it can be brought back at all.
fn sound(undo: &Undo) -> Result<(Place, String), Refusal> {
    let beyond = |message: String| Refusal(StatusCode::UNPROCESSABLE_ENTITY, message);
    let repository = undo.repository.clone();
    let place = match (&undo.branch, &undo.tag) {
        (Some(branch), _) => Place::Branch {
            repository,
            branch: branch.clone(),
        },
        (None, Some(tag)) => Place::Tag {
            repository,
            tag: tag.clone(),
        },
        (None, None) => {
            return Err(beyond(format!(
                "a deleted repository is beyond undo: lakeFS no longer has {repository}'s commits. `lakegate undo show {}` names its heads",
                undo.id
            )));
        }
    };
    if undo.operation == Operation::ResetBranch.spec().id {
        let message =
            "what a reset of uncommitted objects dropped is beyond undo: no commit held it, and the head has not moved";
        return Err(beyond(message.into()));
    }
    if undo.outcome == Outcome::Failed {
        return Err(beyond(
            "lakeFS did not do that call: there is nothing to bring back".into(),
        ));
    }
    let Some(commit) = undo.commit.clone() else {
        return Err(beyond(
            "the record names no commit: there was none, or it could not be read".into(),
        ));
    };
    Ok((place, commit))
}

/// What to do, by where the place stands now.
fn plan(undo: &Undo, place: &Place, commit: &str, now_at: Option<&str>, force: bool) -> Result<Plan, Refusal> {
    let Some(now_at) = now_at else {
        return Ok(match place {
            Place::Branch { .. } => Plan::CreateBranch,
            _ => Plan::CreateTag,
        });
    };
    if now_at == commit {
        return Ok(Plan::Nothing(format!("{} is at {commit} already", words(place))));
    }
    if !force && undo.left_at.as_deref() != Some(now_at) {
        let left = match (&undo.left_at, undo.outcome) {
            (Some(left), _) => format!("the call left it at {left}"),
            (None, Outcome::Done) => "the call deleted it, or where it left it is not known".to_owned(),
            (None, _) => "how the call ended is not known".to_owned(),
        };
        let message = format!(
            "{} is at {now_at} now, and {left}: it has moved since, and what only {now_at} holds would be lost from it; \
             look at it, and say --force to bring {commit} back all the same",
            words(place)
        );
        return Err(Refusal(StatusCode::CONFLICT, message));
    }
    Ok(match place {
        Place::Tag { .. } => Plan::MoveTag(now_at.to_owned()),
        _ => Plan::MoveBranch(now_at.to_owned()),
    })
}

impl Plan {
    fn words(&self, place: &Place, commit: &str) -> String {
        let place = words(place);
        match self {
            Self::Nothing(why) => why.clone(),
            Self::CreateBranch | Self::CreateTag => format!("make {place} anew at {commit}"),
            Self::MoveBranch(from) | Self::MoveTag(from) => format!("move {place} from {from} to {commit}"),
        }
    }

    fn loses(&self) -> Option<String> {
        match self {
            Self::MoveBranch(from) | Self::MoveTag(from) => Some(from.clone()),
            Self::Nothing(_) | Self::CreateBranch | Self::CreateTag => None,
        }
    }

    fn operation(&self) -> (Operation, UndoOperation) {
        match self {
            Self::CreateBranch => (Operation::CreateBranch, UndoOperation::DeleteBranch),
            Self::CreateTag => (Operation::CreateTag, UndoOperation::DeleteTag),
            Self::MoveTag(_) => (Operation::DeleteTag, UndoOperation::DeleteTag),
            Self::MoveBranch(_) | Self::Nothing(_) => (Operation::HardResetBranch, UndoOperation::HardReset),
        }
    }
}

fn words(place: &Place) -> String {
    match place {
        Place::Branch { repository, branch } => format!("branch {branch} of {repository}"),
        Place::Tag { repository, tag } => format!("tag {tag} of {repository}"),
        Place::Repository { repository } => format!("repository {repository}"),
        Place::Nowhere => "nothing".into(),
    }
}

/// Without a user of its own the gateway can only say what to do by hand.
fn no_user(place: &Place, commit: &str) -> Refusal {
    let repository = place.repository();
    let by_hand = match place {
        Place::Branch { branch, .. } => format!(
            "lakectl branch create lakefs://{repository}/{branch} --source lakefs://{repository}/{commit} (or, where the branch is still there, lakectl branch reset lakefs://{repository}/{branch} --commit {commit})"
        ),
        _ => format!(
            "lakectl tag create lakefs://{repository}/{} lakefs://{repository}/{commit}",
            place.tag().unwrap_or_default()
        ),
    };
    let message = format!(
        "the gateway has no user of its own before lakeFS (auth.service), so it cannot do this itself; with your own key: {by_hand}"
    );
    Refusal(StatusCode::UNPROCESSABLE_ENTITY, message)
}

#[expect(clippy::needless_pass_by_value, reason = "the form of map_err")]
fn said(error: RefsError) -> Refusal {
    Refusal(StatusCode::BAD_GATEWAY, error.to_string())
}
