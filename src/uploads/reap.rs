//! Ends uploads that nobody goes on with: aborts them at lakeFS as the gateway's own user, by the address that was sealed when they were
//! created. What cannot be aborted is kept and tried again; once lakeFS no longer takes the address it says what only the object store
//! can do.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{dispatcher, info, warn};

use super::Ledger;
use super::redact;
use crate::config::{Mode, OnAbandoned};
use crate::lakefs_client::{Caller, RefsError, UploadName};
use crate::observe::metrics::OutcomeLabels;
use crate::store::{Filter, Key, Kind, Reap, ReapEnd, State, StoreError, Timestamp, Upload};

/// How long lakeFS takes an upload's address (pkg/catalog/catalog.go, LinkAddressTime).
pub(super) const ADDRESS_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Aborts of one look: one after the other, each is a call to lakeFS and one of lakeFS to the object store.
const MOST: usize = 60;
/// Records looked at to find the oldest of them.
const PAGE: usize = 10_000;
/// How long a look by command may take: the socket gives an answer 120 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a look does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Only says what it would do.
    Dry,
    /// Says what is beyond lakeFS's reach, and touches nothing.
    Report,
    /// Aborts.
    Abort,
}

/// What was done with one upload, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaped {
    /// Its record, as it is now.
    pub upload: Upload,
    /// What was done.
    pub outcome: ReapOutcome,
    /// Why not, if it was not.
    pub error: Option<String>,
}

/// What was done with one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReapOutcome {
    /// It would be aborted.
    WouldAbort,
    /// lakeFS has aborted it.
    Aborted,
    /// lakeFS did not: it is tried again.
    Failed,
    /// Only the object store can remove what is left of it.
    OutOfReach,
}

impl ReapOutcome {
    /// Its name in events and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WouldAbort => "would_abort",
            Self::Aborted => "ok",
            Self::Failed => "failed",
            Self::OutOfReach => "out_of_reach",
        }
    }
}

/// How one abort ended.
enum Tried {
    Aborted,
    /// The object store does not have it any more.
    Gone,
    /// lakeFS takes the address no longer.
    Expired,
    Failed(String),
    /// And neither would any other.
    Hopeless(String),
}

/// How long after so many failures it is tried again.
fn backoff(attempts: u32) -> Duration {
    Duration::from_secs(60 << attempts.saturating_sub(1).min(5)).min(Duration::from_secs(1800))
}

/// Whether lakeFS no longer takes its address; by S3 it asks for none.
fn out_of_reach(upload: &Upload, now: Timestamp) -> bool {
    upload.kind == Kind::Pmpu && now.since(upload.created) >= ADDRESS_LIFE
}

/// The record after a try; its last sign of life stays what it was.
fn after(mut upload: Upload, tried: &Tried, now: Timestamp) -> (Upload, ReapOutcome) {
    let attempts = upload.reap.as_ref().map_or(0, |reap| reap.attempts);
    let mut reap = Reap {
        attempts: attempts.saturating_add(1),
        at: now,
        next: now,
        error: None,
        end: None,
    };
    let outcome = match tried {
        Tried::Aborted | Tried::Gone => {
            reap.end = Some(ReapEnd::Aborted);
            // Of the others it is not known whether there is an object too.
            if upload.state == State::Abandoned {
                upload.state = State::Aborted;
            }
            if matches!(tried, Tried::Gone) {
                reap.error = Some("the object store did not have it any more".into());
            }
            ReapOutcome::Aborted
        }
        Tried::Expired => {
            reap.attempts = attempts;
            reap.end = Some(ReapEnd::OutOfReach);
            reap.error = upload.reap.and_then(|reap| reap.error);
            ReapOutcome::OutOfReach
        }
        Tried::Failed(error) | Tried::Hopeless(error) => {
            reap.next = now.after(backoff(reap.attempts));
            reap.error = Some(error.clone());
            ReapOutcome::Failed
        }
    };
    upload.reap = Some(reap);
    (upload, outcome)
}

impl Ledger {
    /// What a look does by the configuration.
    pub(super) fn look(&self) -> Look {
        let lakefs = self.lakefs.load();
        match self.config.load().on_abandoned {
            OnAbandoned::Abort if lakefs.mode == Mode::Enforce && lakefs.identity.is_some() => Look::Abort,
            OnAbandoned::Abort | OnAbandoned::Report => Look::Report,
        }
    }

