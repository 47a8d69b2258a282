//! Why a request signed with a gateway key is refused, in S3's own codes and words, so that clients know what to do with it.
//!
//! Codes and statuses: the S3 API's list of error codes, and what the service was seen to answer. `Rejection` makes an answer of it.

use http::StatusCode;

/// What is wrong with a signature, or with what it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFault {
    /// Nobody has this access key.
    KeyUnknown,
    /// The access key is somebody's, and its time has passed.
    KeyExpired,
    /// It does not sign this request, or not with this key's secret; or a chunk's does not.
    Mismatch,
    /// The request's time is too far from the gateway's.
    Skewed,
    /// A presigned URL's time has passed.
    Expired,
    /// A presigned URL's time has not come.
    NotYet,
    /// The `Authorization` header cannot be read: why.
    Header(&'static str),
    /// The query's signature parameters cannot be read: why.
    Query(&'static str),
    /// It is signed twice, or what signs it is said twice.
    Twice,
    /// It says no time, or none that lakeFS reads.
    NoDate,
    /// A header that must be signed is not.
    Unsigned(Box<str>),
    /// It does not say what its payload is.
    NoPayloadHash,
    /// What it says of its payload is none of the known ways.
    BadPayloadHash,
    /// The payload is not the one that was signed.
    PayloadMismatch,
    /// Another scheme than signature version 4: what to do about it.
    Scheme(&'static str),
    /// A body signed in a way that lakeFS cannot read: which.
    Unsupported(&'static str),
    /// A session token, which no gateway key has.
    SessionToken,
    /// A body in signed chunks does not say how long it is without them.
    NoLength,
    /// A chunk is longer than may be held: the cap in bytes.
    ChunkTooLarge(usize),
    /// A body in signed chunks is cut short, too long, or no such body.
    Incomplete,
    /// The gateway has no lakeFS key pair to sign with.
    NoPair,
}

impl SignatureFault {
    /// The status it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::KeyUnknown
            | Self::Mismatch
            | Self::Skewed
            | Self::Expired
            | Self::NotYet
            | Self::NoDate
            | Self::Unsigned(_) => StatusCode::FORBIDDEN,
            Self::KeyExpired
            | Self::Header(_)
            | Self::Query(_)
            | Self::Twice
            | Self::Scheme(_)
            | Self::NoPayloadHash
            | Self::BadPayloadHash
            | Self::PayloadMismatch
            | Self::SessionToken
            | Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::NoLength => StatusCode::LENGTH_REQUIRED,
            Self::ChunkTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unsupported(_) | Self::NoPair => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// S3's code.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::KeyUnknown => "InvalidAccessKeyId",
            Self::KeyExpired => "ExpiredToken",
            Self::Mismatch => "SignatureDoesNotMatch",
            Self::Skewed => "RequestTimeTooSkewed",
            Self::Expired | Self::NotYet | Self::NoDate | Self::Unsigned(_) => "AccessDenied",
            Self::Header(_) => "AuthorizationHeaderMalformed",
            Self::Query(_) => "AuthorizationQueryParametersError",
            Self::Twice | Self::BadPayloadHash => "InvalidArgument",
            Self::NoPayloadHash | Self::Scheme(_) => "InvalidRequest",
            Self::PayloadMismatch => "XAmzContentSHA256Mismatch",
            Self::SessionToken => "InvalidToken",
            Self::NoLength => "MissingContentLength",
            Self::ChunkTooLarge(_) => "EntityTooLarge",
            Self::Incomplete => "IncompleteBody",
            Self::Unsupported(_) | Self::NoPair => "NotImplemented",
        }
    }

    /// The stable reason code.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::KeyUnknown => "key-unknown",
            Self::KeyExpired => "key-expired",
            Self::Mismatch => "signature-mismatch",
            Self::Skewed => "signature-skewed",
            Self::Expired | Self::NotYet => "signature-expired",
            Self::Header(_)
            | Self::Query(_)
            | Self::Twice
            | Self::NoDate
            | Self::Unsigned(_)
            | Self::NoPayloadHash
            | Self::BadPayloadHash
            | Self::SessionToken
            | Self::NoLength => "signature-malformed",
            Self::PayloadMismatch => "payload-mismatch",
            Self::Scheme(_) | Self::Unsupported(_) => "signature-unsupported",
            Self::ChunkTooLarge(_) => "chunk-too-large",
            Self::Incomplete => "body-broken",
            Self::NoPair => "no-upstream-pair",
        }
    }

    /// What the client reads.
    pub(super) fn message(&self) -> String {
        let text = match self {
            Self::KeyUnknown => "The AWS Access Key Id you provided does not exist in our records.",
            Self::KeyExpired => "The access key has expired: ask for a new one.",
            Self::Mismatch => {
                "The request signature we calculated does not match the signature you provided. Check your key and signing method."
            }
            Self::Skewed => {
                "The difference between the request time and the current time is too large: set the clock of the client."
            }
            Self::Expired => "Request has expired",
            Self::NotYet => "Request is not valid yet",
            Self::Header(why) => return format!("The authorization header is malformed; {why}."),
            Self::Query(why) => return format!("Error parsing the query's signature; {why}."),
            Self::Twice => {
                "Only one signature is allowed: in the Authorization header or in the query, and each part of it once."
            }
            Self::NoDate => "AWS authentication requires a valid x-amz-date header, as 20060102T150405Z.",
            Self::Unsigned(name) => {
                return format!("There were headers present in the request which were not signed: {name}");
            }
            Self::NoPayloadHash => "Missing required header for this request: x-amz-content-sha256",
            Self::BadPayloadHash => {
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD or a valid sha256 value."
            }
            Self::PayloadMismatch => "The provided 'x-amz-content-sha256' header does not match what was computed.",
            Self::Scheme(remedy) => {
                return format!(
                    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256: {remedy}."
                );
            }
            Self::Unsupported(what) => return (*what).to_owned(),
            Self::SessionToken => {
                "The provided token is malformed or otherwise invalid: gateway keys have no session token."
            }
            Self::NoLength => "You must provide the x-amz-decoded-content-length HTTP header.",
            Self::ChunkTooLarge(cap) => return format!("a signed chunk may have at most {cap} bytes"),
            Self::Incomplete => "The body is not the chunks that its headers say, or ends before them.",
            Self::NoPair => {
                "the gateway has no lakeFS key pair to sign this with (auth.upstream.login): send the body unsigned, or ask its operator"
            }
        };
        text.to_owned()
    }
}
