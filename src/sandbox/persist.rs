//! The state on disk: one JSON snapshot, replaced by rename after each change. Objects are files of their own (`store.rs`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::store::Index;
use super::world::State;

/// A snapshot.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Saved {
    pub(super) state: State,
    pub(super) store: Index,
}

/// A snapshot as JSON.
pub(super) fn snapshot(state: &State, store: &Index) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Snapshot<'a> {
        state: &'a State,
        store: &'a Index,
    }
    serde_json::to_vec(&Snapshot { state, store })
}

/// Writes snapshots; changes that wait for the same write share it.
#[derive(Debug)]
pub(super) struct Saver {
    path: PathBuf,
    changed: AtomicU64,
    written: tokio::sync::Mutex<u64>,
}

impl Saver {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("state.json"),
            changed: AtomicU64::new(0),
            written: tokio::sync::Mutex::new(0),
        }
    }

    /// The last snapshot, if there is one.
    pub(super) fn load(&self) -> io::Result<Option<Saved>> {
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that a change made before this call is on disk.
    pub(super) async fn save(&self, snapshot: impl FnOnce() -> serde_json::Result<Vec<u8>>) -> io::Result<()> {
        let mine = self.changed.fetch_add(1, Ordering::SeqCst) + 1;
        let mut written = self.written.lock().await;
        if *written >= mine {
            return Ok(());
        }
        let covers = self.changed.load(Ordering::SeqCst);
        let bytes = snapshot().map_err(io::Error::other)?;
        let partial = self.path.with_extension("partial");
        tokio::fs::write(&partial, bytes).await?;
        tokio::fs::rename(&partial, &self.path).await?;
        *written = covers;
        Ok(())
    }
}

/// Commits are written with what they changed of their first parent, not with their whole tree.
pub(super) mod commits {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::sandbox::world::{Commit, Staged, apply, difference};

    #[derive(Serialize, Deserialize)]
    struct Saved {
        #[serde(flatten)]
        commit: Commit,
        changes: Staged,
    }

    pub(in crate::sandbox) fn serialize<S: Serializer>(
        commits: &BTreeMap<String, Arc<Commit>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let empty = Arc::default();
        let mut saved: Vec<Saved> = commits
            .values()
            .map(|commit| {
                let parent = commit.parents.first().and_then(|parent| commits.get(parent));
                Saved {
                    changes: difference(
                        parent.map_or(&empty, |parent| &parent.tree),
                        &commit.tree,
                        PartialEq::eq,
                    ),
                    commit: Commit::clone(commit),
                }
            })
            .collect();
        saved.sort_by_key(|saved| saved.commit.generation);
        saved.serialize(serializer)
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Arc<Commit>>, D::Error> {
        let mut commits: BTreeMap<String, Arc<Commit>> = BTreeMap::new();
        for Saved { mut commit, changes } in Vec::deserialize(deserializer)? {
            let parent = commit.parents.first().and_then(|parent| commits.get(parent));
            let tree = parent.map(|parent| Arc::clone(&parent.tree)).unwrap_or_default();
            commit.tree = if changes.is_empty() {
                tree
            } else {
                Arc::new(apply(&tree, &changes))
            };
            commits.insert(commit.id.clone(), Arc::new(commit));
        }
        Ok(commits)
    }
}
