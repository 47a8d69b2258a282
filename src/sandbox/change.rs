//! How branches change: the compare-and-set of lakeFS's graveler with its races, after pkg/graveler/graveler.go.
//!
//! No lock spans an operation. It reads the branch record, works for a while, and writes the record only if nobody else has meanwhile.
//! So commits, merges and uploads lose to each other here as they do on a real server.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::lakefs::glob::Glob;

use super::Sandboxed;
use super::reply::Failure;
use super::world::{Branch, Commit, Entry, Repository, State};

/// Tries of a commit, merge or hard reset (`BranchUpdateMaxTries`).
const UPDATE_TRIES: u32 = 10;
/// Pauses between them: a fifth of lakeFS's, so that tests need not wait half a minute.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// Tries of a write to a staging area (`BranchWriteMaxTries`).
const WRITE_TRIES: u32 = 3;

/// What an update of a branch made beside the new record.
#[derive(Debug)]
pub(super) struct Made<T> {
    pub(super) value: T,
    pub(super) commit: Option<Arc<Commit>>,
}

impl Made<()> {
    pub(super) fn nothing() -> Self {
        Self {
            value: (),
            commit: None,
        }
    }
}

impl Made<Arc<Commit>> {
    /// A commit that becomes the branch's head, with nothing sealed left.
    pub(super) fn head(branch: &mut Branch, commit: Commit) -> Self {
        let commit = Arc::new(commit.identify());
        branch.commit.clone_from(&commit.id);
        branch.sealed.clear();
        Self {
            value: Arc::clone(&commit),
            commit: Some(commit),
        }
    }
}

/// A branch of a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct On<'a> {
    pub(super) repository: &'a str,
    pub(super) branch: &'a str,
}

impl Sandboxed {
    /// Reads something of the state.
    pub(super) fn look<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state())
    }

    /// Reads something of a repository.
    pub(super) fn repository<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Repository) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.look(|state| read(find(state, name)?))
    }

    /// Changes a repository at once; what touches no branch record.
    pub(super) fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Repository) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut state = self.state();
        let repository = state.repositories.get_mut(name);
        change(repository.ok_or_else(|| Failure::missing("repository not found"))?)
    }

    /// One compare-and-set of a branch record (`RefManager.BranchUpdate`).
    pub(super) async fn update<T>(
        &self,
        on: On<'_>,
        work: Duration,
        update: impl FnOnce(&Repository, &mut Branch) -> Result<Made<T>, Failure>,
    ) -> Result<T, Failure> {
        let (before, after, made) = self.repository(on.repository, |repository| {
            let before = repository.branch(on.branch)?.clone();
            let mut after = before.clone();
            let made = update(repository, &mut after)?;
            Ok((before, after, made))
        })?;
        self.pause(work).await;
        self.change(on.repository, |repository| {
            let current = repository.branches.get_mut(on.branch);
            let current = current.filter(|branch| branch.version == before.version && branch.staging == before.staging);
            let current = current.ok_or(Failure::Lost)?;
            *current = Branch {
                version: before.version + 1,
                ..after
            };
            let kept = current.clone();
            let dropped = before.sealed.iter().chain([&before.staging]);
            for token in dropped.filter(|token| **token != kept.staging && !kept.sealed.contains(token)) {
                repository.tokens.remove(token);
            }
            repository
                .commits
                .extend(made.commit.map(|commit| (commit.id.clone(), commit)));
            Ok(made.value)
        })
    }

    /// The same with retries and growing pauses (`retryBranchUpdate`).
    pub(super) async fn update_retrying<T>(
        &self,
        on: On<'_>,
        work: Duration,
        mut update: impl FnMut(&Repository, &mut Branch) -> Result<Made<T>, Failure>,
    ) -> Result<T, Failure> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..UPDATE_TRIES {
            match self.update(on, work, &mut update).await {
                Err(Failure::Lost) => {}
                done => return done,
            }
            // As backoff/v4: the interval times 0.5 to 1.5, then half as much again.
            let [random, ..] = uuid::Uuid::new_v4().into_bytes();
            self.pause(pause.mul_f64(0.5 + f64::from(random) / 255.0)).await;
            pause = (pause * 3 / 2).min(LAST_PAUSE);
        }
        match self.update(on, work, &mut update).await {
            Err(Failure::Lost) => Err(too_many_tries()),
            done => done,
        }
    }

    /// Writes to a branch's staging area, again if a commit sealed it meanwhile (`safeBranchWrite`). The write has happened even where
    /// the answer is 429.
    pub(super) async fn write(
        &self,
        on: On<'_>,
        force: bool,
        mut write: impl FnMut(&mut Repository, &Branch) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.repository(on.repository, |repository| {
            repository.unprotected(on.branch, "cannot write to protected branch")?;
            repository.writable(force)
        })?;
        for _ in 0..WRITE_TRIES {
            let before = self.change(on.repository, |repository| {
                let branch = repository.branch(on.branch)?.clone();
                write(repository, &branch)?;
                Ok(branch.staging)
            })?;
            self.pause(Duration::ZERO).await;
            let after = self.repository(on.repository, |repository| Ok(repository.branch(on.branch)?.staging))?;
            if before == after {
                return Ok(());
            }
        }
        Err(too_many_tries())
    }

    /// Stages an object, or with nothing its deletion.
    pub(super) async fn stage(
        &self,
        on: On<'_>,
        force: bool,
        path: &str,
        entry: Option<&Arc<Entry>>,
    ) -> Result<(), Failure> {
        self.write(on, force, |repository, branch| {
            repository.stage(branch, path, entry.cloned());
            Ok(())
        })
        .await
    }

    /// Makes sure that nothing is staged, and seals (`prepareForCommitIDUpdate`).
    pub(super) async fn prepare(&self, on: On<'_>) -> Result<(), Failure> {
        self.update_retrying(on, Duration::ZERO, |repository, branch| {
            if !repository.is_clean(branch, &repository.staged(branch))? {
                return Err(dirty());
            }
            branch.seal();
            Ok(Made::nothing())
        })
        .await
    }

    async fn pause(&self, pause: Duration) {
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(pause).await;
        }
    }
}

