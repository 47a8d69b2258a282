//! The S3 gateway: which requests lakeFS routes to it, and what they are (cmd/lakefs/cmd/run.go, pkg/gateway). Pure.
//!
//! The body of a DeleteObjects is read in `delete`: until then its target has no reference and no path.

use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderName};

use super::classify::{self, Classified, Force, Malformed, Protocol, Role, Target};
use super::operation::Operation;
use super::url::{self, Query};

const SIGNATURE: HeaderName = HeaderName::from_static("x-amz-signature");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");

/// Whether a body is in AWS's own chunks, by either of the headers that say so. lakeFS decodes them only where it verifies the signature
/// (pkg/gateway/sig/v4.go): with a bearer it takes their framing for the object.
pub fn is_aws_chunked(headers: &HeaderMap) -> bool {
    let streams = |value: &[u8]| value.starts_with(b"STREAMING-");
    let chunked = |value: &[u8]| {
        let mut codings = value.split(|byte| *byte == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"aws-chunked"))
    };
    let any =
        |name: HeaderName, says: fn(&[u8]) -> bool| headers.get_all(name).iter().any(|value| says(value.as_bytes()));
    any(CONTENT_SHA256, streams) || any(CONTENT_ENCODING, chunked)
}

/// Whether lakeFS gives a request to its S3 gateway: by the host's name, or because it looks signed (`sig.IsAWSSignedRequest`).
pub(super) fn is_addressed(host: &str, query: Query<'_>, headers: &HeaderMap, domains: &[String]) -> bool {
    let name = host_only(host);
    let by_host = domains.iter().map(|domain| host_only(domain)).any(|domain| {
        let label = name.strip_suffix(domain);
        name == domain
            || label
                .and_then(|label| label.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty() && !label.contains('.'))
    });
    let first = |name: HeaderName| headers.get(name).map_or(&[][..], |value| value.as_bytes());
    let authorization = first(AUTHORIZATION);
    by_host
        || !first(SIGNATURE).is_empty()
        || authorization.starts_with(b"AWS4")
        || authorization.starts_with(b"AWS ")
        || ["AWSAccessKeyId", "X-Amz-Credential"]
            .iter()
            .any(|name| query.first(name).is_some_and(|value| !value.is_empty()))
}

/// Says what a request to the S3 gateway is.
///
/// # Errors
/// [`Malformed`] where a path that could change something has a broken escape: Go answers 400 to it.
pub(super) fn classify(
    method: &str,
    host: &str,
    path: &str,
    query: Query<'_>,
    headers: &HeaderMap,
    domains: &[String],
) -> Result<Classified, Malformed> {
    let unescaped = url::unescape_path(path);
    let broken = unescaped.is_none() && !matches!(method, "GET" | "HEAD");
    let decoded = unescaped.unwrap_or_else(|| path.into());
    let place = Place::of(host, &decoded, domains);
    let copied = headers.get(COPY_SOURCE).filter(|value| !value.is_empty());
    let operation = place.operation(method, query, copied.is_some());
    let subject = match operation {
        Operation::S3ListObjects => place.listed(query),
        _ => place.target(),
    };
    let source = copied.filter(|_| matches!(operation, Operation::S3CopyObject | Operation::S3UploadPartCopy));
    let source = source.and_then(|value| copy_source(&String::from_utf8_lossy(value.as_bytes())));
    let parameter = |name| place.is_object().then(|| query.first(name)).flatten();
    let classified = Classified {
        protocol: Protocol::S3,
        operation,
        targets: subject.into_iter().chain(source).collect(),
        upload_id: parameter("uploadId").map(Into::into),
        part_number: parameter("partNumber").and_then(|number| number.parse().ok()),
        parts: None,
        source_metarange: None,
        source_wins: false,
        force: Force::No,
        presign: false,
    };
    if broken {
        return Err(Malformed {
            what: classify::encoded("path", path),
            classified: Box::new(classified),
        });
    }
    Ok(classified)
}

