//! Every refusal of the gateway's own: the only place that chooses a status code, a reason code and the words a client reads.
//!
//! Refusals look like lakeFS's own (`lakefs::reply`), carry `X-Lakegate-Reason`, the request id, and say what the user can do next.
//! Clients differ in what they retry (429 and 503 only with `Retry-After`), and the web UI logs out on one exact 401 text.

use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::{Context, Response, SignatureFault, headers};
use crate::config::Mode;
use crate::lakefs::{Protocol, reply};

/// Why the gateway does not forward a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The request's head contradicts itself or HTTP.
    BadRequest(String),
    /// A guarded name is spelt in a way that has two readings.
    AmbiguousTarget(String),
    /// No credential was accepted. lakeFS's own text: the web UI logs out on exactly this.
    Unauthenticated,
    /// A signature with a gateway key is not good, or its body is not what it signs.
    Signature(SignatureFault),
    /// A rule refused it.
    Guarded {
        /// The rule's name.
        rule: String,
        /// What was refused, and what the user can do next.
        message: String,
    },
    /// A rule asks for a confirmation, and there is none.
    ConfirmationRequired {
        /// The rule's name.
        rule: String,
        /// What is about to be lost.
        what: String,
    },
    /// What was confirmed is not what is about to be lost.
    ConfirmationStale {
        /// The rule's name.
        rule: String,
        /// What is about to be lost.
        what: String,
    },
    /// A rule asks for a second person's approval, and there is none.
    ApprovalRequired {
        /// The rule's name.
        rule: String,
        /// What the second person is told to approve, and for how long it stands.
        what: String,
    },
    /// A rule of lakeFS's own refuses it, as lakeFS itself would: in lakeFS's words, which clients may know.
    Protected {
        /// The rule's name.
        rule: String,
        /// What lakeFS says.
        message: &'static str,
    },
    /// No role and no rule grants it.
    NotGranted(String),
    /// A rule refuses it for now.
    Frozen {
        /// The rule's name.
        rule: String,
        /// What was refused, and until when.
        message: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// Whether lakeFS's own rules protect what is about to be hurt cannot be known: why.
    ProtectionUnknown(String),
    /// An endpoint that the configuration keeps closed.
    Closed(&'static str),
    /// A method the gateway does not forward (CONNECT, TRACE).
    MethodRefused,
    /// The request's head is longer, or has more lines, than it may.
    HeadTooLarge,
    /// The request's head did not arrive in time.
    HeadTimeout,
    /// A transfer coding other than `chunked`.
    CodingUnknown,
    /// A version of HTTP other than 1.0 and 1.1.
    VersionUnknown,
    /// An expectation other than `100-continue`.
    ExpectationUnknown,
    /// A body that must be read is longer than may be read.
    TooLarge {
        /// The cap in bytes.
        limit: usize,
    },
    /// A body that must be read did not arrive in the time that it has for that.
    InspectionTimeout,
    /// The client stopped sending in the middle of a body.
    BodyTimeout,
    /// A body in AWS's chunks on a request that goes up without its signature: lakeFS would store the chunks' framing as the object.
    ChunkedUnsigned,
    /// The client's body was broken.
    BodyBroken,
    /// The principal is over its own share, and waiting did not help.
    OverShare {
        /// When to come back.
        retry_after: Duration,
        /// 429, or 420 where `limit.too_many_status` says so.
        status: StatusCode,
    },
    /// A turn on the branch or a slot of the upstream did not come in time.
    Busy {
        /// `branch-busy` or `upstream-busy`.
        reason: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// lakeFS could not be reached.
    UpstreamDown(String),
    /// lakeFS answered garbage, or cut its answer before the head.
    UpstreamBroken(String),
    /// lakeFS did not answer in time.
    UpstreamTimeout,
    /// The gateway cannot keep its promise to record (a full disk, a broken store).
    CannotRecord(String),
    /// The gateway itself failed; the log says how.
    Internal,
}

impl Rejection {
    /// Whether it is the gateway's own policy: what lakeFS itself would have taken. The others are errors, of the client, of lakeFS or of
    /// the gateway, that no mode can make good.
    pub fn is_policy(&self) -> bool {
        match self {
            Self::AmbiguousTarget(_)
            | Self::Guarded { .. }
            | Self::Protected { .. }
            | Self::ConfirmationRequired { .. }
            | Self::ConfirmationStale { .. }
            | Self::ApprovalRequired { .. }
            | Self::NotGranted(_)
            | Self::Frozen { .. }
            | Self::ProtectionUnknown(_)
            | Self::Closed(_)
            | Self::TooLarge { .. }
            | Self::InspectionTimeout
            | Self::ChunkedUnsigned
            | Self::OverShare { .. }
            | Self::Busy { .. }
            | Self::CannotRecord(_) => true,
            Self::BadRequest(_)
            // Without a credential that somebody knows there is nobody to act for.
            | Self::Unauthenticated
            | Self::Signature(_)
            | Self::MethodRefused
            | Self::HeadTooLarge
            | Self::HeadTimeout
            | Self::CodingUnknown
            | Self::VersionUnknown
            | Self::ExpectationUnknown
            | Self::BodyTimeout
            | Self::BodyBroken
            | Self::UpstreamDown(_)
            | Self::UpstreamBroken(_)
            | Self::UpstreamTimeout
            | Self::Internal => false,
        }
    }

    /// Whether it is answered in this mode. If not, what would have refused (`by`, a rule or a key of the configuration) is written down.
    pub fn bites(&self, mode: Mode, context: &Context, by: &str) -> bool {
        if mode == Mode::Enforce || !self.is_policy() {
            return true;
        }
        self.shadow(context, by);
        false
    }

    /// Writes down, for the access line and the metrics, that it would have been answered.
    pub fn shadow(&self, context: &Context, by: &str) {
        let mut facts = context.facts();
        facts.shadow.push(by.to_owned());
        facts.shadow_refusals.push(self.reason());
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::AmbiguousTarget(_) | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Signature(fault) => fault.status(),
            Self::Guarded { .. }
            | Self::Protected { .. }
            | Self::NotGranted(_)
            | Self::ApprovalRequired { .. }
            | Self::Closed(_) => StatusCode::FORBIDDEN,
            Self::ConfirmationRequired { .. } => StatusCode::PRECONDITION_REQUIRED,
            Self::ConfirmationStale { .. } => StatusCode::PRECONDITION_FAILED,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::CodingUnknown => StatusCode::NOT_IMPLEMENTED,
            Self::VersionUnknown => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::ExpectationUnknown => StatusCode::EXPECTATION_FAILED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InspectionTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ChunkedUnsigned => StatusCode::NOT_IMPLEMENTED,
            Self::OverShare { status, .. } => *status,
            Self::Busy { .. } | Self::CannotRecord(_) | Self::Frozen { .. } | Self::ProtectionUnknown(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamDown(_) | Self::UpstreamBroken(_) => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable reason code: in `X-Lakegate-Reason`, the access line and the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad-request",
            Self::AmbiguousTarget(_) => "ambiguous-target",
            Self::Unauthenticated => "unauthenticated",
            Self::Signature(fault) => fault.reason(),
            Self::Guarded { .. } | Self::Protected { .. } => "guarded",
            Self::ConfirmationRequired { .. } => "confirmation-required",
            Self::ConfirmationStale { .. } => "confirmation-stale",
            Self::ApprovalRequired { .. } => "approval-required",
            Self::NotGranted(_) => "not-granted",
            Self::Frozen { .. } => "frozen",
            Self::ProtectionUnknown(_) => "protection-unknown",
            Self::Closed(_) => "closed",
            Self::MethodRefused => "method-refused",
            Self::HeadTooLarge => "head-too-large",
            Self::HeadTimeout => "head-timeout",
            Self::CodingUnknown => "coding-unknown",
            Self::VersionUnknown => "version-unknown",
            Self::ExpectationUnknown => "expectation-unknown",
            Self::TooLarge { .. } => "body-too-large",
            Self::InspectionTimeout | Self::BodyTimeout => "body-timeout",
            Self::ChunkedUnsigned => "chunked-unsigned",
            Self::BodyBroken => "body-broken",
            Self::OverShare { .. } => "over-share",
            Self::Busy { reason, .. } => reason,
            Self::UpstreamDown(_) => "upstream-down",
            Self::UpstreamBroken(_) => "upstream-broken",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::CannotRecord(_) => "cannot-record",
            Self::Internal => "internal",
        }
    }

    /// What the client reads. Internal causes are for the log only.
    pub fn message(&self) -> String {
        match self {
            Self::BadRequest(what) | Self::AmbiguousTarget(what) => what.clone(),
            Self::Unauthenticated => reply::UNAUTHENTICATED.to_owned(),
            Self::Signature(fault) => fault.message(),
            Self::Protected { message, .. } => (*message).to_owned(),
            Self::Guarded { message, .. } | Self::Frozen { message, .. } | Self::NotGranted(message) => message.clone(),
            Self::ConfirmationRequired { rule, what } => format!(
                "rule `{rule}` asks for a confirmation: {what}; to go on, send the request again with the full commit in the header {}",
                headers::CONFIRM
            ),
            Self::ConfirmationStale { rule, what } => format!(
                "rule `{rule}` asks for a confirmation, and what the header {} names is not what would be lost: {what}",
                headers::CONFIRM
            ),
            Self::ApprovalRequired { rule, what } => {
                format!("rule `{rule}` asks for the approval of a second person: {what}")
            }
            Self::ProtectionUnknown(_) => {
                "the gateway cannot read lakeFS's branch protection rules now, and so does not forward what they may protect from: try again"
                    .to_owned()
            }
            Self::Closed(what) => format!("{what} is closed at the gateway"),
            Self::MethodRefused => "the gateway does not forward this method".to_owned(),
            Self::HeadTooLarge => "the request's target and headers are too long".to_owned(),
            Self::HeadTimeout => "the request's head did not arrive in time".to_owned(),
            Self::CodingUnknown => "the only transfer coding is `chunked`".to_owned(),
            Self::VersionUnknown => "the gateway speaks HTTP/1.1".to_owned(),
            Self::ExpectationUnknown => "the only expectation is `100-continue`".to_owned(),
            Self::TooLarge { limit } => format!("the body of this operation may have at most {limit} bytes"),
            Self::InspectionTimeout | Self::BodyTimeout => "the request body did not arrive in time".to_owned(),
            Self::ChunkedUnsigned => {
                "lakeFS decodes an aws-chunked body only for a request that keeps its own AWS signature, and would store the chunks' \
                 framing as the object: send the body plain, or sign the request with a lakeFS key pair"
                    .to_owned()
            }
            Self::BodyBroken => "the request body was cut short or malformed".to_owned(),
            Self::OverShare { .. } => "over your share of requests: wait and try again".to_owned(),
            Self::Busy {
                reason: "branch-busy", ..
            } => "the branch is busy: your turn did not come in time, try again".to_owned(),
            Self::Busy { .. } => "lakeFS is busy: your turn did not come in time, try again".to_owned(),
            Self::UpstreamDown(_) => "lakeFS cannot be reached".to_owned(),
            Self::UpstreamBroken(_) => "lakeFS gave no valid answer".to_owned(),
            Self::UpstreamTimeout => "lakeFS did not answer in time".to_owned(),
            Self::CannotRecord(_) => "the gateway cannot record this request and so does not forward it".to_owned(),
            Self::Internal => "internal server error".to_owned(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::OverShare { retry_after, .. } | Self::Busy { retry_after, .. } | Self::Frozen { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::CannotRecord(_) => Some(Duration::from_secs(5)),
            Self::ProtectionUnknown(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The rule that refuses, or the key of the configuration.
    fn rule(&self) -> Option<&str> {
        match self {
            Self::Guarded { rule, .. }
            | Self::Protected { rule, .. }
            | Self::Frozen { rule, .. }
            | Self::ConfirmationRequired { rule, .. }
            | Self::ConfirmationStale { rule, .. }
            | Self::ApprovalRequired { rule, .. } => Some(rule),
            Self::NotGranted(_) => Some("guard.default"),
            Self::ProtectionUnknown(_) => Some("guard.lakefs_rules"),
            _ => None,
        }
    }

    /// What the log gets besides the reason code.
    fn cause(&self) -> Option<&str> {
        match self {
            Self::UpstreamDown(cause)
            | Self::UpstreamBroken(cause)
            | Self::CannotRecord(cause)
            | Self::ProtectionUnknown(cause) => Some(cause),
            Self::BadRequest(what) | Self::AmbiguousTarget(what) => Some(what),
            _ => None,
        }
    }

    /// The answer, and a note of it in the request's record.
    pub fn respond(&self, context: &Context, method: &Method) -> Response {
        {
            let mut facts = context.facts();
            facts.decision = Some("refused");
            facts.reason = Some(self.reason());
            facts.error = self.cause().map(str::to_owned).or(facts.error.take());
            facts.rule = self.rule().map(str::to_owned).or(facts.rule.take());
        }
        let id = context.id().to_string();
        let message = match self.rule() {
            _ if matches!(self, Self::Protected { .. }) => self.message(),
            // lakectl and the SDKs show the message and no header: whoever is asked about a rule needs the request.
            Some(_) => format!("{} (request {id})", self.message()),
            None => self.message(),
        };
        let protocol = context
            .classified()
            .map_or(Protocol::Rest, |classified| classified.protocol);
        let resource = context.classified().and_then(|classified| classified.targets.first());
        let mut response = match protocol {
            Protocol::Rest | Protocol::Web => reply::rest_error(self.status(), &message),
            // As lakeFS does: whom it does not know it answers before it looks at the request's face.
            Protocol::S3 if *self == Self::Unauthenticated => reply::rest_error(self.status(), &message),
            Protocol::S3 => {
                let xml_type = context.xml_type().unwrap_or("application/xml");
                let (status, code) = self.s3_status_and_code();
                reply::s3_error(xml_type, status, code, &message, resource, &id)
            }
        }
        .map(super::Body::from);
        if *method == Method::HEAD {
            *response.body_mut() = super::Body::empty();
        }
        let head = response.headers_mut();
        head.insert(headers::REASON, HeaderValue::from_static(self.reason()));
        head.insert(headers::REQUEST_ID, headers::value(&id));
        if let Some(rule) = self.rule() {
            head.insert(headers::RULE, headers::value(rule));
        }
        if let Some(retry_after) = self.retry_after() {
            head.insert(
                header::RETRY_AFTER,
                HeaderValue::from(retry_after.as_secs_f64().ceil().max(1.0) as u64),
            );
        }
        response
    }

    /// S3's own code for it, and the status that goes with the code: the AWS SDKs retry 503 `SlowDown`, and never a 429.
    fn s3_status_and_code(&self) -> (StatusCode, &'static str) {
        let code = self.s3_code();
        let status = match code {
            "SlowDown" => StatusCode::SERVICE_UNAVAILABLE,
            _ => self.status(),
        };
        (status, code)
    }

    fn s3_code(&self) -> &'static str {
        match self {
            Self::BadRequest(_)
            | Self::AmbiguousTarget(_)
            | Self::MethodRefused
            | Self::HeadTooLarge
            | Self::HeadTimeout
            | Self::CodingUnknown
            | Self::VersionUnknown
            | Self::ExpectationUnknown => "InvalidRequest",
            Self::Unauthenticated
            | Self::Guarded { .. }
            | Self::ConfirmationRequired { .. }
            | Self::ApprovalRequired { .. }
            | Self::NotGranted(_)
            | Self::Closed(_) => "AccessDenied",
            Self::Signature(fault) => fault.code(),
            // pkg/gateway/errors.
            Self::Protected { .. } => "ErrWriteToProtectedBranch",
            Self::ConfirmationStale { .. } => "PreconditionFailed",
            Self::TooLarge { .. } => "EntityTooLarge",
            Self::InspectionTimeout | Self::BodyTimeout => "RequestTimeout",
            Self::ChunkedUnsigned => "NotImplemented",
            Self::BodyBroken => "IncompleteBody",
            Self::OverShare { .. }
            | Self::Busy { .. }
            | Self::CannotRecord(_)
            | Self::Frozen { .. }
            | Self::ProtectionUnknown(_) => "SlowDown",
            Self::UpstreamDown(_) | Self::UpstreamBroken(_) | Self::UpstreamTimeout | Self::Internal => "InternalError",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::exchange::Client;
    use crate::lakefs;

    fn context() -> Context {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        Context::new(Client {
            address: peer.ip(),
            peer,
            secure: false,
        })
    }

    /// One of each, whether it is policy, and its status on the API and on S3.
    fn all() -> Vec<(Rejection, bool, u16, u16)> {
        let (text, wait) = (|| "x".to_owned(), Duration::from_millis(1500));
        let guarded = Rejection::Guarded {
            rule: text(),
            message: text(),
        };
        let (rule, what) = (text, text);
        let required = || Rejection::ConfirmationRequired {
            rule: rule(),
            what: what(),
        };
        let stale = || Rejection::ConfirmationStale {
            rule: rule(),
            what: what(),
        };
        let approval = || Rejection::ApprovalRequired {
            rule: rule(),
            what: what(),
        };
        let protected = Rejection::Protected {
            rule: text(),
            message: "x",
        };
        let frozen = Rejection::Frozen {
            rule: text(),
            message: text(),
            retry_after: wait,
        };
        let over_share = |status| Rejection::OverShare {
            retry_after: wait,
            status,
        };
        let busy = |reason| Rejection::Busy {
            reason,
            retry_after: wait,
        };
        vec![
            (Rejection::BadRequest(text()), false, 400, 400),
            (Rejection::AmbiguousTarget(text()), true, 400, 400),
            (Rejection::Unauthenticated, false, 401, 401),
            (Rejection::Signature(SignatureFault::Mismatch), false, 403, 403),
            (guarded, true, 403, 403),
            (required(), true, 428, 428),
            (stale(), true, 412, 412),
            (approval(), true, 403, 403),
            (protected, true, 403, 403),
            (Rejection::NotGranted(text()), true, 403, 403),
            (frozen, true, 503, 503),
            (Rejection::Closed("x"), true, 403, 403),
            (Rejection::MethodRefused, false, 405, 405),
            (Rejection::HeadTooLarge, false, 431, 431),
            (Rejection::HeadTimeout, false, 408, 408),
            (Rejection::CodingUnknown, false, 501, 501),
            (Rejection::VersionUnknown, false, 505, 505),
            (Rejection::ExpectationUnknown, false, 417, 417),
            (Rejection::TooLarge { limit: 1 }, true, 413, 413),
            (Rejection::InspectionTimeout, true, 408, 408),
            (Rejection::BodyTimeout, false, 408, 408),
            (Rejection::BodyBroken, false, 400, 400),
            (Rejection::ChunkedUnsigned, true, 501, 501),
            (over_share(StatusCode::TOO_MANY_REQUESTS), true, 429, 503),
            (over_share(StatusCode::from_u16(420).unwrap()), true, 420, 503),
            (busy("branch-busy"), true, 503, 503),
            (busy("upstream-busy"), true, 503, 503),
            (Rejection::UpstreamDown(text()), false, 502, 502),
            (Rejection::UpstreamBroken(text()), false, 502, 502),
            (Rejection::UpstreamTimeout, false, 504, 504),
            (Rejection::CannotRecord(text()), true, 503, 503),
            (Rejection::ProtectionUnknown(text()), true, 503, 503),
            (Rejection::Internal, false, 500, 500),
        ]
    }

    #[test]
    fn observing_answers_every_error_and_no_policy() {
        for (rejection, policy, ..) in all() {
            let observed = context();
            assert!(rejection.bites(Mode::Enforce, &context(), "key"), "{rejection:?}");
            assert_eq!(
                rejection.bites(Mode::Observe, &observed, "key"),
                !policy,
                "{rejection:?}"
            );
            let facts = observed.facts();
            let noted = (&*facts.shadow, &*facts.shadow_refusals);
            let count = usize::from(policy);
            let expected = (&["key".to_owned()][..count], &[rejection.reason()][..count]);
            assert_eq!(noted, expected, "{rejection:?}");
        }
    }

    #[test]
    fn each_face_of_lakefs_is_answered_in_its_own_form() {
        for (rejection, _, on_api, on_s3) in all() {
            for (target, status) in [
                ("/api/v1/repositories", on_api),
                ("/r/main/a?X-Amz-Credential=a", on_s3),
            ] {
                let context = context();
                let (head, ()) = http::Request::get(target).body(()).unwrap().into_parts();
                context.set_classified(lakefs::classify(&head, &[]).unwrap());
                context.set_xml_type("text/xml");
                let answer = rejection.respond(&context, &Method::GET);
                assert_eq!(answer.status(), status, "{rejection:?} of {target}");
                let xml = target.starts_with("/r/") && rejection != Rejection::Unauthenticated;
                let media_type = if xml { "text/xml" } else { "application/json" };
                assert_eq!(
                    answer.headers()["content-type"],
                    media_type,
                    "{rejection:?} of {target}"
                );
                assert_eq!(answer.headers()[headers::REASON], rejection.reason());
                let retry = answer.headers().get(header::RETRY_AFTER).is_some();
                assert_eq!(retry, rejection.retry_after().is_some(), "{rejection:?}");
                let to_head = rejection.respond(&context, &Method::HEAD);
                assert!(http_body::Body::is_end_stream(to_head.body()), "{rejection:?}");
            }
        }
    }
}
