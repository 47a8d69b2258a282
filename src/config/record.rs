//! `record`: what is written down before a destructive call goes, and how confirmations and approvals are taken.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::Period;

/// What is written down before a destructive call goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordConfig {
    /// The heads that destructive calls are about to lose: `lakegate undo` brings them back.
    pub undo: UndoConfig,
    /// Approvals by a second person, for rules that ask for them.
    pub approvals: ApprovalsConfig,
}

/// The heads that destructive calls are about to lose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UndoConfig {
    /// The operations that are written down; none turns it off.
    pub operations: Vec<UndoOperation>,
    /// Those of them whose commit a tag keeps from garbage collection.
    pub pin: Vec<UndoOperation>,
    /// How the names of these tags begin.
    pub tag_prefix: String,
    /// How long a record is kept, and its tag.
    pub retention: Period,
    /// The most records; beyond them the oldest goes, and its tag.
    pub max_records: usize,
    /// What becomes of a call whose head cannot be read.
    pub unreadable: Unreadable,
}

impl Default for UndoConfig {
    fn default() -> Self {
        use UndoOperation as O;
        Self {
            operations: vec![
                O::HardReset,
                O::DeleteBranch,
                O::DeleteTag,
                O::DeleteRepository,
                O::ResetBranch,
                O::Revert,
            ],
            pin: vec![O::HardReset, O::DeleteBranch],
            tag_prefix: "lakegate-undo-".into(),
            retention: Period(Duration::from_secs(30 * 86_400)),
            max_records: 10_000,
            unreadable: Unreadable::default(),
        }
    }
}

/// An operation that can be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UndoOperation {
    /// Moving a branch to any commit.
    HardReset,
    /// Deleting a branch.
    DeleteBranch,
    /// Deleting a tag.
    DeleteTag,
    /// Deleting a repository: its heads are written down, and it is beyond undo.
    DeleteRepository,
    /// Dropping what is staged on a branch: beyond undo.
    ResetBranch,
    /// A revert.
    Revert,
    /// A cherry-pick.
    CherryPick,
    /// An import.
    Import,
    /// A merge.
    Merge,
}

/// What becomes of a call whose head cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// It is answered 503 and does not go.
    #[default]
    Refuse,
    /// It goes, and its record names no commit.
    Forward,
}

/// Approvals by a second person.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApprovalsConfig {
    /// How long a request waits for its approval.
    pub pending: Period,
    /// How long an approval then stands.
    pub valid: Period,
    /// The most requests that wait at a time, and that one principal may have waiting is a tenth of it.
    pub max_pending: usize,
}

impl Default for ApprovalsConfig {
    fn default() -> Self {
        Self {
            pending: Period(Duration::from_secs(15 * 60)),
            valid: Period(Duration::from_secs(15 * 60)),
            max_pending: 1000,
        }
    }
}
