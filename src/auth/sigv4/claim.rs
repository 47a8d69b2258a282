//! What a signed request says of its signature, read strictly: each part once, in one place. Pure; nothing is proved here.
//!
//! lakeFS reads leniently (its pattern is not even anchored), and of a repeated part the first. What could be read in two ways is refused.

use std::ops::Range;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::canonical::{CONTENT_SHA256, Head, SIGNATURE};
use super::payload::Payload;
use super::scope::{Hex, SERVICE, Scope, TERMINATOR};
use super::time::{EXPIRES_MAX, Stamp};
use crate::exchange::SignatureFault;
use crate::lakefs::url::decode;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
/// The parameters of a presigned URL.
const PARAMETERS: [&str; 6] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    SIGNATURE,
];
/// Headers that no honest client sends twice, and of which lakeFS takes the first.
const ONCE: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static(DATE),
    HeaderName::from_static(CONTENT_SHA256),
    HeaderName::from_static("x-amz-decoded-content-length"),
];

/// A signature, as its request says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// The access key's id.
    pub(super) key: String,
    pub(super) scope: Scope,
    pub(super) time: Stamp,
    /// The names of the signed headers, as they are listed.
    pub(super) signed: String,
    pub(super) signature: Hex,
    pub(super) form: Form,
    pub(super) payload: Payload,
    /// What the canonical request says of the payload.
    pub(super) payload_text: String,
}

/// Where a signature stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query of a presigned URL.
    Query {
        /// How long it lives, in seconds.
        expires: u64,
        /// Where in the query the values stand that another signature has its own of.
        places: Places,
    },
}

/// Where values stand in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) credential: Range<usize>,
    pub(super) date: Range<usize>,
    pub(super) signature: Range<usize>,
}

impl Claim {
    /// Reads it.
    ///
    /// # Errors
    /// What S3 would say of it.
    pub(super) fn read(head: &Head<'_>) -> Result<Self, SignatureFault> {
        if ONCE
            .iter()
            .any(|name| head.headers.get_all(name).iter().nth(1).is_some())
        {
            return Err(SignatureFault::Twice);
        }
        let parameters = Parameters::read(head.query)?;
        let claim = match head.headers.get(AUTHORIZATION) {
            Some(_) if parameters.any() => return Err(SignatureFault::Twice),
            Some(header) => Self::by_header(header, head.headers)?,
            None => Self::by_query(&parameters, head)?,
        };
        if claim.time.day() != claim.scope.day {
            let why = "the date of its credential is not the date of the request";
            return Err(claim.form.fault(why));
        }
        claim.covers(head.headers)?;
        if parameters.token || head.headers.get_all(TOKEN).iter().any(|token| !token.is_empty()) {
            return Err(SignatureFault::SessionToken);
        }
        Ok(claim)
    }

