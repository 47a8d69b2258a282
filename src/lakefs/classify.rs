//! Method and target to operation, targets and `force`: the one entry point, and the types it answers with.

use http::request::Parts;

use super::operation::Operation;
use super::rest;

/// Which of lakeFS's three faces a request speaks to; it decides the form of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `/api/v1`: JSON errors.
    Rest,
    /// The S3 gateway: XML errors.
    S3,
    /// The web UI, health, and whatever else the server answers: JSON errors.
    Web,
}

/// What a target is to the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// What the operation is about: what a mutation changes, what a read reads.
    Subject,
    /// What a mutation reads from: a merge's source, a copy's source, a hard reset's ref.
    Source,
}

/// One thing that an operation touches. Names are as lakeFS binds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is to the operation.
    pub role: Role,
    /// The repository.
    pub repository: String,
    /// Branch, tag or commit, if the operation names one.
    pub reference: Option<String>,
    /// Object path or prefix, if it names one.
    pub path: Option<String>,
}

/// Whether a request is forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// It is not, whatever lakeFS makes of it.
    No,
    /// It is, or one of lakeFS's readings could make it so.
    Yes,
    /// The body decides: [`super::force::judge`] it.
    InBody,
}

/// What a request is, as far as its head tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// Which face of lakeFS it speaks to.
    pub protocol: Protocol,
    /// The operation; [`Operation::UnknownApi`] and [`Operation::S3Unknown`] where the table has none.
    pub operation: Operation,
    /// What it touches.
    pub targets: Vec<Target>,
    /// The multipart upload it belongs to.
    pub upload_id: Option<String>,
    /// The part it writes, for part operations.
    pub part_number: Option<u32>,
    /// The number of parts asked for, for a create.
    pub parts: Option<u32>,
    /// Whether it is forced.
    pub force: Force,
}

impl Classified {
    /// The repository and branch that the operation changes, if it names one.
    pub fn branch(&self) -> Option<(&str, &str)> {
        let subject = self.targets.iter().find(|target| target.role == Role::Subject)?;
        Some((&subject.repository, subject.reference.as_deref()?))
    }
}

/// A request that must not be forwarded: what lakeFS would bind is not what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Malformed {
    /// What is wrong, for the client.
    pub what: String,
}

/// Says what a request is. `s3_domains` are lakeFS's `gateways.s3.domain_name`.
///
/// # Errors
/// [`Malformed`] where a repository or branch of a mutation is not spelt as lakeFS's own patterns want it (validate.go:9-12): nothing
/// legitimate needs an encoding there, and a needless one has two readings.
pub fn classify(head: &Parts, s3_domains: &[String]) -> Result<Classified, Malformed> {
    rest::classify(head, s3_domains)
}
