//! Tokens and session cookies verified with lakeFS's own secret, as lakeFS verifies them. Whether the user exists only lakeFS knows.

use std::time::{Duration, SystemTime};

use crate::config::types::Secret;
pub(super) use crate::lakefs::cookie::Claims;
use crate::lakefs::cookie::{self, INTERNAL, MAX_AGE, Session};
use crate::lakefs::token;

/// A cookie that lakeFS could not read either.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Verifies with lakeFS's `auth.encrypt.secret_key`.
#[derive(Debug)]
pub(super) struct Verifier(Secret);

impl Verifier {
    pub(super) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The user a token is for, if it is lakeFS's and has not ended.
    pub(super) fn token(&self, token: &str) -> Option<String> {
        let secret = self.0.expose().as_bytes();
        token::verify(secret, token, SystemTime::now())
            .map(|claims| claims.sub)
            .ok()
    }

    /// The token inside an `internal_auth_session` cookie, if lakeFS could read it.
    pub(super) fn session_token(&self, value: &str) -> Option<String> {
        match self.session(INTERNAL, value, MAX_AGE) {
            Ok(Session::Token(token)) => Some(token),
            Ok(Session::Claims(_) | Session::Empty) | Err(Unreadable) => None,
        }
    }

    /// The claims inside an identity provider's cookie, if there are any.
    pub(super) fn claims(&self, name: &str, value: &str, max_age: Duration) -> Result<Option<Claims>, Unreadable> {
        Ok(match self.session(name, value, max_age)? {
            Session::Claims(claims) => Some(claims),
            Session::Token(_) | Session::Empty => None,
        })
    }

    fn session(&self, name: &str, value: &str, max_age: Duration) -> Result<Session, Unreadable> {
        let secret = self.0.expose().as_bytes();
        cookie::decode(secret, name, value, max_age, SystemTime::now()).map_err(|_| Unreadable)
    }
}
