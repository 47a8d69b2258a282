//! Turns: what moves a branch goes one at a time on each branch, first come, first served.
//!
//! lakeFS lets such calls race and answers the losers 429 or 500; in turn, none loses (`graveler.go`, retryBranchUpdate and Commit).
//! Writes to staging take no turn yet. They race too: one that a commit's sealing of the staging area overtakes three times in a row is
//! answered 429, more seldom when commits come one at a time. The seat for them is [`Turns::at`]: a shared turn beside the exclusive one.
//! `completePresignMultipartUpload` belongs there too, not among the movers: the store needs seconds to put the parts together, and
//! neither other completes nor commits should stand in line behind that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::gate::{Gate, Pass};
use crate::lakefs::Operation;

/// Whether an operation moves the branch that is its subject.
pub(super) fn moves_branch(operation: Operation) -> bool {
    // mergePullRequest moves one too, but does not name it. Import and the async calls move it after their answer, which lakeFS guards.
    matches!(
        operation,
        Operation::Commit
            | Operation::CommitAsync
            | Operation::MergeIntoBranch
            | Operation::MergeIntoBranchAsync
            | Operation::RevertBranch
            | Operation::CherryPick
            | Operation::HardResetBranch
            | Operation::ResetBranch
            | Operation::ImportStart
            | Operation::DeleteBranch
    )
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Branch {
    repository: Box<str>,
    name: Box<str>,
}

#[derive(Debug)]
struct Line {
    gate: Arc<Gate>,
    /// How many have their turn or wait for it.
    length: usize,
}

/// The lines of all branches that somebody moves now; a branch that nobody moves is not in it.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Branch, Line>>);

impl Turns {
    /// Takes a place in the line of a branch.
    pub(super) fn at(self: &Arc<Self>, repository: &str, branch: &str) -> Place {
        let branch = Branch {
            repository: repository.into(),
            name: branch.into(),
        };
        let mut lines = self.lines();
        let line = lines.entry(branch.clone()).or_insert_with(|| Line {
            gate: Gate::new(1),
            length: 0,
        });
        let (gate, ahead) = (Arc::clone(&line.gate), line.length);
        line.length += 1;
        Place {
            turns: Arc::clone(self),
            branch,
            gate,
            ahead,
        }
    }

    /// How many branches have a line.
    pub(super) fn branches(&self) -> usize {
        self.lines().len()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Branch, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line of a branch, left when dropped.
#[derive(Debug)]
pub(super) struct Place {
    turns: Arc<Turns>,
    branch: Branch,
    gate: Arc<Gate>,
    /// How many were before it.
    pub(super) ahead: usize,
}

/// The turn on a branch, ended when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    // In this order: the next one is let in before the line may be forgotten.
    _pass: Option<Pass>,
    _place: Place,
}

impl Place {
    /// Its turn, if nobody is before it.
    pub(super) fn try_turn(self) -> Result<Turn, Self> {
        match self.gate.try_enter() {
            Some(pass) => Ok(Turn {
                _pass: Some(pass),
                _place: self,
            }),
            None => Err(self),
        }
    }

    /// Waits for its turn.
    pub(super) async fn turn(self) -> Turn {
        let pass = self.gate.enter().await;
        Turn {
            _pass: Some(pass),
            _place: self,
        }
    }

    /// Goes without waiting; later ones can tell that it is there. For shadow.
    pub(super) fn unordered(self) -> Turn {
        Turn {
            _pass: None,
            _place: self,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        if let Some(line) = lines.get_mut(&self.branch) {
            line.length -= 1;
            if line.length == 0 {
                lines.remove(&self.branch);
            }
        }
    }
}
