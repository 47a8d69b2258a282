//! Bearers made with lakeFS's own secret: short-lived, one a user, made anew before they end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use tokio::time::Instant;

use super::bounded::Bounded;
use super::login::bearer_header;
use super::proof::{AskError, Fingerprint, fingerprint};
use crate::config::MintConfig;
use crate::config::types::Secret;
use crate::lakefs::token;

/// Tokens made lately, by user (and by the secret and lifetime they were made with).
pub(super) type Minted = Bounded<Fingerprint, HeaderValue>;

/// How tokens are made.
#[derive(Debug)]
pub(super) struct Mint {
    secret: Secret,
    user: Option<Arc<str>>,
    lifetime: Duration,
}

impl Mint {
    pub(super) fn new(config: &MintConfig, secret: &Secret) -> Self {
        Self {
            secret: secret.clone(),
            user: config.user.as_deref().map(Arc::from),
            lifetime: config.lifetime.0,
        }
    }

    /// The bearer of the configured user, else of this one.
    pub(super) fn bearer(&self, user: &str, minted: &Minted) -> Result<HeaderValue, AskError> {
        let user = self.user.as_deref().unwrap_or(user);
        let key = fingerprint(&[
            self.secret.expose().as_bytes(),
            user.as_bytes(),
            &self.lifetime.as_nanos().to_be_bytes(),
        ]);
        let now = Instant::now();
        if let Some(bearer) = minted.get(&key, now) {
            return Ok(bearer);
        }
        let made = token::mint(self.secret.expose().as_bytes(), user, SystemTime::now(), self.lifetime);
        let bearer = bearer_header(&made).map_err(|error| AskError::Broken(error.to_string()))?;
        minted.insert(key, bearer.clone(), now + self.lifetime.mul_f32(KEPT), now);
        Ok(bearer)
    }
}

/// How much of its life a token is used: lakeFS allows no leeway, and its clock may differ a little.
const KEPT: f32 = 0.8;
/// Users whose tokens are kept.
pub(super) const MAX_MINTED: usize = 10_000;
