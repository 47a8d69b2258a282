//! Branches and commits: what reads and moves the heads. Merging is in `merge.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::Sandboxed;
use super::call::Call;
use super::change::{Made, On};
use super::reply::{Failure, Reply, Within as _};
use super::repositories::{check_branch, check_ref, check_repository, is_branch_name, named, page, paged};
use super::store::now_ns;
use super::world::{Branch, Commit, Entry, Tree, apply, difference};

impl Call {
    /// The branch that the first two path parameters name, if their names are possible.
    pub(super) fn on(&self) -> Result<On<'_>, Failure> {
        self.on_named("branch")
    }

    /// The same, where lakeFS calls the argument otherwise.
    pub(super) fn on_named(&self, argument: &str) -> Result<On<'_>, Failure> {
        check_repository(self.segment(0))?;
        check_branch(argument, self.segment(1))?;
        Ok(On {
            repository: self.segment(0),
            branch: self.segment(1),
        })
    }

    /// A map of texts in the body.
    pub(super) fn metadata(&self, pointer: &str) -> BTreeMap<String, String> {
        let map = self.json.pointer(pointer).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}

impl Sandboxed {
    pub(super) fn list_branches(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        let hidden = call.query.flag("show_hidden", false);
        self.repository(call.segment(0), |repository| {
            let shown = repository
                .branches
                .iter()
                .filter(|(_, branch)| hidden || !branch.hidden);
            Ok(page(
                &call.query,
                shown.map(|(id, branch)| (id.clone(), named(id, &branch.commit))),
            ))
        })
    }

    pub(super) fn create_branch(&self, call: &Call) -> Result<Reply, Failure> {
        let (name, source) = (call.text("name"), call.text("source"));
        check_repository(call.segment(0))?;
        if !is_branch_name(name) {
            return Err(Failure::bad(
                "argument branch: branch id: invalid value: validation error: branch id must consist of letters, digits, underscores and dashes, and cannot start with a dash",
            ));
        }
        check_ref("ref", source)?;
        self.change(call.segment(0), |repository| {
            repository.writable(call.flag("force"))?;
            let context = format!("source reference '{source}'");
            let resolved = repository.resolve(source).within(&context)?;
            if resolved.modifier == Some('$') {
                return Err(Failure::internal("can't create a branch without commit").within(&context));
            }
            if repository.branches.contains_key(name) {
                return Err(Failure::conflict("branch already exists: not unique"));
            }
            let branch = Branch::at(resolved.commit.clone(), call.flag("hidden"));
            repository.branches.insert(name.to_owned(), branch);
            Ok(Reply::text(StatusCode::CREATED, resolved.commit))
        })
    }

    pub(super) fn get_branch(&self, call: &Call) -> Result<Reply, Failure> {
        let on = call.on()?;
        self.repository(on.repository, |repository| {
            Ok(Reply::ok(&named(on.branch, &repository.branch(on.branch)?.commit)))
        })
    }

    pub(super) fn delete_branch(&self, call: &Call) -> Result<Reply, Failure> {
        let on = call.on()?;
        self.change(on.repository, |repository| {
            repository.writable(call.query.flag("force", false))?;
            if repository.default_branch == on.branch {
                return Err(Failure::forbidden("cannot delete repository default branch"));
            }
            let gone = repository
                .branches
                .remove(on.branch)
                .ok_or_else(|| Failure::missing("branch not found"))?;
            for token in gone.sealed.iter().chain([&gone.staging]) {
                repository.tokens.remove(token);
            }
            Ok(Reply::no_content())
        })
    }

