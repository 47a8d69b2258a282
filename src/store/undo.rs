//! The record of one destructive call: what it was about to lose, and what became of it. What is done with it is the business of `record`.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Record, Timestamp};

/// How a destructive call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is on its way.
    Pending,
    /// lakeFS did it.
    Done,
    /// lakeFS did not do it.
    Failed,
    /// The answer was lost: lakeFS may have done it.
    Unknown,
}

impl Outcome {
    /// Its name in log, records and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A tag that keeps a commit from lakeFS's garbage collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its name.
    pub tag: String,
    /// Whether it was made; a record from before a crash may say no where it was.
    pub made: bool,
}

/// The head of one branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The branch.
    pub branch: String,
    /// Its commit, in full.
    pub commit: String,
}

/// The record of one destructive call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// The record's own id, in order of time (UUID version 7).
    pub id: Uuid,
    /// When the call was about to go.
    pub time: Timestamp,
    /// The gateway's id of the request.
    pub request_id: Uuid,
    /// Who sent it; of an undo the operator.
    pub principal: String,
    /// Whether that was proved, or only claimed.
    pub proved: bool,
    /// How that one authenticated.
    pub auth_method: String,
    /// From where; nowhere for what came by the command socket.
    pub client_address: Option<IpAddr>,
    /// lakeFS's name of the operation.
    pub operation: String,
    /// All that it endangered.
    pub dangers: Vec<String>,
    /// The repository.
    pub repository: String,
    /// The branch, if it was about one.
    pub branch: Option<String>,
    /// The tag, if it was about one.
    pub tag: Option<String>,
    /// The commit that the branch or tag stood at, in full.
    pub commit: Option<String>,
    /// Heads of a repository that was about to be deleted, as many as are kept.
    #[serde(default)]
    pub heads: Vec<Head>,
    /// Where it was to be moved to, in the request's words.
    pub moved_to: Option<String>,
    /// Where lakeFS left it, in full; nothing where it was deleted, or where that could not be read.
    pub left_at: Option<String>,
    /// Whether objects that nobody had committed were lost with it.
    pub uncommitted: Option<bool>,
    /// The tag that holds the commit.
    pub pin: Option<Pin>,
    /// How it ended.
    pub outcome: Outcome,
    /// When that was known.
    pub ended: Option<Timestamp>,
    /// Status of the answer.
    pub status: Option<u16>,
    /// lakeFS's id of the request.
    pub upstream_request_id: Option<String>,
    /// The record that this call undid.
    pub undoes: Option<Uuid>,
    /// The record of the call that undid this one.
    pub undone_by: Option<Uuid>,
}

impl Record for Undo {
    const TABLE: &'static str = "undo";
    const MERGE: Option<fn(Self, Self) -> Self> = Some(Self::merge);

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Undo {
    /// What was written at the beginning is the same in both; how it ended counts, and what is certain counts more.
    fn merge(self, other: Self) -> Self {
        let certain = |undo: &Self| match undo.outcome {
            Outcome::Pending => 0,
            Outcome::Unknown => 1,
            Outcome::Failed => 2,
            Outcome::Done => 3,
        };
        let end = |undo: &Self| {
            let answer = (undo.status, undo.left_at.clone(), undo.upstream_request_id.clone());
            (
                certain(undo),
                undo.ended,
                answer,
                undo.pin.as_ref().map(|pin| (pin.made, pin.tag.clone())),
            )
        };
        let undone_by = self.undone_by.max(other.undone_by);
        let later = if end(&self) >= end(&other) { self } else { other };
        Self { undone_by, ..later }
    }

    /// What it was about, for people: `repository/branch`, `repository tag NAME`, `repository`.
    pub fn place(&self) -> String {
        match (&self.branch, &self.tag) {
            (Some(branch), _) => format!("{}/{branch}", self.repository),
            (None, Some(tag)) => format!("{} tag {tag}", self.repository),
            (None, None) => self.repository.clone(),
        }
    }
}
