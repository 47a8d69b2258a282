//! The record of one request that waits for a second person's approval. What is done with it is the business of `record`.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Record, Timestamp};

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has said anything yet.
    Pending,
    /// The request may pass once.
    Approved,
    /// It may not.
    Denied,
    /// It has passed.
    Used,
}

impl ApprovalState {
    /// Its name in log, records and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
        }
    }
}

impl fmt::Display for ApprovalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The record of one request that must be approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What the second person names it by (UUID version 7).
    pub id: Uuid,
    /// SHA-256, in hex, over whose request it is and all of it that the gateway knows: method, target, body. Only the same request by the
    /// same principal has it.
    pub digest: String,
    /// Who asks.
    pub principal: String,
    /// Whether that was proved, or only claimed.
    pub proved: bool,
    /// lakeFS's name of the operation.
    pub operation: String,
    /// Method and target, without what signs or authenticates.
    pub request: String,
    /// What it is about: `repository/branch`, and so on.
    pub targets: Vec<String>,
    /// Whether it is forced.
    pub forced: bool,
    /// Whether the body is part of what is approved; else it was not read, and any body passes.
    pub body_read: bool,
    /// The commit that the branch stood at when it was asked for.
    pub commit: Option<String>,
    /// The rules that ask for it.
    pub rules: Vec<String>,
    /// Where it stands.
    pub state: ApprovalState,
    /// The gateway's id of the request that asked.
    pub request_id: Uuid,
    /// When it was asked for.
    pub asked: Timestamp,
    /// Until when it stands as it does.
    pub until: Timestamp,
    /// Who approved or denied it: a name, and the user of the command socket.
    pub by: Option<String>,
    /// When.
    pub decided: Option<Timestamp>,
    /// The gateway's id of the request that it let pass.
    pub used_by: Option<Uuid>,
}

impl Record for Approval {
    const TABLE: &'static str = "approvals";
    const MERGE: Option<fn(Self, Self) -> Self> = Some(Self::merge);

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Approval {
    /// The later step counts; of two people who decided at one time, the one who said no.
    fn merge(self, other: Self) -> Self {
        let step = |approval: &Self| match approval.state {
            ApprovalState::Pending => 0,
            ApprovalState::Approved => 1,
            ApprovalState::Used => 2,
            ApprovalState::Denied => 3,
        };
        let order = |approval: &Self| {
            (
                step(approval),
                approval.until,
                approval.decided,
                approval.by.clone(),
                approval.used_by,
            )
        };
        if order(&self) >= order(&other) { self } else { other }
    }
}