    /// Drops what is staged: all of it, one path, or all below a prefix.
    pub(super) async fn reset_branch(&self, call: &Call) -> Result<Reply, Failure> {
        let (on, kind, path) = (call.on()?, call.text("type"), call.text("path"));
        if !matches!(kind, "reset" | "object" | "common_prefix") {
            return Err(Failure::Invalid(
                "request body has an error: doesn't match schema #/components/schemas/ResetCreation: Error at \"/type\": value is not one of the allowed values [\"object\",\"common_prefix\",\"reset\"]".to_owned(),
            ));
        }
        if kind == "object" && path.is_empty() {
            return Err(Failure::bad(
                "argument path: missing path: required value: validation error",
            ));
        }
        self.repository(on.repository, |repository| {
            repository.unprotected(on.branch, "cannot write to protected branch")?;
            repository.writable(call.flag("force"))
        })?;
        if kind == "reset" {
            let fresh = |_: &_, branch: &mut Branch| {
                branch.seal();
                branch.sealed.clear();
                Ok(Made::nothing())
            };
            self.update(on, Duration::ZERO, fresh).await?;
            return Ok(Reply::no_content());
        }
        self.change(on.repository, |repository| {
            let branch = repository.branch(on.branch)?.clone();
            let tree = Arc::clone(&repository.commit(&branch.commit)?.tree);
            let dropped = |staged: &str| {
                if kind == "object" {
                    staged == path
                } else {
                    staged.starts_with(path)
                }
            };
            for path in repository.staged(&branch).into_keys().filter(|staged| dropped(staged)) {
                repository.stage(&branch, &path, tree.get(&*path).cloned());
            }
            Ok(Reply::no_content())
        })
    }

    pub(super) async fn hard_reset(&self, call: &Call) -> Result<Reply, Failure> {
        let (on, reference) = (call.on()?, call.query.text("ref"));
        check_ref("ref", reference)?;
        self.repository(on.repository, |repository| {
            repository.unprotected(on.branch, "protected branch")?;
            repository.writable(call.query.flag("force", false))
        })?;
        self.update_retrying(on, Duration::ZERO, |repository, branch| {
            repository.clean_head(on.branch, branch)?;
            let context = format!("hard-reset {} to {reference}", on.branch);
            let commit = repository.dereference(reference).within(context)?;
            branch.commit.clone_from(&commit.id);
            Ok(Made::nothing())
        })
        .await?;
        Ok(Reply::no_content())
    }

    pub(super) async fn commit(&self, call: &Call) -> Result<Reply, Failure> {
        let on = call.on()?;
        self.repository(on.repository, |repository| {
            repository.unprotected(on.branch, "cannot commit to protected branch")?;
            repository.writable(call.flag("force"))?;
            // The hooks look for their files on the branch before anything else does.
            let hook = uuid::Uuid::new_v4().simple().to_string();
            let hook = hook.get(..20).unwrap_or_default();
            let context =
                format!("prepare-commit hook aborted, run id '{hook}': list actions from commit: listing actions");
            repository
                .branch(on.branch)
                .map_err(|_| Failure::missing("not found").within(context))
                .map(|_| ())
        })?;
        // Sealing is not tried again: here most losers of a race lose.
        let seal = |_: &_, branch: &mut Branch| {
            branch.seal();
            Ok(Made::nothing())
        };
        self.update(on, Duration::ZERO, seal).await?;
        let made = self
            .update_retrying(on, self.config.commit_time, |repository, branch| {
                let parent = repository.commit(&branch.commit)?;
                let staged = repository.sealed(branch);
                let changed = !repository.is_clean(branch, &staged)?;
                if !changed && !call.flag("allow_empty") {
                    let text = if branch.sealed.is_empty() {
                        "no changes"
                    } else {
                        "commit: no changes"
                    };
                    return Err(Failure::bad(text));
                }
                let commit = Commit {
                    committer: call.user.clone(),
                    message: call.text("message").to_owned(),
                    created_ns: call
                        .number("date")
                        .map_or_else(now_ns, |seconds| seconds.saturating_mul(1_000_000_000)),
                    metadata: call.metadata("/metadata"),
                    parents: vec![parent.id.clone()],
                    generation: parent.generation + 1,
                    tree: if changed {
                        apply(&parent.tree, &staged).into()
                    } else {
                        parent.tree.clone()
                    },
                    ..Commit::default()
                };
                Ok(Made::head(branch, commit))
            })
            .await?;
        Ok(Reply::json(StatusCode::CREATED, &made.json()))
    }

    pub(super) fn get_commit(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        let reference = call.segment(1);
        self.repository(call.segment(0), |repository| {
            // Here lakeFS has words of its own for the errors.
            let commit = repository.pointed(reference).map_err(|failure| match failure.parts() {
                (StatusCode::NOT_FOUND, _) => Failure::missing("commit not found"),
                (_, message) => Failure::internal(message),
            })?;
            Ok(Reply::ok(&commit.json()))
        })
    }

