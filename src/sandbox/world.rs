//! What the sandbox holds: repositories, branches, commits, staged changes. Data and look-ups; how it changes is in `change.rs`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reply::Failure;

/// All that is kept, and written to disk if there is a data folder.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The installation's id, as `/_health` tells it.
    pub(super) installation: String,
    /// The one user, once `setup` has run.
    pub(super) user: Option<User>,
    pub(super) repositories: BTreeMap<String, Repository>,
}

/// The one user of an open-source lakeFS.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) created: i64,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) created: i64,
    pub(super) storage_namespace: String,
    pub(super) default_branch: String,
    pub(super) read_only: bool,
    pub(super) branches: BTreeMap<String, Branch>,
    pub(super) tags: BTreeMap<String, String>,
    #[serde(with = "super::persist::commits")]
    pub(super) commits: BTreeMap<String, Arc<Commit>>,
    /// Staged changes by token.
    pub(super) tokens: BTreeMap<u64, Staged>,
    /// Patterns of protected branches.
    pub(super) rules: Vec<String>,
}

/// A branch record; `version` changes with every compare-and-set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Branch {
    pub(super) commit: String,
    pub(super) staging: u64,
    /// Tokens that a commit has sealed, the newest first.
    pub(super) sealed: Vec<u64>,
    pub(super) version: u64,
    pub(super) hidden: bool,
}

impl Branch {
    pub(super) fn at(commit: String, hidden: bool) -> Self {
        Self {
            commit,
            staging: new_token(),
            sealed: Vec::new(),
            version: 0,
            hidden,
        }
    }

    /// Starts a new staging token; what was staged waits for a commit.
    pub(super) fn seal(&mut self) {
        self.sealed.insert(0, self.staging);
        self.staging = new_token();
    }
}

/// Names a staging area.
pub(super) fn new_token() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// Committed content: path to object.
pub(super) type Tree = BTreeMap<Arc<str>, Arc<Entry>>;
/// Staged changes: nothing is a deletion.
pub(super) type Staged = BTreeMap<Arc<str>, Option<Arc<Entry>>>;

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Relative to the storage namespace (`data/...`), or a full address elsewhere.
    pub(super) address: String,
    pub(super) size: u64,
    pub(super) checksum: String,
    pub(super) content_type: String,
    pub(super) mtime: i64,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Entry {
    /// Whether lakeFS sees no change between the two (pkg/catalog/entry.go: the address does not count).
    pub(super) fn same(&self, other: &Self) -> bool {
        self.size == other.size
            && self.checksum == other.checksum
            && self.metadata == other.metadata
            && self.content_type == other.content_type
    }

    /// `ObjectStats` as lakeFS writes it.
    pub(super) fn stats(&self, path: &str, address: &str) -> Value {
        json!({
            "checksum": self.checksum, "content_type": self.content_type, "metadata": self.metadata, "mtime": self.mtime,
            "path": path, "path_type": "object", "physical_address": address, "size_bytes": self.size,
        })
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) committer: String,
    pub(super) message: String,
    /// In nanoseconds since 1970, as lakeFS keeps it: logs are in this order.
    pub(super) created_ns: i64,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) parents: Vec<String>,
    pub(super) generation: i64,
    #[serde(skip)]
    pub(super) tree: Arc<Tree>,
}

impl Commit {
    /// Gives the commit its id, the hash of all that it says.
    pub(super) fn identify(mut self) -> Self {
        let said = json!([
            self.committer,
            self.message,
            self.created_ns / 1_000_000_000,
            self.metadata,
            self.parents,
            self.range()
        ]);
        self.id = sha256_hex(said.to_string().as_bytes());
        self
    }

    /// lakeFS names content by its metarange; a hash of the tree does as well. The first commit has none.
    pub(super) fn range(&self) -> String {
        if self.parents.is_empty() {
            return String::new();
        }
        let mut hash = digest::Context::new(&digest::SHA256);
        for (path, entry) in self.tree.iter() {
            hash.update(path.as_bytes());
            hash.update(entry.address.as_bytes());
            hash.update(entry.checksum.as_bytes());
        }
        to_hex(hash.finish().as_ref())
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "committer": self.committer, "creation_date": self.created_ns / 1_000_000_000, "generation": self.generation, "id": self.id, "message": self.message,
            "meta_range_id": self.range(), "metadata": self.metadata, "parents": self.parents, "version": 1,
        })
    }
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    to_hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a reference expression names.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The commit.
    pub(super) commit: String,
    /// The branch, where the name of one was given.
    pub(super) branch: Option<String>,
    /// What follows a branch's name: `@` its commit only, `$` its staging area.
    pub(super) modifier: Option<char>,
}

/// lakeFS's text for a reference that cannot be.
pub(super) const INVALID_REF: &str = "ref: invalid value: validation error";

