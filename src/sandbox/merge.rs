//! Merge, revert, cherry-pick: three trees into one, path by path, as pkg/graveler/committed does.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use super::Sandboxed;
use super::call::Call;
use super::change::{Made, On};
use super::reply::{Failure, Reply, Within as _};
use super::repositories::{check_branch, check_ref, check_repository};
use super::store::now_ns;
use super::world::{Commit, Entry, Tree, difference};

/// Who wins where both sides changed a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Nobody,
    Source,
    Destination,
}

/// Applies to `destination` what changed from `base` to `source`; without `empty` there must be something.
fn merge(destination: &Tree, source: &Tree, base: &Tree, strategy: Strategy, empty: bool) -> Result<Tree, Failure> {
    if source == base && !empty {
        return Err(Failure::bad("no changes"));
    }
    let mut merged = destination.clone();
    for (path, theirs) in difference(base, source, Entry::same) {
        let same = |left: Option<&Arc<Entry>>, right: Option<&Arc<Entry>>| match (left, right) {
            (Some(left), Some(right)) => left.same(right),
            (None, None) => true,
            _ => false,
        };
        let ours = destination.get(&path);
        if !same(ours, base.get(&path)) && !same(ours, theirs.as_ref()) {
            match strategy {
                Strategy::Nobody => return Err(Failure::conflict("conflict found")),
                Strategy::Destination => continue,
                Strategy::Source => {}
            }
        }
        match theirs {
            Some(entry) => merged.insert(path, entry),
            None => merged.remove(&path),
        };
    }
    Ok(merged)
}

