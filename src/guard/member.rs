//! What the preset `protect` covers: the table from operation to member. One more danger is one more row here. Pure.

use http::Method;

use crate::lakefs::{Classified, Operation, Role, Target};

/// One thing that `protect` refuses, under the name it has in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// Moves a branch to any commit; what only the branch held is lost.
    HardReset,
    /// A change that the gateway has no name for: it may do anything in its repository.
    UnknownMutation,
}

impl Member {
    /// The table: the member that a request belongs to, if any.
    pub fn of(operation: Operation, method: &Method) -> Option<Self> {
        match operation {
            Operation::HardResetBranch => Some(Self::HardReset),
            Operation::UnknownApi | Operation::S3Unknown if changes(method) => Some(Self::UnknownMutation),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::HardReset => "hard_reset",
            Self::UnknownMutation => "unknown_mutation",
        }
    }

    /// What of lakeFS it endangers.
    pub(super) fn places(self, classified: &Classified) -> impl Iterator<Item = Place<'_>> {
        let subjects = move |target: &&Target| self == Self::UnknownMutation || target.role == Role::Subject;
        let named = classified.targets.iter().filter(subjects);
        // A hard reset that names nothing could hit anything; an unknown call that names no repository is about none.
        let anywhere = (self == Self::HardReset && named.clone().next().is_none()).then_some(Place::default());
        let place = move |target| Place::of(target, self != Self::UnknownMutation);
        named.map(place).chain(anywhere)
    }
}

/// A place in lakeFS: where it names no repository or branch, it may be any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place<'a> {
    /// The repository.
    pub repository: Option<&'a str>,
    /// The branch.
    pub branch: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(target: &'a Target, to_the_branch: bool) -> Self {
        Self {
            repository: Some(&target.repository),
            branch: target.reference.as_deref().filter(|_| to_the_branch),
        }
    }
}

/// Whether a request with this method can change anything in lakeFS, whose reads are GET and HEAD without exception.
fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