    pub(super) fn log(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        check_ref("ref", call.segment(1))?;
        let after = call.query.text("after");
        let amount = call.query.number("amount").filter(|amount| *amount > 0).unwrap_or(100);
        let amount = usize::try_from(amount).unwrap_or(100);
        let listed = |name| call.query.all(name);
        let (objects, prefixes) = (listed("objects"), listed("prefixes"));
        self.repository(call.segment(0), |repository| {
            let head = repository.pointed(call.segment(1)).within("ref")?;
            let first_parent = call.query.flag("first_parent", false);
            let mut history = repository.history(&head.id, first_parent);
            if let Some(at) = history.iter().position(|commit| commit.id == after) {
                history.drain(..=at);
            }
            if !objects.is_empty() || !prefixes.is_empty() {
                let nothing = Arc::<Tree>::default();
                history.retain(|commit| {
                    let parent = commit.parents.first().and_then(|parent| repository.commits.get(parent));
                    let changed = difference(
                        parent.map_or(&nothing, |parent| &parent.tree),
                        &commit.tree,
                        Entry::same,
                    );
                    let wanted =
                        |path: &Arc<str>| objects.contains(&&**path) || prefixes.iter().any(|p| path.starts_with(p));
                    commit.parents.len() < 2 && changed.keys().any(wanted)
                });
            }
            let more = history.len() > amount;
            history.truncate(amount);
            Ok(paged(
                more,
                history
                    .iter()
                    .map(|commit| (commit.id.clone(), commit.json()))
                    .collect(),
            ))
        })
    }

    /// What is staged on a branch.
    pub(super) fn diff_branch(&self, call: &Call) -> Result<Reply, Failure> {
        let on = call.on()?;
        self.repository(on.repository, |repository| {
            let branch = repository.branch(on.branch)?;
            let tree = &repository.commit(&branch.commit)?.tree;
            Ok(diff_page(call, tree, &apply(tree, &repository.staged(branch))))
        })
    }

    /// What the right reference has that the left has not; `three_dot` (the default) looks from their merge base.
    pub(super) fn diff_refs(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        let two_dot = call.query.text("type") == "two_dot";
        let (left_name, right_name) = (call.segment(1), call.segment(2));
        self.repository(call.segment(0), |repository| {
            let left = repository
                .dereference(left_name)
                .within(format!("get commit by branch {left_name}"))?;
            let right = repository
                .dereference(right_name)
                .within(format!("get commit by ref {right_name}"))?;
            if two_dot {
                return Ok(diff_page(call, &left.tree, &right.tree));
            }
            let base = repository.merge_base(&left.id, &right.id);
            Ok(diff_page(call, &base.tree, &right.tree))
        })
    }
}

/// A page of differences, folded at the delimiter.
fn diff_page(call: &Call, from: &Tree, to: &Tree) -> Reply {
    let delimiter = call.query.text("delimiter");
    let prefix = call.query.text("prefix");
    let changes = difference(from, to, Entry::same);
    let mut folded: BTreeMap<String, Value> = BTreeMap::new();
    for (path, change) in &changes {
        let Some(rest) = path.strip_prefix(prefix) else {
            continue;
        };
        if let Some((head, _)) = rest.split_once(delimiter).filter(|_| !delimiter.is_empty()) {
            let path = format!("{prefix}{head}{delimiter}");
            let value = json!({ "path": path, "path_type": "common_prefix", "type": "prefix_changed" });
            folded.insert(path, value);
            continue;
        }
        let kind = match (from.contains_key(&**path), change) {
            (_, None) => "removed",
            (false, _) => "added",
            (true, _) => "changed",
        };
        let size = change
            .as_ref()
            .or_else(|| from.get(&**path))
            .map_or(0, |entry| entry.size);
        let value = json!({ "path": path, "path_type": "object", "size_bytes": size, "type": kind });
        folded.insert(path.to_string(), value);
    }
    page(&call.query, folded.into_iter())
}
