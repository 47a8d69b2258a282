//! The kinds of work in the order in which people wait for them.

use crate::lakefs::{Class, Operation};

/// A kind of work: what has the more weight goes the sooner when lakeFS is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Reads that somebody looks at, log-ins, settings.
    Interactive,
    /// What moves a branch.
    Commit,
    /// Writes to staging.
    Upload,
    /// Listings, logs and diffs: what jobs ask for by the thousand.
    Scan,
    /// Garbage collection, dumps, compaction: nobody waits for them.
    Collection,
}

impl Priority {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Interactive,
        Self::Commit,
        Self::Upload,
        Self::Scan,
        Self::Collection,
    ];

    /// Which kind an operation is.
    pub fn of(operation: Operation) -> Self {
        use Operation as Op;
        match operation {
            Op::ListObjects
            | Op::S3ListObjects
            | Op::LogCommits
            | Op::DiffBranch
            | Op::DiffRefs
            | Op::GetMetaRange
            | Op::GetRange
            | Op::GetObjectsArchive
            | Op::RunMdsQuery => Self::Scan,
            Op::PrepareGarbageCollectionCommits
            | Op::PrepareGarbageCollectionCommitsAsync
            | Op::PrepareGarbageCollectionUncommitted
            | Op::CompactBranch
            | Op::DumpRefs
            | Op::DumpSubmit => Self::Collection,
            _ => match operation.spec().class {
                Class::Read | Class::Admin | Class::Auth => Self::Interactive,
                Class::Merge | Class::Branch => Self::Commit,
                Class::Write => Self::Upload,
            },
        }
    }

    /// Its part of each round while all wait.
    pub const fn weight(self) -> u32 {
        match self {
            Self::Interactive => 16,
            Self::Commit => 8,
            Self::Upload => 4,
            Self::Scan => 2,
            Self::Collection => 1,
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Commit => "commit",
            Self::Upload => "upload",
            Self::Scan => "scan",
            Self::Collection => "collection",
        }
    }
}

/// Whether an operation goes on with an upload that is under way: to refuse it because lakeFS is full would throw away what is there.
pub(super) fn goes_on_with_upload(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::UploadPart
            | Operation::UploadPartCopy
            | Operation::CompletePresignMultipartUpload
            | Operation::PresignMultipartPrepareRequest
            | Operation::PresignMultipartCopyPartRequest
            | Operation::PresignMultipartCompleteRequest
            | Operation::S3UploadPart
            | Operation::S3UploadPartCopy
            | Operation::S3CompleteMultipartUpload
    )
}
