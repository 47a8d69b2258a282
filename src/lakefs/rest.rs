//! Method and target to a REST operation and its targets, as lakeFS's router and binder would read them. Pure.

use std::borrow::Cow;

use super::classify::{self, Classified, Force, Malformed, Protocol, Role, Target};
use super::operation::{ForceIn, Operation};
use super::route::{self, MAX_SEGMENTS, Parameter};
use super::url::{self, Query};

/// Where lakeFS serves its API; its router wants it literally.
pub(super) const BASE: &str = "/api/v1";

/// Says what a request on `/api/v1` is. `path` is the whole path as it came.
///
/// # Errors
/// [`Malformed`] where a mutation spells its repository or branch in a way that has two readings.
pub(super) fn classify(method: &str, path: &str, query: Query<'_>) -> Result<Classified, Malformed> {
    let mut buffer = [""; MAX_SEGMENTS];
    let segments = split(path.strip_prefix(BASE).unwrap_or_default(), &mut buffer);
    let canonical = url::is_canonical(path);
    let Some(route) = segments.and_then(|segments| route::find(method, segments)) else {
        return unknown(method, canonical, &buffer);
    };
    let mut seen = Seen {
        mutates: route.operation.spec().mutates,
        canonical,
        ..Seen::default()
    };
    for (at, parameter) in &route.parameters {
        seen.take(*parameter, buffer.get(*at).copied().unwrap_or_default());
    }
    seen.into_classified(route.operation, query)
}

/// An operation that the table lacks: its repository and branch are those of the paths that lakeFS uses.
fn unknown(method: &str, canonical: bool, segments: &[&str]) -> Result<Classified, Malformed> {
    let mut seen = Seen {
        mutates: !matches!(method, "GET" | "HEAD" | "OPTIONS"),
        canonical,
        ..Seen::default()
    };
    if let ["repositories", repository, rest @ ..] = segments
        && !repository.is_empty()
    {
        seen.take(Parameter::Repository, repository);
        if let ["branches", branch, ..] = rest
            && !branch.is_empty()
        {
            seen.take(Parameter::Branch, branch);
        }
    }
    seen.into_classified(Operation::UnknownApi, Query::default())
}