impl Sandboxed {
    pub(super) async fn merge_into_branch(&self, call: &Call) -> Result<Reply, Failure> {
        let (source, on) = (
            call.segment(1),
            On {
                repository: call.segment(0),
                branch: call.segment(2),
            },
        );
        check_repository(on.repository)?;
        check_branch("destination", on.branch)?;
        check_ref("source", source)?;
        let (strategy, name) = match call.text("strategy") {
            "" => (Strategy::Nobody, "default"),
            "source-wins" => (Strategy::Source, "source-wins"),
            "dest-wins" => (Strategy::Destination, "dest-wins"),
            _ => return Err(Failure::bad("argument strategy: invalid value: validation error")),
        };
        self.repository(on.repository, |repository| repository.writable(call.flag("force")))?;
        self.prepare(on).await?;
        let merged = self
            .update_retrying(on, self.config.commit_time, |repository, branch| {
                let to = repository.clean_head(on.branch, branch)?;
                let from = repository
                    .dereference(source)
                    .within(format!("get commit by ref {source}"))?;
                let base = repository.merge_base(&from.id, &to.id);
                let empty = call.flag("force") || call.flag("allow_empty");
                let tree = merge(&to.tree, &from.tree, &base.tree, strategy, empty)?;
                let mut metadata = call.metadata("/metadata");
                metadata.insert(".lakefs.merge.strategy".to_owned(), name.to_owned());
                let message = Some(call.text("message").to_owned()).filter(|message| !message.is_empty());
                let commit = Commit {
                    committer: call.user.clone(),
                    message: message.unwrap_or_else(|| format!("Merge '{source}' into '{}'", on.branch)),
                    created_ns: now_ns(),
                    metadata,
                    parents: if call.flag("squash_merge") {
                        vec![to.id.clone()]
                    } else {
                        vec![to.id.clone(), from.id.clone()]
                    },
                    generation: to.generation.max(from.generation) + 1,
                    tree: Arc::new(tree),
                    ..Commit::default()
                };
                Ok(Made::head(branch, commit))
            })
            .await;
        match merged.within(format!("update branch {}", on.branch)) {
            Ok(commit) => Ok(Reply::ok(&json!({ "reference": commit.id }))),
            Err(Failure::Refused(StatusCode::CONFLICT, _)) => {
                Ok(Reply::json(StatusCode::CONFLICT, &json!({ "reference": "" })))
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn find_merge_base(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        let (source, destination) = (call.segment(1), call.segment(2));
        self.repository(call.segment(0), |repository| {
            let from = repository
                .dereference(source)
                .within(format!("get commit by ref {source}"))?;
            let to = repository
                .dereference(destination)
                .within(format!("get commit by branch {destination}"))?;
            let base = repository.merge_base(&from.id, &to.id);
            Ok(Reply::ok(
                &json!({ "base_commit_id": base.id, "destination_commit_id": from.id, "source_commit_id": to.id }),
            ))
        })
    }

    pub(super) async fn revert(&self, call: &Call) -> Result<Reply, Failure> {
        let parent = usize::try_from(call.number("parent_number").unwrap_or(0)).unwrap_or(0);
        let picked = self.pick(call, |commit| {
            if commit.parents.len() > 1 && parent == 0 {
                return Err(Failure::conflict(
                    "must specify 1-based parent number for reverting merge commit",
                ));
            }
            if parent > commit.parents.len() {
                return Err(Failure::bad(format!(
                    "given commit does not have the given parent number: parent {parent}"
                )));
            }
            Ok(parent.saturating_sub(1))
        })?;
        let (on, reference) = (call.on()?, call.text("ref"));
        self.prepare(on).await?;
        self.update(on, self.config.commit_time, |repository, branch| {
            let head = repository.clean_head(on.branch, branch)?;
            let tree = merge(
                &head.tree,
                &picked.parent,
                &picked.commit.tree,
                Strategy::Nobody,
                call.flag("allow_empty"),
            )?;
            if tree == *head.tree && !call.flag("allow_empty") {
                return Err(Failure::bad("no changes"));
            }
            let commit = overridden(call, head, format!("Revert {reference}"), tree);
            Ok(Made::head(branch, commit))
        })
        .await
        .within("update branch")?;
        Ok(Reply::no_content())
    }

    pub(super) async fn cherry_pick(&self, call: &Call) -> Result<Reply, Failure> {
        let wanted = call.number("parent_number");
        let picked = self.pick(call, |commit| {
            let number = wanted.map_or(1, |number| usize::try_from(number).unwrap_or(1)).max(1);
            if wanted.is_none() && commit.parents.len() > 1 {
                return Err(Failure::bad(
                    "must specify 1-based parent number for cherry-picking merge commit",
                ));
            }
            if number > commit.parents.len() {
                return Err(Failure::bad(format!(
                    "parent {number}: given commit does not have the given parent number"
                )));
            }
            Ok(number - 1)
        })?;
        let on = call.on()?;
        self.prepare(on).await?;
        let made = self
            .update(on, self.config.commit_time, |repository, branch| {
                let head = repository.clean_head(on.branch, branch)?;
                let tree = merge(&head.tree, &picked.commit.tree, &picked.parent, Strategy::Nobody, false)?;
                let mut commit = overridden(call, head, picked.commit.message.clone(), tree);
                if commit.metadata.is_empty() {
                    commit.metadata.clone_from(&picked.commit.metadata);
                }
                commit
                    .metadata
                    .insert("cherry-pick-origin".to_owned(), picked.commit.id.clone());
                commit
                    .metadata
                    .insert("cherry-pick-committer".to_owned(), picked.commit.committer.clone());
                Ok(Made::head(branch, commit))
            })
            .await
            .within("update branch")?;
        Ok(Reply::json(StatusCode::CREATED, &made.json()))
    }

    /// The commit that a revert or cherry-pick names, and the content of the parent that `choose` picks.
    fn pick(&self, call: &Call, choose: impl FnOnce(&Commit) -> Result<usize, Failure>) -> Result<Picked, Failure> {
        let (on, reference) = (call.on()?, call.text("ref"));
        check_ref("ref", reference)?;
        self.repository(on.repository, |repository| {
            repository.writable(call.flag("force"))?;
            let context = format!("get commit from ref {reference}");
            let commit = Arc::clone(repository.dereference(reference).within(context)?);
            let parent = commit.parents.get(choose(&commit)?);
            let parent = parent
                .and_then(|parent| repository.commits.get(parent))
                .map(|parent| Arc::clone(&parent.tree));
            Ok(Picked {
                parent: parent.unwrap_or_default(),
                commit,
            })
        })
    }
}

struct Picked {
    commit: Arc<Commit>,
    parent: Arc<Tree>,
}

/// A commit on top of `head`, with what `commit_overrides` says.
fn overridden(call: &Call, head: &Commit, message: String, tree: Tree) -> Commit {
    let given = call
        .json
        .pointer("/commit_overrides/message")
        .and_then(serde_json::Value::as_str);
    Commit {
        committer: call.user.clone(),
        message: given.filter(|given| !given.is_empty()).map_or(message, str::to_owned),
        created_ns: now_ns(),
        metadata: call.metadata("/commit_overrides/metadata"),
        parents: vec![head.id.clone()],
        generation: head.generation + 1,
        tree: Arc::new(tree),
        ..Commit::default()
    }
}
