//! What a request carries to say who it is, read as lakeFS reads it (pkg/api/auth_middleware.go). Pure: nothing is proved here.
//!
//! lakeFS looks at the first `Authorization` header alone: two fields of which the first is `Bearer`, else basic. What is neither falls
//! through to the session cookies, in the order internal, oidc, saml; what applies and fails is a 401 without a second chance. On the S3
//! gateway a bearer, a basic credential or a cookie comes before the AWS signature, which is then not looked at.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use crate::lakefs::cookie::{self, INTERNAL, OIDC, SAML};

/// The header by which lakeFS takes a request for one of the S3 gateway's, whatever its value (pkg/gateway/sig/sig.go).
pub(super) const S3_MARK: HeaderName = HeaderName::from_static("x-amz-signature");
/// The access key that the web UI signs its own S3 requests with, relying on its cookie.
const UI_DUMMY: &str = "use_swagger_credentials";
/// encoding/base64's StdEncoding: padded, and indifferent to the bits of the last character that say nothing.
const GO_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The credentials of one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Presented<'a> {
    /// What its `Authorization` header says.
    pub(super) authorization: Authorization,
    /// The access key id of an AWS signature, on S3 requests.
    pub(super) signed_by: Option<String>,
    /// `internal_auth_session`.
    pub(super) internal: Option<&'a str>,
    /// `oidc_auth_session`.
    pub(super) oidc: Option<&'a str>,
    /// `saml_auth_session`.
    pub(super) saml: Option<&'a str>,
}

/// An `Authorization` header, as lakeFS understands it.
#[derive(PartialEq, Eq)]
pub(super) enum Authorization {
    /// None, or one that lakeFS passes over.
    None,
    /// A JWT.
    Bearer(String),
    /// A key pair, of which only the key's id is kept.
    Basic(String),
}

/// Shows which it is, never what it holds.
impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer",
            Self::Basic(_) => "Basic",
        })
    }
}

impl<'a> Presented<'a> {
    /// Reads what a request carries. A signature counts on S3 requests only: elsewhere lakeFS does not look for one.
    pub(super) fn read(headers: &'a HeaderMap, query: Option<&str>, s3: bool) -> Self {
        let [internal, oidc, saml] = [INTERNAL, OIDC, SAML].map(|name| cookie::find(headers, name));
        let authorization = headers.get(header::AUTHORIZATION);
        let has_session = internal.or(oidc).or(saml).is_some();
        Self {
            authorization: authorization.map_or(Authorization::None, parse),
            signed_by: s3
                .then(|| signer(authorization, query))
                .flatten()
                // The dummy is no signature where there is a cookie that says who it is.
                .filter(|key| !(key == UI_DUMMY && has_session)),
            internal,
            oidc,
            saml,
        }
    }
}

fn parse(header: &HeaderValue) -> Authorization {
    let text = String::from_utf8_lossy(header.as_bytes());
    let mut fields = text.split_whitespace();
    if let (Some(scheme), Some(token), None) = (fields.next(), fields.next(), fields.next())
        && scheme.eq_ignore_ascii_case("Bearer")
    {
        return Authorization::Bearer(token.to_owned());
    }
    basic(header.as_bytes()).map_or(Authorization::None, Authorization::Basic)
}

/// net/http's parseBasicAuth: the scheme and exactly one space, then padded base64 of `key:secret`.
fn basic(header: &[u8]) -> Option<String> {
    let (scheme, encoded) = header.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let pair = Zeroizing::new(GO_BASE64.decode(encoded).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(shown(pair.get(..colon)?))
}

/// Whose key signed a request, by lakeFS's own signs of a signed request (IsAWSSignedRequest); its parsers search the header, so a
/// signature counts wherever it stands in it. Only a claim.
fn signer(authorization: Option<&HeaderValue>, query: Option<&str>) -> Option<String> {
    let header = authorization.map_or_else(Default::default, |value| String::from_utf8_lossy(value.as_bytes()));
    if let Some((_, rest)) = header.split_once("AWS4") {
        let key = rest.split_once("Credential=").map_or("", |(_, scope)| scope);
        return Some(shown(key.split(['/', ',']).next().unwrap_or_default().as_bytes()));
    }
    if let Some((_, rest)) = header.split_once("AWS ") {
        return Some(shown(rest.split(':').next().unwrap_or_default().as_bytes()));
    }
    let by_query = parameter(query, "X-Amz-Credential").or_else(|| parameter(query, "AWSAccessKeyId"))?;
    Some(shown(by_query.split('/').next().unwrap_or_default().as_bytes()))
}

/// The first value of a query parameter if it is not empty, as Go's url.ParseQuery has it: a pair with `;` or a bad escape is dropped.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').filter(|pair| !pair.contains(';'));
    let mut values = pairs.filter_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(found)? == name).then(|| unescape(value)).flatten()
    });
    values.next().filter(|value| !value.is_empty())
}

fn unescape(text: &str) -> Option<String> {
    let mut rest = text.split('%');
    rest.next();
    let whole = rest.all(|after| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2);
    let decoded = || {
        percent_decode(text.replace('+', " ").as_bytes())
            .decode_utf8_lossy()
            .into_owned()
    };
    whole.then(decoded)
}