/// What host and path name, as `ParseRequestParts` (pkg/gateway/middleware.go) reads them: empty where absent.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    repository: &'a str,
    reference: &'a str,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn of(host: &'a str, path: &'a str, domains: &[String]) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let name = host_only(host);
        let mut domains = domains.iter().map(|domain| host_only(domain));
        let (repository, below) = if domains.clone().any(|domain| name.eq_ignore_ascii_case(domain)) {
            cut(path)
        } else if let Some(label) = domains.find_map(|domain| name.strip_suffix(domain)) {
            (label.strip_suffix('.').unwrap_or(name), path)
        } else {
            cut(path)
        };
        let (reference, path) = cut(below);
        Self {
            repository,
            reference,
            path,
        }
    }

    fn is_object(&self) -> bool {
        !self.repository.is_empty() && !self.reference.is_empty() && !self.path.is_empty()
    }

    fn is_bucket(&self) -> bool {
        !self.repository.is_empty() && self.reference.is_empty() && self.path.is_empty()
    }

    fn operation(&self, method: &str, query: Query<'_>, copies: bool) -> Operation {
        use Operation as O;
        let upload = || query.has("uploadId");
        if self.repository.is_empty() && method == "GET" {
            return O::S3ListBuckets;
        }
        if self.is_object() {
            return match method {
                "GET" if ["versioning", "tagging"].iter().any(|name| query.has(name)) => O::S3GetObject,
                "GET" if upload() => O::S3ListParts,
                "GET" => O::S3GetObject,
                "HEAD" => O::S3HeadObject,
                "PUT" if upload() && copies => O::S3UploadPartCopy,
                "PUT" if upload() => O::S3UploadPart,
                "PUT" if copies => O::S3CopyObject,
                "PUT" => O::S3PutObject,
                "POST" if query.has("uploads") => O::S3CreateMultipartUpload,
                "POST" if upload() => O::S3CompleteMultipartUpload,
                "POST" => O::S3PostObject,
                "DELETE" if upload() => O::S3AbortMultipartUpload,
                "DELETE" => O::S3DeleteObject,
                _ => O::S3Unknown,
            };
        }
        match method {
            // Neither a bucket nor an object: lakeFS answers 404 (s3a probes `/repository/branch/` so).
            "GET" if !self.is_bucket() => O::S3GetObject,
            "HEAD" if !self.is_bucket() => O::S3HeadObject,
            _ if !self.is_bucket() => O::S3Unknown,
            "GET" if query.has("location") => O::S3GetBucketInfo,
            "GET" if query.has("uploads") => O::S3ListMultipartUploads,
            "GET" if query.has("versioning") => O::S3GetBucketInfo,
            "GET" => O::S3ListObjects,
            "HEAD" => O::S3HeadBucket,
            "PUT" => O::S3CreateBucket,
            "POST" if query.has("delete") => O::S3DeleteObjects,
            _ => O::S3Unknown,
        }
    }

    fn target(&self) -> Option<Target> {
        target(Role::Subject, self.repository, self.reference, self.path)
    }

    /// A listing's prefix begins with the reference, if it goes that deep.
    fn listed(&self, query: Query<'_>) -> Option<Target> {
        let prefix = query.first("prefix").unwrap_or_default();
        let (reference, path) = prefix
            .strip_prefix('/')
            .unwrap_or(&prefix)
            .split_once('/')
            .unwrap_or_default();
        target(Role::Subject, self.repository, reference, path)
    }
}

fn target(role: Role, repository: &str, reference: &str, path: &str) -> Option<Target> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(Target {
        role,
        repository: given(repository)?,
        reference: given(reference),
        path: given(path),
    })
}

/// `getPathFromSource` (pkg/gateway/operations/putobject.go): unescaped if it can be, slashes in front dropped, three parts or nothing.
fn copy_source(header: &str) -> Option<Target> {
    let decoded = url::unescape(header);
    let (repository, below) = decoded
        .as_deref()
        .unwrap_or(header)
        .trim_start_matches('/')
        .split_once('/')?;
    let (reference, path) = below.split_once('/')?;
    target(Role::Source, repository, reference, path)
}

