//! The record of one multipart upload. How it moves from state to state is the business of `uploads`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Timestamp;

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its create is on the way to lakeFS; the upload id is not known yet.
    Intent,
    /// It was created: parts may be arriving at the object store.
    Open,
    /// Its complete is on the way.
    Completing,
    /// It is an object on its branch.
    Completed,
    /// Its create was refused or failed, or the object store did not complete it.
    Failed,
    /// It was given up on request.
    Aborted,
    /// No sign of life for `uploads.abandoned_after`; its parts still cost money in the object store.
    Abandoned,
    /// An answer was lost: lakeFS knows more than the ledger.
    Unknown,
    /// It is an object in the object store, but lakeFS did not take it as an entry: it can still be linked.
    Orphaned,
}

impl State {
    /// All of them; the place in it is the state's number in the store.
    pub const ALL: [Self; 9] = [
        Self::Intent,
        Self::Open,
        Self::Completing,
        Self::Completed,
        Self::Failed,
        Self::Aborted,
        Self::Abandoned,
        Self::Unknown,
        Self::Orphaned,
    ];

    /// Its name in log, records and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Open => "open",
            Self::Completing => "completing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Abandoned => "abandoned",
            Self::Unknown => "unknown",
            Self::Orphaned => "orphaned",
        }
    }

    /// Whether more is to be expected: such a record is never forgotten for its age.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Intent | Self::Open | Self::Completing)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("`{text}` is no state of an upload: it is one of {known}")
            })
    }
}

/// By which face of lakeFS an upload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// lakeFS's presigned multipart uploads: parts go to the object store.
    #[default]
    Pmpu,
    /// Those of lakeFS Enterprise whose requests to the object store the client makes itself: only their asking is seen.
    Cpmpu,
    /// S3 multipart uploads: parts pass through.
    S3,
}

impl Kind {
    /// Its name in log, records and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pmpu => "pmpu",
            Self::Cpmpu => "cpmpu",
            Self::S3 => "s3",
        }
    }
}

/// The record of one upload. Texts are bounded by whoever makes it; no signature and no presigned URL is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The record's own id, in order of time (UUID version 7).
    pub id: Uuid,
    /// By which face of lakeFS it goes.
    #[serde(default)]
    pub kind: Kind,
    /// Repository.
    pub repository: String,
    /// Branch.
    pub branch: String,
    /// Path of the object.
    pub path: String,
    /// lakeFS's upload id, once it is known.
    pub upload_id: Option<String>,
    /// Where the object store keeps it, without lakeFS's signature.
    pub physical_address: Option<String>,
    /// Who created it, or did the first step that was seen.
    pub principal: Option<String>,
    /// Whom it counts for: the principal if proved, else address and a hash of the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// How that one authenticated.
    pub auth_method: Option<String>,
    /// From where.
    pub client_address: IpAddr,
    /// With what.
    pub user_agent: Option<String>,
    /// Part URLs the create asked for.
    pub parts_asked: Option<u32>,
    /// Part URLs asked for one by one.
    #[serde(default)]
    pub parts_presigned: u32,
    /// Parts copied by lakeFS.
    #[serde(default)]
    pub parts_copied: u32,
    /// Parts that passed through, by S3; a repeated one counts again.
    #[serde(default)]
    pub parts_uploaded: u32,
    /// Their bytes.
    #[serde(default)]
    pub bytes_uploaded: u64,
    /// Parts that the complete listed.
    pub parts_done: Option<u32>,
    /// Size of the object, once complete.
    pub bytes: Option<u64>,
    /// lakeFS's checksum of the object, once complete.
    pub checksum: Option<String>,
    /// Where it stands.
    pub state: State,
    /// When it was created, or first seen.
    pub created: Timestamp,
    /// The last sign of life.
    pub updated: Timestamp,
    /// When it was completed.
    pub completed: Option<Timestamp>,
    /// Status of the last answer.
    pub status: Option<u16>,
    /// The gateway's id of the last request.
    pub request_id: Option<Uuid>,
    /// lakeFS's id of the last request.
    pub upstream_request_id: Option<String>,
    /// What the last failure said.
    pub error: Option<String>,
    /// The physical address with lakeFS's signature, sealed (`Store::seal`) for [`Upload::owner`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_address: Option<String>,
    /// What the gateway itself has done to end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reap: Option<Reap>,
    /// Completes that came again.
    #[serde(default)]
    pub repeats: u32,
    /// How the complete that made an object of it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// What is needed to link the object that lakeFS did not take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan: Option<Orphan>,
}

/// An answer that is given again to whoever asks the same again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Told {
    /// What was asked, and by whom: a hash.
    pub asked: String,
    /// Status.
    pub status: u16,
    /// Media type.
    pub content_type: Option<String>,
    /// The body, which holds lakeFS's signature: sealed for [`Upload::owner`].
    pub sealed_body: String,
}

/// An object in the object store that lakeFS has no entry of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Orphan {
    /// Since when.
    pub since: Timestamp,
    /// The body of its complete, sealed for [`Upload::owner`]; nothing if it was too long to be kept.
    pub sealed_complete: Option<String>,
    /// The object's ETag, as S3 makes it of those of the parts.
    pub etag: Option<String>,
    /// How often linking it was tried.
    pub tries: u32,
}

/// What the gateway has done to end an upload that nobody goes on with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reap {
    /// Aborts that were tried.
    pub attempts: u32,
    /// When the last one was tried, or it was given up.
    pub at: Timestamp,
    /// When it is tried again.
    pub next: Timestamp,
    /// What the last failure said.
    pub error: Option<String>,
    /// How it ended, if it has.
    pub end: Option<ReapEnd>,
}

/// How the gateway's own try to end an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReapEnd {
    /// lakeFS has aborted it.
    Aborted,
    /// lakeFS no longer takes its address: only the object store can remove what is left.
    OutOfReach,
}

impl Upload {
    /// The name of its table.
    pub(super) const TABLE: &'static str = "uploads";

    /// Whom its sealed address is sealed for.
    pub fn owner(repository: &str, branch: &str, path: &str) -> String {
        format!("upload\0{repository}\0{branch}\0{path}")
    }

    /// Bucket and key of its parts in the object store, as its API names them.
    pub fn stored_at(&self) -> Option<(&str, &str)> {
        let (_, place) = self.physical_address.as_deref()?.split_once("://")?;
        place.split_once('/')
    }
}

/// An upload that must be on disk before its create goes to lakeFS; `uploads` puts it into the request's extensions, `record` writes it.
#[derive(Debug, Clone)]
pub struct UploadIntent(pub Upload);

/// At most `bytes` of a text, cut between characters.
pub fn clip(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_back_as_written() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(
                serde_json::to_string(&state).unwrap(),
                format!("\"{}\"", state.as_str())
            );
            assert_eq!(State::ALL[state as usize], state);
        }
        assert!("opn".parse::<State>().unwrap_err().contains("open"));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(clip("aé", 2), "a");
        assert_eq!(clip("aé", 3), "aé");
        assert_eq!(clip("", 3), "");
    }
}
