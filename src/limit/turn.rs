//! Turns: on each branch, what moves it goes alone, and what writes to its staging area not beside that (`order` says who is next).
//!
//! lakeFS lets such calls race and answers the losers 429 or 500 (`graveler.go`: retryBranchUpdate, Commit, safeBranchWrite); in turn,
//! none loses. One that needs turns on several branches takes them in the order of their names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::order::{Id, Kind, Order};
use crate::lakefs::Operation;

/// For how long a write keeps movers away whose object is at the store already when its bytes are.
const ENTRY: Duration = Duration::from_secs(10);
/// The same for a write for which lakeFS may have long work at the object store before the entry.
const STORE: Duration = Duration::from_secs(2);

/// What an operation's turn on its branch is for, if it takes one.
pub(super) fn kind(operation: Operation) -> Option<Kind> {
    use Operation as O;
    // mergePullRequest moves a branch too, but does not name it. Import and the async calls move it after their answer, which lakeFS guards.
    let kind = match operation {
        O::Commit
        | O::CommitAsync
        | O::MergeIntoBranch
        | O::MergeIntoBranchAsync
        | O::RevertBranch
        | O::CherryPick
        | O::HardResetBranch
        | O::ResetBranch
        | O::ImportStart
        | O::DeleteBranch => Kind::Moves,
        O::StageObject
        | O::LinkPhysicalAddress
        | O::UpdateObjectUserMetadata
        | O::DeleteObject
        | O::DeleteObjects
        | O::S3DeleteObject
        | O::S3DeleteObjects => Kind::Writes(ENTRY),
        O::UploadObject
        | O::CopyObject
        | O::CompletePresignMultipartUpload
        | O::S3PutObject
        | O::S3PostObject
        | O::S3CopyObject
        | O::S3CompleteMultipartUpload => Kind::Writes(STORE),
        _ => return None,
    };
    Some(kind)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Branch {
    repository: Box<str>,
    name: Box<str>,
}

/// A line and those in it who sleep.
#[derive(Debug, Default)]
struct Waiters {
    order: Order,
    asleep: HashMap<Id, Arc<Notify>>,
}

impl Waiters {
    /// Wakes those whose turn it is.
    fn go(&mut self) {
        for id in self.order.go(Instant::now()) {
            if let Some(waiter) = self.asleep.remove(&id) {
                waiter.notify_one();
            }
        }
    }
}

/// The lines of all branches that somebody changes now; a branch that nobody changes is not in it.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Branch, Waiters>>);

impl Turns {
    /// Takes a place in the line of a branch, and with it the turn if it is free.
    pub(super) fn at(self: &Arc<Self>, repository: &str, branch: &str, kind: Kind, principal: &Arc<str>) -> Place {
        self.place(repository, branch, kind, |waiters, now| {
            let id = waiters.order.join(kind, principal, now);
            waiters.go();
            id
        })
    }

    /// Goes without waiting; later ones can tell that it is there. For shadow.
    pub(super) fn beside(self: &Arc<Self>, repository: &str, branch: &str, kind: Kind) -> Place {
        self.place(repository, branch, kind, |waiters, now| {
            waiters.order.push_in(kind, now)
        })
    }

    fn place(
        self: &Arc<Self>,
        repository: &str,
        branch: &str,
        kind: Kind,
        join: impl FnOnce(&mut Waiters, Instant) -> Id,
    ) -> Place {
        let branch = Branch {
            repository: repository.into(),
            name: branch.into(),
        };
        let mut lines = self.lines();
        let waiters = lines.entry(branch.clone()).or_default();
        let ahead = waiters.order.before(kind);
        let id = join(waiters, Instant::now());
        Place {
            turns: Arc::clone(self),
            branch,
            kind,
            id,
            ahead,
        }
    }

    /// How many branches have a line.
    pub(super) fn branches(&self) -> usize {
        self.lines().len()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Branch, Waiters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line of a branch, left when dropped.
#[derive(Debug)]
pub(super) struct Place {
    turns: Arc<Turns>,
    branch: Branch,
    kind: Kind,
    id: Id,
    /// How many stood in its way when it came.
    pub(super) ahead: usize,
}

/// The turn on a branch, ended when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _place: Place,
    /// A mover's, if writes whose lease has run out are still under way.
    pub(super) beside_writes: bool,
}

/// What a place has come to.
enum Now {
    Turn(Turn),
    Asleep(Place, Arc<Notify>, Option<Instant>),
}

impl Place {
    /// Its turn, if it has come.
    pub(super) fn try_turn(self) -> Result<Turn, Self> {
        match self.look() {
            Now::Turn(turn) => Ok(turn),
            Now::Asleep(place, ..) => Err(place),
        }
    }

    /// Waits for its turn.
    pub(super) async fn turn(self) -> Turn {
        let mut place = self;
        loop {
            match place.look() {
                Now::Turn(turn) => return turn,
                Now::Asleep(asleep, notify, until) => {
                    place = asleep;
                    match until {
                        None => notify.notified().await,
                        Some(until) => tokio::select! {
                            () = notify.notified() => {}
                            () = sleep_until(until) => {}
                        },
                    }
                }
            }
        }
    }

    /// Its turn, whoever else has one. For a place beside the order.
    pub(super) fn at_once(self) -> Turn {
        Turn {
            _place: self,
            beside_writes: false,
        }
    }

    fn look(self) -> Now {
        let moves = self.kind == Kind::Moves;
        let mut lines = self.turns.lines();
        // Its own place keeps the line in there.
        let mut beside_writes = false;
        if let Some(waiters) = lines.get_mut(&self.branch) {
            waiters.go();
            if !waiters.order.has_turn(self.id) {
                let notify = Arc::clone(waiters.asleep.entry(self.id).or_default());
                let until = waiters
                    .order
                    .writes_until()
                    .filter(|until| moves && *until > Instant::now());
                drop(lines);
                return Now::Asleep(self, notify, until);
            }
            beside_writes = moves && waiters.order.is_written();
        }
        drop(lines);
        Now::Turn(Turn {
            _place: self,
            beside_writes,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        if let Some(waiters) = lines.get_mut(&self.branch) {
            waiters.asleep.remove(&self.id);
            waiters.order.leave(self.id);
            waiters.go();
            if waiters.order.is_empty() {
                lines.remove(&self.branch);
            }
        }
    }
}