impl Repository {
    pub(super) fn json(&self) -> Value {
        json!({
            "creation_date": self.created, "default_branch": self.default_branch, "id": self.name, "read_only": self.read_only,
            "storage_id": "", "storage_namespace": self.storage_namespace,
        })
    }

    pub(super) fn branch(&self, name: &str) -> Result<&Branch, Failure> {
        self.branches
            .get(name)
            .ok_or_else(|| Failure::missing("branch not found"))
    }

    /// Refuses unless `force` is given, where the repository is read-only.
    pub(super) fn writable(&self, force: bool) -> Result<(), Failure> {
        if self.read_only && !force {
            return Err(Failure::forbidden("read-only repository"));
        }
        Ok(())
    }

    pub(super) fn commit(&self, id: &str) -> Result<&Arc<Commit>, Failure> {
        self.commits.get(id).ok_or_else(|| Failure::missing("commit not found"))
    }

    /// Resolves a reference expression (pkg/graveler/ref): a full commit id, a branch, a tag, a unique prefix of a commit id; then modifiers.
    pub(super) fn resolve(&self, expression: &str) -> Result<Resolved, Failure> {
        let invalid = || Failure::bad(INVALID_REF);
        let mut parts = split_modifiers(expression).into_iter();
        let base = parts.next().filter(|base| !base.is_empty()).ok_or_else(invalid)?;
        let modifiers = parts.map(parse_modifier).collect::<Result<Vec<_>, _>>()?;
        let (mut commit, branch) = self.base(base).ok_or_else(|| Failure::missing("not found"))?;
        for &(kind, amount) in &modifiers {
            match kind {
                '@' | '$' if branch.is_none() || modifiers.len() != 1 => return Err(invalid()),
                '@' | '$' => {
                    return Ok(Resolved {
                        commit,
                        branch,
                        modifier: Some(kind),
                    });
                }
                '~' => {
                    for _ in 0..amount {
                        let parents = &self.commit(&commit)?.parents;
                        commit = parents.first().cloned().ok_or_else(|| Failure::missing("not found"))?;
                    }
                }
                _ if amount == 0 => {}
                _ => {
                    let parents = &self.commit(&commit)?.parents;
                    let number = usize::try_from(amount).map_err(|_| invalid())?;
                    let parent = parents.get(number.wrapping_sub(1));
                    commit = parent.cloned().ok_or_else(invalid)?;
                }
            }
        }
        Ok(Resolved {
            commit,
            branch: branch.filter(|_| modifiers.is_empty()),
            modifier: None,
        })
    }

    fn base(&self, name: &str) -> Option<(String, Option<String>)> {
        if name.len() == 64 && self.commits.contains_key(name) {
            return Some((name.to_owned(), None));
        }
        if let Some(branch) = self.branches.get(name) {
            return Some((branch.commit.clone(), Some(name.to_owned())));
        }
        if let Some(commit) = self.tags.get(name) {
            return Some((commit.clone(), None));
        }
        if name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut matching = self.commits.keys().filter(|id| id.starts_with(name));
        matching
            .next()
            .filter(|_| matching.next().is_none())
            .map(|id| (id.clone(), None))
    }

    /// The commit that a reference names; `$` names none.
    pub(super) fn dereference(&self, expression: &str) -> Result<&Arc<Commit>, Failure> {
        let resolved = self.resolve(expression)?;
        if resolved.modifier == Some('$') {
            return Err(Failure::bad(format!(
                "reference '{expression}': reference to staging area with $ is not a commit"
            )));
        }
        self.commit(&resolved.commit)
    }

    /// The same in the words of the catalog.
    pub(super) fn pointed(&self, expression: &str) -> Result<&Arc<Commit>, Failure> {
        let resolved = self.resolve(expression)?;
        if resolved.modifier == Some('$') {
            return Err(Failure::bad(format!("{INVALID_REF}: should point to a commit")));
        }
        self.commit(&resolved.commit)
    }