/// A repository, or lakeFS's 404.
pub(super) fn find<'a>(state: &'a State, name: &str) -> Result<&'a Repository, Failure> {
    let found = state.repositories.get(name);
    found.ok_or_else(|| Failure::missing("repository not found"))
}

impl Repository {
    /// Puts a change on the branch's staging token. A deletion of what nobody has leaves no trace.
    pub(super) fn stage(&mut self, branch: &Branch, path: &str, entry: Option<Arc<Entry>>) {
        let known = || {
            let committed = self
                .commits
                .get(&branch.commit)
                .is_some_and(|commit| commit.tree.contains_key(path));
            committed
                || branch
                    .sealed
                    .iter()
                    .any(|token| self.tokens.get(token).is_some_and(|t| t.contains_key(path)))
        };
        if entry.is_some() || known() {
            self.tokens
                .entry(branch.staging)
                .or_default()
                .insert(path.into(), entry);
        } else if let Some(staged) = self.tokens.get_mut(&branch.staging) {
            staged.remove(path);
        }
    }

    /// The head of a branch in whose sealed tokens nothing waits.
    pub(super) fn clean_head(&self, name: &str, branch: &Branch) -> Result<&Arc<Commit>, Failure> {
        if !self.is_clean(branch, &self.sealed(branch))? {
            return Err(dirty().within(name));
        }
        self.commit(&branch.commit)
    }

    /// Refuses with `refusal` on a protected branch. A pattern that does not parse refuses everything.
    pub(super) fn unprotected(&self, branch: &str, refusal: &str) -> Result<(), Failure> {
        for rule in &self.rules {
            let glob = Glob::new(rule).map_err(|_| Failure::internal("unexpected end of input"))?;
            if glob.matches(branch) {
                return Err(Failure::forbidden(refusal));
            }
        }
        Ok(())
    }
}

/// The 429 of lakeFS: too many lost races on one branch.
fn too_many_tries() -> Failure {
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "Too many attempts, try again later")
}

/// What a merge says where something is staged.
fn dirty() -> Failure {
    Failure::bad("uncommitted changes (dirty branch)")
}