    /// Ends abandoned uploads now, as `lakegate uploads reap` asks, whatever `uploads.on_abandoned` says; or only says which they are.
    ///
    /// # Errors
    /// When the gateway has no user of its own, or the store cannot be read or written.
    pub async fn reap_now(&self, dry: bool) -> Result<Vec<Reaped>, ReapError> {
        if !dry && self.lakefs.load().identity.is_none() {
            return Err(ReapError::NoUser);
        }
        let look = if dry { Look::Dry } else { Look::Abort };
        Ok(self.reap(look, Timestamp::now()).await?)
    }

    /// One look: the oldest uploads that are due, one after the other.
    pub(super) async fn reap(&self, look: Look, now: Timestamp) -> Result<Vec<Reaped>, StoreError> {
        let silent = now.before(self.config.load().abandoned_after.0);
        let filter = Filter {
            states: vec![State::Abandoned, State::Unknown, State::Failed],
            updated_before: Some(silent),
            reap_at: Some(now),
            ..Filter::default()
        };
        let mut due = self.store.uploads(filter, PAGE).await?;
        if look == Look::Report {
            due.retain(|upload| out_of_reach(upload, now));
        }
        // Those that keep failing never stand before the others.
        due.sort_by_key(|upload| (upload.reap.as_ref().map_or(0, |reap| reap.attempts), upload.id));
        let (begun, mut all) = (Instant::now(), Vec::new());
        for upload in due.into_iter().take(MOST) {
            let (reaped, hopeless) = self.reap_one(look, upload.id, silent, now).await?;
            all.extend(reaped);
            if hopeless || begun.elapsed() > PATIENCE {
                break;
            }
        }
        Ok(all)
    }

    /// Does what there is to do with one upload; tells too whether the others can be left for later.
    async fn reap_one(
        &self,
        look: Look,
        id: uuid::Uuid,
        silent: Timestamp,
        now: Timestamp,
    ) -> Result<(Option<Reaped>, bool), StoreError> {
        // A step may have come in between: read as late as can be.
        let found = self.store.upload(id).await?;
        let Some(upload) = found.filter(|upload| !upload.state.is_live() && upload.updated < silent) else {
            return Ok((None, false));
        };
        let tried = if out_of_reach(&upload, now) {
            Tried::Expired
        } else if look == Look::Dry {
            let reaped = Reaped {
                upload,
                outcome: ReapOutcome::WouldAbort,
                error: None,
            };
            return Ok((Some(reaped), false));
        } else {
            self.abort(&upload).await
        };
        let hopeless = matches!(tried, Tried::Hopeless(_));
        let (changed, outcome) = after(upload, &tried, now);
        if look != Look::Dry {
            let (reap, was) = (changed.reap.clone(), changed.state);
            let change = move |old: Option<Upload>| {
                let old = old?;
                // What a step has made of it meanwhile counts.
                let state = if old.state == State::Abandoned { was } else { old.state };
                let reap = reap.clone();
                Some(Upload { state, reap, ..old })
            };
            _ = self.store.update_upload(Key::Id(id), Box::new(change)).await?;
            self.told_reap(&changed, outcome);
        }
        let error = changed.reap.as_ref().and_then(|reap| reap.error.clone());
        let reaped = Reaped {
            upload: changed,
            outcome,
            error,
        };
        Ok((Some(reaped), hopeless))
    }

    /// Aborts one at lakeFS.
    async fn abort(&self, upload: &Upload) -> Tried {
        let lakefs = self.lakefs.load_full();
        let Some(identity) = lakefs.identity.clone() else {
            return Tried::Hopeless("the gateway has no user of its own (auth.service)".into());
        };
        let Some(name) = name(upload) else {
            return Tried::Failed("its upload id is not known".into());
        };
        let caller = Caller::Gateway(identity);
        if upload.kind == Kind::S3 {
            return tried(self.client.abort_s3_upload(&caller, &name).await);
        }
        let owner = Upload::owner(&upload.repository, &upload.branch, &upload.path);
        let address = match upload
            .sealed_address
            .as_deref()
            .map(|sealed| self.store.unseal(&owner, sealed))
        {
            Some(Ok(address)) => address,
            Some(Err(error)) => return Tried::Failed(format!("its signed address cannot be had: {error}")),
            None => return Tried::Failed("its signed address was not seen".into()),
        };
        tried(self.client.abort_upload(&caller, &name, &address).await)
    }

