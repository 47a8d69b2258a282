//! Method and target to operation, targets and `force`: the one entry point, and the types it answers with.

use http::header::HOST;
use http::request::Parts;

use super::operation::Operation;
use super::url::Query;
use super::{danger, delete, force, named, rest, s3, web};

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
    /// The body decides: [`Classified::read_body`].
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
    /// The content a commit takes instead of the branch's staging area (query `source_metarange`).
    pub source_metarange: Option<String>,
    /// Whether a merge's source may win its conflicts (body `strategy`).
    pub source_wins: bool,
    /// Whether it is forced.
    pub force: Force,
    /// Whether its query asks for URLs that reach the object store past lakeFS (`presign`).
    pub presign: bool,
}

impl Classified {
    /// Completes what the head left to the body: whether it forces, which side of a merge wins, the objects of a bulk delete or an import,
    /// the name of a new branch or tag. A body that cannot be read changes none of the targets: it could name anything in the place that
    /// the head names.
    pub fn read_body(&mut self, body: &[u8]) {
        if self.force == Force::InBody {
            self.force = force::judge(body);
        }
        if matches!(
            self.operation,
            Operation::MergeIntoBranch | Operation::MergeIntoBranchAsync
        ) {
            self.source_wins = named::source_may_win(body);
        }
        let Some(place) = self.targets.first() else { return };
        let named = match self.operation {
            Operation::S3DeleteObjects => delete::by_xml(&place.repository, body),
            Operation::DeleteObjects => delete::by_json(place, body),
            Operation::ImportStart => named::imported(place, body),
            Operation::CreateBranch => named::created(place, "name", body),
            Operation::CreateTag => named::created(place, "id", body),
            _ => None,
        };
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            self.targets = named;
        }
    }

    /// The repository and branch that the operation changes, if it changes a branch that its head names.
    pub fn branch(&self) -> Option<(&str, &str)> {
        if !self.operation.spec().mutates || danger::names_a_tag(self.operation) {
            return None;
        }
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
    /// What it is in one of its readings.
    pub classified: Box<Classified>,
}

/// What is wrong with an encoded name.
pub(super) fn encoded(what: &str, text: &str) -> String {
    format!("the {what} must be written as it is, without encoding: {text:?} has two readings")
}

/// Says what a request is. `s3_domains` are lakeFS's `gateways.s3.domain_name`.
///
/// # Errors
/// [`Malformed`] where a repository or branch of a mutation is not spelt as lakeFS's own patterns want it (validate.go:9-12): nothing
/// legitimate needs an encoding there, and a needless one has two readings. Nor may a query be so long that Go drops it: what it says
/// would count here and not there.
pub fn classify(head: &Parts, s3_domains: &[String]) -> Result<Classified, Malformed> {
    let (method, path) = (head.method.as_str(), head.uri.path());
    let query = Query::new(head.uri.query());
    let host = host(head);
    let in_api = path.strip_prefix(rest::BASE);
    let classified = if s3::is_addressed(host, query, &head.headers, s3_domains) {
        s3::classify(method, host, path, query, &head.headers, s3_domains)?
    } else if in_api.is_some_and(|below| below.is_empty() || below.starts_with('/')) {
        rest::classify(method, path, query)?
    } else {
        web::classify(path)
    };
    if query.is_too_long() {
        return Err(Malformed {
            what: "the query has more parameters than lakeFS reads".to_owned(),
            classified: Box::new(classified),
        });
    }
    Ok(classified)
}

/// The host as Go's `Request.Host` has it: that of an absolute target beats the header.
fn host(head: &Parts) -> &str {
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let named = authority.map(|authority| authority.rsplit_once('@').map_or(authority, |(_, host)| host));
    named
        .or_else(|| head.headers.get(HOST)?.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// lakeFS's router does not see the signature behind so many parameters, and serves its API: nothing that it deletes may pass for one
    /// of the S3 gateway's objects.
    #[test]
    fn a_query_that_go_would_drop_is_refused() {
        for (separators, protocol) in [(9_998, Some(Protocol::S3)), (9_999, None)] {
            let padding = "&".repeat(separators);
            let target = format!("/api/v1/repositories/r/branches/b?{padding}&X-Amz-Credential=x");
            let (head, ()) = http::Request::delete(target).body(()).unwrap().into_parts();
            let classified = classify(&head, &[]).map(|classified| classified.protocol);
            assert_eq!(classified.ok(), protocol, "{separators}");
        }
    }
}