fn cut(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

/// `httputil.HostOnly`: a host without its port; nothing where Go's `net.SplitHostPort` finds it malformed.
fn host_only(host: &str) -> &str {
    let Some((name, port)) = host.rsplit_once(':') else {
        return host;
    };
    let bare = match name.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']').filter(|inner| !inner.contains(']')),
        None => Some(name).filter(|name| !name.contains([':', ']'])),
    };
    bare.filter(|bare| !bare.contains('[') && !port.contains(['[', ']']))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const DOMAIN: &str = "s3.local.lakefs.io";

    fn addressed(host: &str, query: &str, header: Option<(HeaderName, &'static str)>) -> bool {
        let headers = header
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        is_addressed(host, Query::new(Some(query)), &headers, &[DOMAIN.to_owned()])
    }

    /// Live, section 9 and 11.
    #[test]
    fn a_request_is_routed_to_s3_as_lakefs_does() {
        for host in [
            DOMAIN,
            "s3.local.lakefs.io:8000",
            "repo.s3.local.lakefs.io",
            "x.s3.local.lakefs.io:9",
        ] {
            assert!(addressed(host, "", None), "{host}");
        }
        for host in [
            "S3.LOCAL.LAKEFS.IO",
            "s3.local.lakefs.io.",
            "a.b.s3.local.lakefs.io",
            ".s3.local.lakefs.io",
            "xs3.local.lakefs.io",
            "",
        ] {
            assert!(!addressed(host, "", None), "{host}");
        }
        for query in ["AWSAccessKeyId=x", "X-Amz-Credential=x", "a=b&X%2DAmz-Credential=a%3Bb"] {
            assert!(addressed("h", query, None), "{query}");
        }
        for query in [
            "X-Amz-Credential=a;b",
            "X-Amz-Credential=",
            "AWSAccessKeyId=",
            "x-amz-credential=a",
            "X-Amz-Signature=x",
            "X-Amz-Algorithm=x",
        ] {
            assert!(!addressed("h", query, None), "{query}");
        }
        assert!(addressed(
            "h",
            "",
            Some((AUTHORIZATION, "AWS4-HMAC-SHA256 Credential=.."))
        ));
        assert!(addressed("h", "", Some((AUTHORIZATION, "AWS x:y"))));
        assert!(addressed("h", "", Some((SIGNATURE, "x"))));
        assert!(!addressed("h", "", Some((SIGNATURE, ""))));
        assert!(!addressed("h", "", Some((AUTHORIZATION, "AWSx"))));
        assert!(!addressed("h", "", Some((AUTHORIZATION, "aws4-HMAC"))));
    }

    fn said(method: &str, host: &str, target: &str, copied: Option<&'static str>) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = copied
            .map(|from| (COPY_SOURCE, HeaderValue::from_static(from)))
            .into_iter()
            .collect();
        let domains = [DOMAIN.to_owned()];
        match classify(method, host, path, Query::new(Some(query)), &headers, &domains) {
            Err(malformed) => malformed.what,
            Ok(classified) => {
                let target = |target: &Target| {
                    let part = |part: &Option<String>| part.clone().unwrap_or("-".into());
                    format!(
                        " {}|{}|{}",
                        target.repository,
                        part(&target.reference),
                        part(&target.path)
                    )
                };
                let targets: String = classified.targets.iter().map(target).collect();
                let upload = classified.upload_id.map(|id| format!(" #{id}")).unwrap_or_default();
                let part = classified
                    .part_number
                    .map(|part| format!(" p{part}"))
                    .unwrap_or_default();
                format!("{}{targets}{upload}{part}", classified.operation)
            }
        }
    }

    #[test]
    fn operations_and_targets_are_those_lakefs_finds() {
        let said = |method, target| said(method, "h:80", target, None);
        assert_eq!(said("GET", "/"), "s3:ListBuckets");
        assert_eq!(said("PUT", "/"), "s3:Unknown");
        assert_eq!(said("GET", "/r?prefix=main%2Fa"), "s3:ListObjects r|main|a");
        assert_eq!(said("GET", "/r/?delimiter=/&prefix="), "s3:ListObjects r|-|-");
        assert_eq!(said("GET", "/r?location"), "s3:GetBucketInfo r|-|-");
        assert_eq!(said("GET", "/r?uploads"), "s3:ListMultipartUploads r|-|-");
        assert_eq!(said("HEAD", "/r"), "s3:HeadBucket r|-|-");
        assert_eq!(said("PUT", "/r"), "s3:CreateBucket r|-|-");
        assert_eq!(said("DELETE", "/r"), "s3:Unknown r|-|-");
        assert_eq!(said("POST", "/r?%64elete"), "s3:DeleteObjects r|-|-");
        assert_eq!(said("POST", "/r"), "s3:Unknown r|-|-");
        assert_eq!(said("HEAD", "/r/main/"), "s3:HeadObject r|main|-");
        assert_eq!(said("PUT", "/r/main"), "s3:Unknown r|main|-");
        assert_eq!(said("PUT", "/r//x"), "s3:Unknown r|-|x");
        assert_eq!(said("GET", "/r/main/a/b"), "s3:GetObject r|main|a/b");
        assert_eq!(said("PUT", "/r/main/a?acl"), "s3:PutObject r|main|a");
        assert_eq!(said("PUT", "/r/main//a+b%2B"), "s3:PutObject r|main|/a+b+");
        assert_eq!(said("DELETE", "/R%2Fmain%2Fa%2F1"), "s3:DeleteObject R|main|a/1");
        assert_eq!(said("DELETE", "/R/%256Dain/a"), "s3:DeleteObject R|%6Dain|a");
        assert_eq!(said("POST", "/r/main/a?uploads"), "s3:CreateMultipartUpload r|main|a");
        assert_eq!(
            said("PUT", "/r/main/a?partNumber=3&uploadId=u%2F1"),
            "s3:UploadPart r|main|a #u/1 p3"
        );
        assert_eq!(
            said("POST", "/r/main/a?uploadId=u"),
            "s3:CompleteMultipartUpload r|main|a #u"
        );
        assert_eq!(
            said("DELETE", "/r/main/a?uploadId=u"),
            "s3:AbortMultipartUpload r|main|a #u"
        );
        assert_eq!(said("GET", "/r/main/a?uploadId=u"), "s3:ListParts r|main|a #u");
        assert_eq!(said("POST", "/r/main/a"), "s3:PostObject r|main|a");
        assert_eq!(said("put", "/r/main/a"), "s3:Unknown r|main|a");
        assert!(said("PUT", "/r/ma%zzin/a").contains("encoding"));
        assert_eq!(said("GET", "/r/ma%zzin/a"), "s3:GetObject r|ma%zzin|a");
    }

    #[test]
    fn the_host_names_the_repository_below_a_domain() {
        assert_eq!(
            said("PUT", "r.s3.local.lakefs.io:80", "/main/a/b", None),
            "s3:PutObject r|main|a/b"
        );
        assert_eq!(said("GET", "r.s3.local.lakefs.io", "/", None), "s3:ListObjects r|-|-");
        assert_eq!(
            said("PUT", "S3.LOCAL.lakefs.io", "/r/main/a", None),
            "s3:PutObject r|main|a"
        );
        assert_eq!(
            said("PUT", "a.b.s3.local.lakefs.io", "/main/a", None),
            "s3:PutObject a.b|main|a"
        );
        assert_eq!(
            said("PUT", "xs3.local.lakefs.io", "/main/a", None),
            "s3:PutObject xs3.local.lakefs.io|main|a"
        );
        assert_eq!(said("PUT", "[::1]:80", "/r/main/a", None), "s3:PutObject r|main|a");
    }

    #[test]
    fn a_copy_has_its_source() {
        let said = |target, from| said("PUT", "h", target, Some(from));
        assert_eq!(
            said("/r/main/a", "/r2/dev/x%20y+z/1"),
            "s3:CopyObject r|main|a r2|dev|x y z/1"
        );
        assert_eq!(said("/r/main/a", "r2/dev/100%"), "s3:CopyObject r|main|a r2|dev|100%");
        assert_eq!(said("/r/main/a", "r2/dev"), "s3:CopyObject r|main|a");
        assert_eq!(
            said("/r/main/a?uploadId=u&partNumber=1", "r2/dev/x"),
            "s3:UploadPartCopy r|main|a r2|dev|x #u p1"
        );
        assert_eq!(said("/r/main/a", ""), "s3:PutObject r|main|a");
    }

    #[test]
    fn aws_chunks_are_told_by_their_headers() {
        let chunked =
            |name: HeaderName, value| is_aws_chunked(&[(name, HeaderValue::from_static(value))].into_iter().collect());
        assert!(chunked(CONTENT_SHA256, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
        assert!(chunked(CONTENT_SHA256, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"));
        assert!(chunked(CONTENT_ENCODING, "gzip, AWS-Chunked"));
        assert!(!chunked(CONTENT_SHA256, "UNSIGNED-PAYLOAD") && !chunked(CONTENT_ENCODING, "gzip"));
    }

    #[test]
    fn a_host_loses_its_port_as_in_go() {
        for (host, name) in [
            ("h", "h"),
            ("h:1", "h"),
            ("h:", "h"),
            ("a:b:1", ""),
            ("[::1]:1", "::1"),
            ("[::1]", ""),
            ("::1", ""),
            ("", ""),
        ] {
            assert_eq!(host_only(host), name, "{host}");
        }
    }
}
