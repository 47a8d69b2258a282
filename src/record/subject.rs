//! What a request is about to change, as far as the record cares: which head, and what of it can be lost. Pure.

use crate::config::UndoOperation;
use crate::lakefs::{Classified, Operation, Role};

/// Where in lakeFS it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Branch {
        repository: String,
        branch: String,
    },
    Tag {
        repository: String,
        tag: String,
    },
    Repository {
        repository: String,
    },
    /// It names no repository.
    Nowhere,
}

/// One request, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// As configuration names it; nothing for what is not to be written down.
    pub(super) kind: Option<UndoOperation>,
    pub(super) place: Place,
    /// Where its branch is to be moved to, in its own words.
    pub(super) moved_to: Option<String>,
    /// Whether the answer comes before the branch has moved.
    pub(super) deferred: bool,
}

impl Subject {
    pub(super) fn of(classified: &Classified, kind: Option<UndoOperation>) -> Self {
        let of_role = |role| classified.targets.iter().find(move |target| target.role == role);
        let subject = of_role(Role::Subject);
        let place = match (classified.branch(), subject) {
            (Some((repository, branch)), _) => Place::Branch {
                repository: repository.to_owned(),
                branch: branch.to_owned(),
            },
            (None, Some(target)) => match &target.reference {
                Some(tag) if classified.operation == Operation::DeleteTag => Place::Tag {
                    repository: target.repository.clone(),
                    tag: tag.clone(),
                },
                _ => Place::Repository {
                    repository: target.repository.clone(),
                },
            },
            (None, None) => Place::Nowhere,
        };
        Self {
            kind,
            place,
            moved_to: of_role(Role::Source).and_then(|target| target.reference.clone()),
            deferred: matches!(
                classified.operation,
                Operation::ImportStart | Operation::MergeIntoBranchAsync
            ),
        }
    }
}

impl Place {
    pub(super) fn repository(&self) -> &str {
        match self {
            Self::Branch { repository, .. } | Self::Tag { repository, .. } | Self::Repository { repository } => {
                repository
            }
            Self::Nowhere => "",
        }
    }

    pub(super) fn branch(&self) -> Option<&str> {
        match self {
            Self::Branch { branch, .. } => Some(branch),
            _ => None,
        }
    }

    pub(super) fn tag(&self) -> Option<&str> {
        match self {
            Self::Tag { tag, .. } => Some(tag),
            _ => None,
        }
    }
}

/// What configuration calls an operation; nothing for what is never written down.
pub(super) fn kind(operation: Operation) -> Option<UndoOperation> {
    Some(match operation {
        Operation::HardResetBranch => UndoOperation::HardReset,
        Operation::DeleteBranch => UndoOperation::DeleteBranch,
        Operation::DeleteTag => UndoOperation::DeleteTag,
        Operation::DeleteRepository => UndoOperation::DeleteRepository,
        Operation::ResetBranch => UndoOperation::ResetBranch,
        Operation::RevertBranch => UndoOperation::Revert,
        Operation::CherryPick => UndoOperation::CherryPick,
        Operation::ImportStart => UndoOperation::Import,
        Operation::MergeIntoBranch | Operation::MergeIntoBranchAsync => UndoOperation::Merge,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefs::classify;

    fn subject(method: &str, target: &str) -> Subject {
        let uri = format!("/api/v1/repositories/{target}");
        let (head, ()) = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .unwrap()
            .into_parts();
        let classified = classify(&head, &[]).unwrap();
        Subject::of(&classified, kind(classified.operation))
    }

    #[test]
    fn what_is_about_to_be_lost_is_named() {
        let reset = subject("PUT", "r/branches/b/hard_reset?ref=main~1");
        assert_eq!(reset.kind, Some(UndoOperation::HardReset));
        assert_eq!(reset.moved_to.as_deref(), Some("main~1"));
        assert_eq!((reset.place.repository(), reset.place.branch()), ("r", Some("b")));
        let tag = subject("DELETE", "r/tags/v1");
        assert_eq!(
            (tag.kind, tag.place.tag()),
            (Some(UndoOperation::DeleteTag), Some("v1"))
        );
        let repository = subject("DELETE", "r");
        assert_eq!(repository.place, Place::Repository { repository: "r".into() });
        let merge = subject("POST", "r/refs/dev/merge/main/async");
        assert!(merge.deferred && merge.place.branch() == Some("main"));
        assert_eq!(merge.moved_to.as_deref(), Some("dev"));
        assert_eq!(subject("POST", "r/branches/b/commits").kind, None);
        assert_eq!(subject("GET", "r/branches/b").kind, None);
    }
}
