//! What of record outlives a reload: the store, the way to lakeFS, and what the newest configuration says.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::subject::Place;
use crate::config::{RecordConfig, UndoOperation};
use crate::lakefs_client::{Caller, Client, Identity, RefsError};
use crate::observe::Metrics;
use crate::replicas::Replicas;
use crate::store::{Head, Store, Undo};

/// Heads of a repository about to be deleted that are written down.
const HEADS: u16 = 100;

/// The live state of record.
#[derive(Debug)]
pub struct State {
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) replicas: Replicas,
    pub(super) metrics: Arc<Metrics>,
    current: ArcSwap<Current>,
}

/// What a reload changes.
#[derive(Debug, Default)]
pub(super) struct Current {
    pub(super) config: RecordConfig,
    /// The gateway's own user, if it has one.
    pub(super) identity: Option<Arc<dyn Identity>>,
}

/// What lakeFS says of a place before a destructive call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The commit that the branch or tag stands at, in full.
    pub(super) commit: Option<String>,
    pub(super) uncommitted: Option<bool>,
    pub(super) heads: Vec<Head>,
}

impl State {
    /// Keeps its records in `store`, which is shared with `replicas`; asks lakeFS by `client`.
    pub fn new(store: Store, client: Client, replicas: Replicas, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            store,
            client,
            replicas,
            metrics,
            current: ArcSwap::default(),
        })
    }

    /// Puts a new configuration into force.
    pub(super) fn reconfigure(&self, config: &RecordConfig, identity: Option<Arc<dyn Identity>>) {
        if identity.is_none() && !config.undo.operations.is_empty() && self.current().identity.is_some() {
            tracing::warn!(target: "lakegate::undo", "the gateway no longer has a user of its own: `lakegate undo apply` is not to be had");
        }
        self.current.store(Arc::new(Current {
            config: config.clone(),
            identity,
        }));
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// The gateway's own user.
    pub(super) fn gateway(&self) -> Option<Caller> {
        self.current().identity.clone().map(Caller::Gateway)
    }

    /// Looks at a place; `None` where lakeFS has nothing there.
    pub(super) async fn look(
        &self,
        caller: &Caller,
        place: &Place,
        kind: Option<UndoOperation>,
    ) -> Result<Option<Look>, RefsError> {
        let repository = place.repository();
        match place {
            Place::Branch { branch, .. } => {
                let drops = matches!(kind, Some(UndoOperation::DeleteBranch | UndoOperation::ResetBranch));
                let staged = async {
                    match drops {
                        // Not worth a refusal: the record then says that nobody knows.
                        true => self.client.has_uncommitted(caller, repository, branch).await.ok(),
                        false => None,
                    }
                };
                let (found, uncommitted) = tokio::join!(self.client.branch(caller, repository, branch), staged);
                Ok(found?.map(|found| Look {
                    commit: Some(found.commit_id),
                    uncommitted,
                    heads: Vec::new(),
                }))
            }
            Place::Tag { tag, .. } => {
                let found = self.client.tag(caller, repository, tag).await?;
                Ok(found.map(|found| Look {
                    commit: Some(found.commit_id),
                    ..Look::default()
                }))
            }
            Place::Repository { .. } if kind == Some(UndoOperation::DeleteRepository) => {
                let found = self.client.branches(caller, repository, HEADS).await?;
                Ok(found.map(|branches| Look {
                    heads: branches
                        .into_iter()
                        .map(|found| Head {
                            branch: found.id,
                            commit: found.commit_id,
                        })
                        .collect(),
                    ..Look::default()
                }))
            }
            Place::Repository { .. } | Place::Nowhere => Ok(Some(Look::default())),
        }
    }

    /// Where a place stands now, if that can be read.
    pub(super) async fn stands_at(&self, caller: &Caller, place: &Place) -> Result<Option<String>, RefsError> {
        let look = self.look(caller, place, None).await?;
        Ok(look.and_then(|look| look.commit))
    }

    /// Says that records went for want of room: the tags of theirs are nobody's now.
    pub(super) fn displaced(self: &Arc<Self>, gone: Vec<Undo>) {
        let pinned: Vec<Undo> = gone.into_iter().filter(|undo| undo.pin.is_some()).collect();
        if pinned.is_empty() {
            return;
        }
        let state = Arc::clone(self);
        self.client.runtime().spawn(async move {
            for undo in pinned {
                // What cannot be done is in the log; there is no record to try again by.
                let _ = state.unpin(&undo).await;
            }
        });
    }
}