    fn by_header(header: &HeaderValue, headers: &HeaderMap) -> Result<Self, SignatureFault> {
        let malformed = SignatureFault::Header;
        let text = header
            .to_str()
            .map_err(|_| malformed("it holds characters that it may not"))?;
        let rest = match text.split_once(' ') {
            Some((ALGORITHM, rest)) => rest,
            _ if text.starts_with("AWS4-ECDSA") => return Err(SignatureFault::Scheme(SIGV4A)),
            _ if text.starts_with("AWS ") => return Err(SignatureFault::Scheme(SIGV2)),
            _ => return Err(malformed("it does not begin with AWS4-HMAC-SHA256")),
        };
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part
                .trim()
                .split_once('=')
                .ok_or(malformed("a part of it has no value"))?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed,
                "Signature" => &mut signature,
                _ => {
                    return Err(malformed(
                        "it has a part that is none of Credential, SignedHeaders, Signature",
                    ));
                }
            };
            if place.replace(value).is_some() {
                return Err(SignatureFault::Twice);
            }
        }
        let (key, scope) = credential.and_then(split).ok_or(malformed(CREDENTIAL))??;
        let given = headers.get(DATE).or_else(|| headers.get(http::header::DATE));
        let time = given.and_then(|date| Stamp::parse(date.to_str().ok()?));
        let payload_text = headers.get(CONTENT_SHA256).ok_or(SignatureFault::NoPayloadHash)?;
        let payload_text = payload_text.to_str().map_err(|_| SignatureFault::BadPayloadHash)?;
        Ok(Self {
            key,
            scope,
            time: time.ok_or(SignatureFault::NoDate)?,
            signed: signed.map(str::to_owned).ok_or(malformed("it has no SignedHeaders"))?,
            signature: signature
                .and_then(digits)
                .ok_or(malformed("it has no Signature of 64 hexadecimal digits"))?,
            form: Form::Header,
            payload: Payload::read(payload_text)?,
            payload_text: payload_text.to_owned(),
        })
    }

    fn by_query(parameters: &Parameters, head: &Head<'_>) -> Result<Self, SignatureFault> {
        let malformed = SignatureFault::Query;
        let [algorithm, credential, date, expires, signed, signature] = &parameters.named;
        let Some((algorithm, _)) = algorithm else {
            let v2 = lenient_has(head.query, "AWSAccessKeyId");
            return Err(if v2 {
                SignatureFault::Scheme(SIGV2)
            } else {
                malformed("it has no X-Amz-Algorithm")
            });
        };
        if algorithm.starts_with("AWS4-ECDSA") {
            return Err(SignatureFault::Scheme(SIGV4A));
        }
        if algorithm != ALGORITHM {
            return Err(malformed("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
        }
        let incomplete = malformed(
            "a presigned URL has X-Amz-Credential, X-Amz-Date, X-Amz-Expires, X-Amz-SignedHeaders and X-Amz-Signature",
        );
        let (Some(credential), Some(date), Some(expires), Some(signed), Some(signature)) =
            (credential, date, expires, signed, signature)
        else {
            return Err(incomplete);
        };
        let (key, scope) = split(&credential.0)
            .ok_or(malformed(CREDENTIAL))?
            .map_err(SignatureFault::into_query)?;
        let seconds = expires
            .0
            .bytes()
            .all(|digit| digit.is_ascii_digit())
            .then(|| expires.0.parse().ok());
        let expires = seconds.flatten().ok_or(malformed("X-Amz-Expires should be a number"))?;
        if !(1..=EXPIRES_MAX).contains(&expires) {
            return Err(malformed(
                "X-Amz-Expires must be at least a second and at most a week, 604800 seconds",
            ));
        }
        let by_header = head.headers.get(CONTENT_SHA256);
        let by_header = by_header.map(|text| text.to_str().map_err(|_| SignatureFault::BadPayloadHash));
        // lakeFS does not look for it in the query, and would not decode what only that calls chunks.
        let by_query = parameters.payload.as_deref();
        if by_header.is_none() && by_query.is_some_and(|text| text.starts_with("STREAMING-")) {
            return Err(SignatureFault::BadPayloadHash);
        }
        let payload_text = by_header.transpose()?.or(by_query).unwrap_or("UNSIGNED-PAYLOAD");
        Ok(Self {
            key,
            scope,
            time: Stamp::parse(&date.0).ok_or(malformed("X-Amz-Date must be formatted as 20060102T150405Z"))?,
            signed: signed.0.clone(),
            signature: digits(&signature.0).ok_or(malformed("X-Amz-Signature must be 64 hexadecimal digits"))?,
            form: Form::Query {
                expires,
                places: Places {
                    credential: credential.1.clone(),
                    date: date.1.clone(),
                    signature: signature.1.clone(),
                },
            },
            payload: Payload::read(payload_text)?,
            payload_text: payload_text.to_owned(),
        })
    }

    /// The list of signed headers is one, and nothing that must be on it is missing: Host, and all of AWS's own.
    fn covers(&self, headers: &HeaderMap) -> Result<(), SignatureFault> {
        let names: Vec<&str> = self.signed.split(';').collect();
        let well_formed = |name: &&str| HeaderName::try_from(*name).is_ok_and(|parsed| parsed.as_str() == *name);
        if !names.iter().all(well_formed) || !names.is_sorted_by(|one, next| one < next) {
            let why = "SignedHeaders must be lower-case names of headers in alphabetical order, each once";
            return Err(self.form.fault(why));
        }
        let listed = |name: &str| names.binary_search(&name).is_ok();
        if !listed("host") {
            return Err(SignatureFault::Unsigned("host".into()));
        }
        let aws = headers
            .keys()
            .map(HeaderName::as_str)
            .filter(|name| name.starts_with("x-amz-"));
        match aws.into_iter().find(|name| !listed(name)) {
            Some(name) => Err(SignatureFault::Unsigned(name.into())),
            None => Ok(()),
        }
    }
}

impl Form {
    fn fault(&self, why: &'static str) -> SignatureFault {
        match self {
            Self::Header => SignatureFault::Header(why),
            Self::Query { .. } => SignatureFault::Query(why),
        }
    }
}

impl SignatureFault {
    /// What the header form calls a malformed header is a malformed query here.
    fn into_query(self) -> Self {
        match self {
            Self::Header(why) => Self::Query(why),
            other => other,
        }
    }
}

/// Key id and scope: the id may hold anything but what would end it.
fn split(credential: &str) -> Option<Result<(String, Scope), SignatureFault>> {
    let mut parts = credential.rsplitn(5, '/');
    let terminator = parts.next()?;
    let (service, region, day, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let whole = day.len() == 8 && day.bytes().all(|digit| digit.is_ascii_digit()) && word(region) && !key.is_empty();
    if !whole {
        return None;
    }
    if terminator != TERMINATOR {
        return Some(Err(SignatureFault::Header("its credential must end with aws4_request")));
    }
    if service != SERVICE {
        return Some(Err(SignatureFault::Header("its credential must be for the service s3")));
    }
    let scope = Scope {
        day: day.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
    };
    Some(Ok((key.to_owned(), scope)))
}

/// 64 hexadecimal digits, lower-case.
pub(super) fn digits(text: &str) -> Option<Hex> {
    let hex: Hex = text.as_bytes().try_into().ok()?;
    hex.iter()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        .then_some(hex)
}

/// The parameters of a presigned URL, and where their values stand.
#[derive(Debug, Default)]
struct Parameters {
    named: [Option<(String, Range<usize>)>; 6],
    payload: Option<String>,
    token: bool,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, SignatureFault> {
        let (mut found, mut at) = (Self::default(), 0);
        for pair in query.split('&') {
            let begin = at;
            at += pair.len() + 1;
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = text_of(name) else { continue };
            let index = PARAMETERS.iter().position(|parameter| *parameter == name);
            if index.is_none() && name != "X-Amz-Security-Token" && name != "X-Amz-Content-Sha256" {
                continue;
            }
            // Go drops such a pair, and with it what we would have read.
            let text = text_of(value).filter(|_| !pair.contains(';'));
            let text = text.ok_or(SignatureFault::Query("a parameter of it is not percent-encoded"))?;
            let place = begin + pair.len() - value.len()..begin + pair.len();
            let before = match index.and_then(|index| found.named.get_mut(index)) {
                Some(slot) => slot.replace((text, place)).is_some(),
                None if name == "X-Amz-Content-Sha256" => found.payload.replace(text).is_some(),
                None => std::mem::replace(&mut found.token, !text.is_empty()),
            };
            if before {
                return Err(SignatureFault::Twice);
            }
        }
        Ok(found)
    }

    fn any(&self) -> bool {
        self.named.iter().any(Option::is_some)
    }
}

fn text_of(part: &str) -> Option<String> {
    String::from_utf8(decode(part.as_bytes(), true)?.into_owned()).ok()
}

fn lenient_has(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}

const CREDENTIAL: &str = "its Credential must be <access key>/<date>/<region>/s3/aws4_request";
const SIGV2: &str = "signature version 2 works with lakeFS's own key alone (boto3 presigns by it unless its Config says signature_version=\"s3v4\")";
const SIGV4A: &str = "sign for one region, not for several (SigV4A)";