    fn told_reap(&self, upload: &Upload, outcome: ReapOutcome) {
        let counted = match outcome {
            ReapOutcome::Aborted => "ok",
            _ => "failed",
        };
        let labels = OutcomeLabels { outcome: counted };
        self.metrics.uploads_reaped.get_or_create(&labels).inc();
        dispatcher::with_default(&self.log, || tell(upload, outcome));
    }
}

/// Why a look by command was not done.
#[derive(Debug, thiserror::Error)]
pub enum ReapError {
    /// There is nobody to abort as.
    #[error("the gateway has no user of its own: name one in auth.service")]
    NoUser,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn name(upload: &Upload) -> Option<UploadName> {
    Some(UploadName {
        repository: upload.repository.clone(),
        branch: upload.branch.clone(),
        path: upload.path.clone(),
        upload_id: upload.upload_id.clone()?,
    })
}

fn tried(aborted: Result<(), RefsError>) -> Tried {
    match aborted {
        Ok(()) => Tried::Aborted,
        Err(RefsError::Answered { status, message }) => said(status, &message),
        // Nobody answers, or nobody is let in: the next would meet the same.
        Err(error) => Tried::Hopeless(error.to_string()),
    }
}

/// What an answer other than 204 says (pkg/api/controller.go, AbortPresignMultipartUpload).
fn said(status: StatusCode, message: &str) -> Tried {
    if message.contains("NoSuchUpload") {
        return Tried::Gone;
    }
    if status == StatusCode::BAD_REQUEST && message.contains("expired") {
        return Tried::Expired;
    }
    Tried::Failed(format!(
        "lakeFS answered {}: {}",
        status.as_u16(),
        redact::message(message)
    ))
}

fn tell(upload: &Upload, outcome: ReapOutcome) {
    let (bucket, key) = upload.stored_at().unzip();
    let reap = upload.reap.as_ref();
    macro_rules! event {
        ($level:ident, $words:literal) => {
            $level!(
                target: "lakegate::uploads",
                {
                    event = "reap",
                    outcome = outcome.as_str(),
                    repository = &*upload.repository,
                    branch = &*upload.branch,
                    path = &*upload.path,
                    upload.id = upload.upload_id.as_deref(),
                    upload.state = upload.state.as_str(),
                    upload.record = %upload.id,
                    bucket,
                    key,
                    attempts = reap.map(|reap| reap.attempts),
                    error = reap.and_then(|reap| reap.error.as_deref()),
                },
                $words
            )
        };
    }
    match outcome {
        ReapOutcome::OutOfReach => event!(
            warn,
            "lakeFS takes an upload's address for 24 hours, and they are over: only the object store can remove what is left of this one, by a lifecycle rule (AbortIncompleteMultipartUpload) or its own abort"
        ),
        ReapOutcome::Failed => event!(warn, "an abandoned upload could not be aborted: it is tried again"),
        ReapOutcome::Aborted | ReapOutcome::WouldAbort => event!(info, "an abandoned upload is aborted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_ever_later() {
        let minutes = |attempts| backoff(attempts).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 5, 6, 99].map(minutes), [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn what_each_answer_means() {
        let s3 = "operation error S3: AbortMultipartUpload, https response error StatusCode: 404, RequestID: , HostID: , NoSuchUpload: x";
        assert!(matches!(said(StatusCode::INTERNAL_SERVER_ERROR, s3), Tried::Gone));
        let expired = "address is expired: link address expired";
        assert!(matches!(said(StatusCode::BAD_REQUEST, expired), Tried::Expired));
        let Tried::Failed(error) = said(StatusCode::NOT_FOUND, "branch 'x' not found") else {
            panic!("a failure");
        };
        assert_eq!(error, "lakeFS answered 404: branch 'x' not found");
    }

    #[test]
    fn only_an_abandoned_upload_becomes_aborted() {
        let now = Timestamp::now();
        for (state, then) in [
            (State::Abandoned, State::Aborted),
            (State::Unknown, State::Unknown),
            (State::Failed, State::Failed),
        ] {
            let (upload, outcome) = after(Upload::sample("r", state), &Tried::Aborted, now);
            assert_eq!((upload.state, outcome), (then, ReapOutcome::Aborted));
            assert_eq!(upload.reap.unwrap().end, Some(ReapEnd::Aborted));
            let (upload, outcome) = after(Upload::sample("r", state), &Tried::Failed("no".into()), now);
            assert_eq!((upload.state, outcome), (state, ReapOutcome::Failed));
            assert_eq!(upload.reap.unwrap().next, now.after(Duration::from_secs(60)));
        }
    }
}