/// The segments after the first slash; nothing if there are more than any template has. The buffer then holds the first ones.
fn split<'a, 'b>(below: &'a str, buffer: &'b mut [&'a str; MAX_SEGMENTS]) -> Option<&'b [&'a str]> {
    let mut count = 0;
    for segment in below.split('/').skip(1) {
        *buffer.get_mut(count)? = segment;
        count += 1;
    }
    buffer.get(..count)
}

/// What the parameters of a path bind.
#[derive(Debug, Default)]
struct Seen<'a> {
    mutates: bool,
    canonical: bool,
    /// What is wrong with a name.
    malformed: Option<String>,
    repository: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    upload_id: Option<String>,
    part_number: Option<u32>,
}

impl<'a> Seen<'a> {
    fn take(&mut self, parameter: Parameter, segment: &'a str) {
        match parameter {
            Parameter::Repository => self.repository = Some(self.name(segment, "repository")),
            Parameter::Branch => self.subject = Some(self.name(segment, "branch")),
            Parameter::Reference => self.subject = Some(self.bound(segment)),
            Parameter::Source => self.source = Some(self.bound(segment)),
            Parameter::UploadId => self.upload_id = Some(self.bound(segment).into_owned()),
            Parameter::PartNumber => self.part_number = self.bound(segment).parse().ok(),
        }
    }

    /// A repository or branch. Where one is changed an encoding is refused: no name that lakeFS's patterns allow needs it
    /// (`^[a-z0-9][a-z0-9-]{2,62}$` and `^\w[-\w]*$`), and it has two readings. Other invalid names are lakeFS's own to refuse.
    fn name(&mut self, segment: &'a str, what: &str) -> Cow<'a, str> {
        if self.mutates && segment.contains(['%', '+']) {
            self.malformed.get_or_insert_with(|| classify::encoded(what, segment));
        }
        self.bound(segment)
    }

    /// What lakeFS binds; the raw text where it answers 400 for it.
    fn bound(&self, segment: &'a str) -> Cow<'a, str> {
        url::bind(segment, self.canonical).unwrap_or(Cow::Borrowed(segment))
    }

    fn into_classified(self, operation: Operation, query: Query<'_>) -> Result<Classified, Malformed> {
        let repository = self.repository.map(Cow::into_owned);
        let target = |role, reference: Option<Cow<'_, str>>, path: Option<Cow<'_, str>>| {
            Some(Target {
                role,
                repository: repository.clone()?,
                reference: reference.map(Cow::into_owned),
                path: path.map(Cow::into_owned),
            })
        };
        let path = path_parameter(operation).and_then(|name| query.first(name));
        let source = match operation {
            Operation::HardResetBranch => query.first("ref"),
            _ => self.source,
        };
        let mut targets = Vec::new();
        targets.extend(target(Role::Subject, self.subject, path));
        if source.is_some() {
            targets.extend(target(Role::Source, source, None));
        }
        let classified = Classified {
            protocol: Protocol::Rest,
            operation,
            targets,
            upload_id: self.upload_id,
            part_number: self.part_number,
            parts: (operation == Operation::CreatePresignMultipartUpload)
                .then(|| query.first("parts")?.parse().ok())
                .flatten(),
            source_metarange: matches!(operation, Operation::Commit | Operation::CommitAsync)
                .then(|| query.first("source_metarange").map(Cow::into_owned))
                .flatten(),
            // Until its body says otherwise.
            source_wins: matches!(operation, Operation::MergeIntoBranch | Operation::MergeIntoBranchAsync),
            force: force(operation, query),
            presign: presigns(operation, query),
        };
        match self.malformed {
            None => Ok(classified),
            Some(what) => Err(Malformed {
                what,
                classified: Box::new(classified),
            }),
        }
    }
}

/// Whether the query forces. lakeFS binds exactly one `force`, by Go's `ParseBool`; any other spelling than its false ones counts as
/// forced, and so does one of several.
fn force(operation: Operation, query: Query<'_>) -> Force {
    match operation.spec().force {
        ForceIn::Nothing => Force::No,
        ForceIn::Body => Force::InBody,
        ForceIn::Query => match is_set(query, "force") {
            true => Force::Yes,
            false => Force::No,
        },
    }
}

/// Whether the query asks for presigned URLs, of an operation that gives them.
fn presigns(operation: Operation, query: Query<'_>) -> bool {
    use Operation as O;
    let gives = matches!(
        operation,
        O::GetObject | O::StatObject | O::ListObjects | O::GetMetadataObject | O::GetPhysicalAddress | O::CopyObject
    );
    gives && is_set(query, "presign")
}

/// Whether a parameter that Go's `ParseBool` reads could be true.
fn is_set(query: Query<'_>, name: &str) -> bool {
    let set = |value: Cow<'_, str>| !matches!(&*value, "0" | "f" | "F" | "FALSE" | "false" | "False");
    query.all(name).any(set)
}

/// The query parameter that names an object or a prefix of objects. Elsewhere lakeFS ignores a `path`, and so must who reads targets.
pub(super) fn path_parameter(operation: Operation) -> Option<&'static str> {
    use Operation as O;
    match operation {
        O::GetObject
        | O::HeadObject
        | O::StatObject
        | O::GetUnderlyingProperties
        | O::GetObjectsArchive
        | O::GetPhysicalAddress
        | O::LinkPhysicalAddress
        | O::UploadObjectPreflight
        | O::StageObject
        | O::UploadObject
        | O::DeleteObject
        | O::UpdateObjectUserMetadata
        | O::CreatePresignMultipartUpload
        | O::CompletePresignMultipartUpload
        | O::AbortPresignMultipartUpload
        | O::UploadPart
        | O::UploadPartCopy
        | O::PresignMultipartCreateRequest
        | O::PresignMultipartPrepareRequest
        | O::PresignMultipartCopyPartRequest
        | O::PresignMultipartCompleteRequest
        | O::PresignMultipartAbortRequest => Some("path"),
        O::CopyObject => Some("dest_path"),
        O::ListObjects | O::DiffBranch | O::DiffRefs => Some("prefix"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(method: &str, target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Ok(classified) = classify(method, &format!("{BASE}/repositories/{path}"), Query::new(Some(query))) else {
            return "malformed".to_owned();
        };
        let target = |target: &Target| {
            let part = |part: &Option<String>| part.clone().unwrap_or("-".into());
            let role = if target.role == Role::Subject { ' ' } else { '<' };
            format!(
                "{role}{}|{}|{}",
                target.repository,
                part(&target.reference),
                part(&target.path)
            )
        };
        let targets: String = classified.targets.iter().map(target).collect();
        let force = if classified.force == Force::Yes { " forced" } else { "" };
        format!("{}{targets}{force}", classified.operation)
    }

    #[test]
    fn a_target_says_what_it_touches() {
        assert_eq!(
            said("PUT", "r/branches/b/hard_reset?ref=main~1%20x%2By&force=True"),
            "hardResetBranch r|b|-<r|main~1 x+y|- forced"
        );
        assert_eq!(
            said("POST", "r/refs/main%5E1/merge/dev"),
            "mergeIntoBranch r|dev|-<r|main^1|-"
        );
        assert_eq!(
            said("POST", "r/branches/b/objects?path=dir%20a/%C3%BC+%2B"),
            "uploadObject r|b|dir a/ü +"
        );
        assert_eq!(
            said("POST", "r/branches/b/objects/copy?dest_path=x"),
            "copyObject r|b|x"
        );
        assert_eq!(
            said("GET", "r/refs/feature%2Fa%20b/objects?path=x"),
            "getObject r|feature/a b|x"
        );
        assert_eq!(said("GET", "r/refs/a/diff/b?prefix=p"), "diffRefs r|a|p<r|b|-");
        assert_eq!(said("DELETE", "r/tags/v1%2E0?force=1"), "deleteTag r|v1.0|- forced");
        assert_eq!(said("DELETE", "r?force=false"), "deleteRepository r|-|-");
        assert_eq!(
            said("PUT", "r/branches/b/hard_reset?ref=x&path=y"),
            "hardResetBranch r|b|-<r|x|-"
        );
    }

    #[test]
    fn an_upload_is_known_by_its_id() {
        let path = "/api/v1/repositories/r/branches/b/staging/pmpu";
        let create = classify("POST", path, Query::new(Some("path=a&parts=3"))).unwrap();
        assert_eq!(create.parts, Some(3));
        let part = classify("PUT", &format!("{path}/up%2F1%2B2/parts/7"), Query::new(Some("path=a"))).unwrap();
        assert_eq!((part.upload_id.as_deref(), part.part_number), (Some("up/1+2"), Some(7)));
        assert_eq!(part.branch(), Some(("r", "b")));
    }

    /// Every spelling that a running lakeFS bound as a branch or a repository of a mutation, and then some.
    #[test]
    fn an_encoded_name_of_what_is_changed_is_malformed() {
        for name in [
            "%6Dain",
            "%6dain",
            "m%61in",
            "%256Dain",
            "%256D%2561%2569%256E",
            "ma%2Fin",
            "main+",
            "main%20",
            "feature%2Fa%20b",
            "ma%zz",
            "main%",
        ] {
            assert_eq!(
                said("PUT", &format!("repo/branches/{name}/hard_reset?ref=x")),
                "malformed",
                "{name}"
            );
            assert_eq!(
                said("PUT", &format!("{name}/branches/main/hard_reset?ref=x")),
                "malformed",
                "{name}"
            );
            assert_eq!(
                said("POST", &format!("repo/refs/x/merge/{name}")),
                "malformed",
                "{name}"
            );
            assert_eq!(
                said("POST", &format!("repo/branches/{name}/no_such_thing")),
                "malformed",
                "{name}"
            );
            assert!(
                said("GET", &format!("repo/branches/{name}")).starts_with("getBranch"),
                "{name}"
            );
        }
        assert_eq!(
            said("PUT", "repo/branches/no.pe/hard_reset?ref=x"),
            "hardResetBranch repo|no.pe|-<repo|x|-"
        );
        assert_eq!(
            said("PUT", "REPO/branches/MAIN/hard_reset?ref=x"),
            "hardResetBranch REPO|MAIN|-<REPO|x|-"
        );
    }

    /// What a running lakeFS answered 404 to: it is unknown here, with the branch that the path names.
    #[test]
    fn constants_bind_only_literally() {
        for path in [
            "hard%5Freset",
            "HARD_RESET",
            "hard_reset/",
            "hard_reset;x",
            "./hard_reset",
            "/hard_reset",
        ] {
            assert_eq!(
                said("PUT", &format!("repo/branches/main/{path}?ref=x")),
                "rest:unknown repo|main|-",
                "{path}"
            );
        }
        for method in ["POST", "GET", "PATCH", "OPTIONS", "HEAD", "put", "Put", "PROPFIND"] {
            assert_eq!(
                said(method, "repo/branches/main/hard_reset?ref=x"),
                "rest:unknown repo|main|-",
                "{method}"
            );
        }
        assert_eq!(
            said("PUT", "repo/br%61nches/main/hard_reset?ref=x"),
            "rest:unknown repo|-|-"
        );
        assert_eq!(said("PUT", "repo%2Fbranches/main/hard_reset?ref=x"), "malformed");
        assert_eq!(said("PUT", "/branches/main/hard_reset?ref=x"), "rest:unknown");
        assert_eq!(said("GET", "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p"), "rest:unknown a|-|-");
    }

    /// Live, section 3: what bound true, what bound false or was ignored; whatever lakeFS answers 400 to may be either.
    #[test]
    fn force_is_read_as_lakefs_binds_it_and_fail_safe_beyond() {
        let forced = |query: &str| said("PUT", &format!("r/branches/b/hard_reset?ref=x&{query}")).ends_with("forced");
        for value in ["true", "1", "t", "T", "TRUE", "True", "%74rue"] {
            assert!(forced(&format!("force={value}")), "{value}");
        }
        for query in [
            "f%6Frce=true",
            "%66%6f%72%63%65=1",
            "&&force=true",
            "x&force=true",
            "force=false&force=true",
            "force=true&force=false",
            "force",
            "force=yes",
            "#&force=true",
        ] {
            assert!(forced(query), "{query}");
        }
        for query in [
            "",
            "force=false",
            "force=0",
            "force=F",
            "FORCE=true",
            "Force=true",
            "force[]=true",
            "force%20=true",
            "+force=true",
            "force=true;x",
            "x;force=true",
            "force=%zz",
            "force=true%",
        ] {
            assert!(!forced(query), "{query}");
        }
    }
}
