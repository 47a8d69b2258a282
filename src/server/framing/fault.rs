//! What is wrong with what a client sent, and how it is told. The words say what the client can do about it.

use crate::exchange::Rejection;

/// Why bytes are not a request that the gateway takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Fault {
    /// It is not HTTP/1, or contradicts itself.
    Bad(&'static str),
    /// The head has too many bytes or lines.
    HeadTooLarge,
    /// The head did not come in time.
    HeadTimeout,
    /// CONNECT and TRACE.
    Method,
    /// A transfer coding that is not `chunked`.
    Coding,
    /// A version that is not 1.0 or 1.1.
    Version,
    /// An `Expect` that is not `100-continue`.
    Expectation,
}

impl Fault {
    /// The refusal that the client gets.
    pub(in crate::server) fn rejection(self) -> Rejection {
        match self {
            Self::Bad(what) => Rejection::BadRequest(what.to_owned()),
            Self::HeadTooLarge => Rejection::HeadTooLarge,
            Self::HeadTimeout => Rejection::HeadTimeout,
            Self::Method => Rejection::MethodRefused,
            Self::Coding => Rejection::CodingUnknown,
            Self::Version => Rejection::VersionUnknown,
            Self::Expectation => Rejection::ExpectationUnknown,
        }
    }
}