/// A claimed name, fit for a log line: lakeFS's own ids have 20 characters.
fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.chars()
        .take(64)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn authorization(value: &str) -> Authorization {
        parse(&HeaderValue::from_bytes(value.as_bytes()).unwrap())
    }

    fn encoded(pair: &str) -> String {
        GO_BASE64.encode(pair)
    }

    #[test]
    fn authorization_is_read_as_lakefs_reads_it() {
        let bearer = || Authorization::Bearer("a.b.c".into());
        let basic = || Authorization::Basic("AKID".into());
        let pair = encoded("AKID:s:e");
        let cases = [
            ("Bearer a.b.c".to_owned(), bearer()),
            ("bEARER   a.b.c".to_owned(), bearer()),
            ("Bearer\ta.b.c ".to_owned(), bearer()),
            ("Bearer\u{a0}a.b.c".to_owned(), bearer()),
            ("Bearer".to_owned(), Authorization::None),
            ("Bearer a b".to_owned(), Authorization::None),
            ("Bearer a.b.c, Basic eA==".to_owned(), Authorization::None),
            ("Token a.b.c".to_owned(), Authorization::None),
            (format!("Basic {pair}"), basic()),
            (format!("bASIC {pair}"), basic()),
            (format!("Basic  {pair}"), Authorization::None),
            (format!("Basic\t{pair}"), Authorization::None),
            (format!("Basic {}", pair.trim_end_matches('=')), Authorization::None),
            ("Basic QUtJRDpzOmV=".to_owned(), basic()),
            (format!("Basic {}", encoded("no-colon")), Authorization::None),
            (
                format!("Basic {}", encoded(":secret")),
                Authorization::Basic(String::new()),
            ),
            ("Basic ?".to_owned(), Authorization::None),
            ("".to_owned(), Authorization::None),
        ];
        for (header, expected) in cases {
            assert!(
                authorization(&header) == expected,
                "{header:?}: {:?}",
                authorization(&header)
            );
        }
    }

    fn presented(lines: &[(&'static str, &str)], query: Option<&str>, s3: bool) -> (Authorization, Option<String>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let presented = Presented::read(&headers, query, s3);
        (presented.authorization, presented.signed_by)
    }

    const SIGNED: &str =
        "AWS4-HMAC-SHA256 Credential=AKIAI/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";

    #[test]
    fn a_signature_claims_its_access_key() {
        let signer = |header: &str, query| presented(&[("authorization", header)], query, true).1;
        assert_eq!(signer(SIGNED, None).as_deref(), Some("AKIAI"));
        assert_eq!(signer("AWS AKIAI:c2ln", None).as_deref(), Some("AKIAI"));
        assert_eq!(signer("AWS4-HMAC-SHA256 junk", None).as_deref(), Some(""));
        let query = "x=1&X-Amz-Credential=AKIAI%2F20260101%2Fr%2Fs3%2Faws4_request&X-Amz-Signature=00";
        assert_eq!(presented(&[], Some(query), true).1.as_deref(), Some("AKIAI"));
        assert_eq!(
            presented(&[], Some("AWSAccessKeyId=AKIAI"), true).1.as_deref(),
            Some("AKIAI")
        );
        for nothing in [
            "X-Amz-Credential=a;b",
            "X-Amz-Credential=%zz",
            "X-Amz-Credential=",
            "x-amz-credential=a",
            "X-Amz-Signature=x",
        ] {
            assert_eq!(presented(&[], Some(nothing), true).1, None, "{nothing}");
        }
        assert_eq!(
            presented(&[("authorization", SIGNED)], None, false).1,
            None,
            "not on the API"
        );
        assert_eq!(
            presented(&[("x-amz-signature", "x")], None, true).1,
            None,
            "a mark is no signature"
        );
    }

    #[test]
    fn the_uis_dummy_key_signs_nothing_where_a_cookie_speaks() {
        let dummy = "AWS4-HMAC-SHA256 Credential=use_swagger_credentials/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
        let with_cookie = [("authorization", dummy), ("cookie", "internal_auth_session=x")];
        assert_eq!(presented(&with_cookie, None, true).1, None);
        assert_eq!(
            presented(&with_cookie[..1], None, true).1.as_deref(),
            Some("use_swagger_credentials")
        );
    }

    #[test]
    fn only_the_first_authorization_counts() {
        let two = [("authorization", "Bearer first"), ("authorization", "Bearer second")];
        assert!(presented(&two, None, false).0 == Authorization::Bearer("first".into()));
        let empty_first = [("authorization", ""), ("authorization", "Bearer second")];
        assert!(presented(&empty_first, None, false).0 == Authorization::None);
    }

    #[test]
    fn a_claimed_name_cannot_write_into_a_log() {
        let pair = encoded("a\nb\u{1b}[31m\u{e9}:x");
        assert!(authorization(&format!("Basic {pair}")) == Authorization::Basic("a?b?[31m?".into()));
        let long = encoded(&format!("{}:x", "k".repeat(300)));
        assert!(authorization(&format!("Basic {long}")) == Authorization::Basic("k".repeat(64)));
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_crashes_it_and_no_name_breaks_a_line(
            value in prop_oneof![any::<Vec<u8>>(), "(AWS4|AWS |Basic |Bearer )?[ -~]{0,40}".prop_map(String::into_bytes)],
            query in "(X-Amz-Credential|AWSAccessKeyId)?=?[ -~]{0,20}",
        ) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(header::COOKIE, value.clone());
                headers.append(header::AUTHORIZATION, value);
            }
            let presented = Presented::read(&headers, Some(&query), true);
            let names = match presented.authorization {
                Authorization::Basic(key) => [Some(key), presented.signed_by],
                Authorization::Bearer(_) | Authorization::None => [None, presented.signed_by],
            };
            for name in names.into_iter().flatten() {
                prop_assert!(name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
            }
        }
    }
}