    /// The changes staged on a branch, newest last word.
    pub(super) fn staged(&self, branch: &Branch) -> Staged {
        let mut staged = self.sealed(branch);
        staged.extend(
            self.tokens
                .get(&branch.staging)
                .into_iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        staged
    }

    /// The changes in a branch's sealed tokens.
    pub(super) fn sealed(&self, branch: &Branch) -> Staged {
        let tokens = branch.sealed.iter().rev().filter_map(|token| self.tokens.get(token));
        tokens.flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Whether `staged` would change anything of a branch's commit.
    pub(super) fn is_clean(&self, branch: &Branch, staged: &Staged) -> Result<bool, Failure> {
        let tree = &self.commit(&branch.commit)?.tree;
        Ok(staged.iter().all(|(path, change)| match (tree.get(path), change) {
            (Some(committed), Some(staged)) => committed.same(staged),
            (None, None) => true,
            _ => false,
        }))
    }

    /// All that a reference shows: its commit, and for a branch what is staged on it.
    pub(super) fn view(&self, expression: &str) -> Result<Arc<Tree>, Failure> {
        let resolved = self.resolve(expression)?;
        let tree = &self.commit(&resolved.commit)?.tree;
        let branch = resolved.branch.filter(|_| resolved.modifier != Some('@'));
        let Some(branch) = branch.and_then(|name| self.branches.get(&name)) else {
            return Ok(Arc::clone(tree));
        };
        let staged = self.staged(branch);
        if staged.is_empty() {
            return Ok(Arc::clone(tree));
        }
        Ok(Arc::new(apply(tree, &staged)))
    }

    /// A commit's ancestors with itself, the latest first.
    pub(super) fn history(&self, id: &str, first_parent: bool) -> Vec<&Arc<Commit>> {
        let (mut queue, mut seen, mut history) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        queue.extend(
            self.commits
                .get(id)
                .map(|commit| (commit.created_ns, commit.id.as_str())),
        );
        while let Some((_, id)) = queue.pop_last() {
            let Some(commit) = self.commits.get(id).filter(|_| seen.insert(id)) else {
                continue;
            };
            history.push(commit);
            let parents = commit.parents.iter().take(if first_parent { 1 } else { usize::MAX });
            let parents = parents.filter_map(|parent| self.commits.get(parent));
            queue.extend(parents.map(|parent| (parent.created_ns, parent.id.as_str())));
        }
        history
    }

    /// The best common ancestor of two commits; an empty one if there is none.
    pub(super) fn merge_base(&self, left: &str, right: &str) -> Arc<Commit> {
        // By generation downward, each commit with the sides it was reached from; whatever was reached from both is the base.
        let mut reached: BTreeMap<(i64, &str), u8> = BTreeMap::new();
        for (side, id) in [(1, left), (2, right)] {
            if let Some(commit) = self.commits.get(id) {
                *reached.entry((commit.generation, commit.id.as_str())).or_default() |= side;
            }
        }
        while let Some(((_, id), sides)) = reached.pop_last() {
            let Some(commit) = self.commits.get(id) else { continue };
            if sides == 3 {
                return Arc::clone(commit);
            }
            for parent in commit.parents.iter().filter_map(|parent| self.commits.get(parent)) {
                *reached.entry((parent.generation, parent.id.as_str())).or_default() |= sides;
            }
        }
        Arc::default()
    }

    /// The full address of an entry.
    pub(super) fn full_address(&self, address: &str) -> String {
        if address.starts_with("data/") {
            format!("{}/{address}", self.storage_namespace.trim_end_matches('/'))
        } else {
            address.to_owned()
        }
    }
}

/// A tree with changes applied.
pub(super) fn apply(tree: &Tree, changes: &Staged) -> Tree {
    let mut changed = tree.clone();
    for (path, change) in changes {
        match change {
            Some(entry) => changed.insert(path.clone(), Arc::clone(entry)),
            None => changed.remove(path),
        };
    }
    changed
}

/// What must change to turn `from` into `to`.
pub(super) fn difference(from: &Tree, to: &Tree, same: impl Fn(&Entry, &Entry) -> bool) -> Staged {
    let mut changes = Staged::new();
    let (mut old, mut new) = (from.iter().peekable(), to.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let came = if order.is_ge() { new.next() } else { None };
        match (gone, came) {
            (Some((_, old)), Some((_, new))) if Arc::ptr_eq(old, new) || same(old, new) => {}
            (_, Some((path, new))) => drop(changes.insert(Arc::clone(path), Some(Arc::clone(new)))),
            (Some((path, _)), None) => drop(changes.insert(Arc::clone(path), None)),
            (None, None) => return changes,
        }
    }
}

/// `main~2^` is `main`, `~2`, `^`.
fn split_modifiers(expression: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = expression;
    loop {
        let end = rest
            .char_indices()
            .skip(usize::from(!parts.is_empty()))
            .find(|(_, c)| "~^@$".contains(*c))
            .map_or(rest.len(), |(at, _)| at);
        let (part, after) = rest.split_at(end);
        parts.push(part);
        if after.is_empty() {
            return parts;
        }
        rest = after;
    }
}

fn parse_modifier(part: &str) -> Result<(char, i64), Failure> {
    let mut chars = part.chars();
    let kind = chars.next().unwrap_or_default();
    let amount = chars.as_str();
    match (kind, amount) {
        ('@' | '$', "") => Ok((kind, 1)),
        ('@' | '$', _) => Err(Failure::bad(INVALID_REF)),
        (_, "") => Ok((kind, 1)),
        (_, amount) => match amount.parse() {
            Ok(amount) => Ok((kind, amount)),
            Err(_) => Err(Failure::new(
                StatusCode::BAD_REQUEST,
                format!("could not parse modifier {part}: {INVALID_REF}"),
            )),
        },
    }
}
