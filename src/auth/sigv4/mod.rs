//! AWS signatures made with gateway keys: verified, and made anew with the key pair that lakeFS knows.
//!
//! `claim` reads what a request says of its signature, `canonical` makes the text that is signed, `scope` the keys; `payload` says how the
//! body is signed, and `body` holds it to that as it streams (`chunks`). Only the signature and whose it is change on the way, in a stream of
//! signed chunks each chunk's too; all else goes up byte for byte. Sources: AWS's documentation of Signature Version 4 for S3 for what
//! clients do, lakeFS's pkg/gateway/sig for what it reads.
//!
//! Whose a key is, and what becomes of signatures of others, is decided elsewhere (`keys`, `judge`).

mod body;
mod canonical;
mod chunks;
mod claim;
mod payload;
mod scope;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use percent_encoding::utf8_percent_encode;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::bounded::Bounded;
use crate::config::LoginConfig;
use crate::config::types::Secret;
use crate::exchange::{Body, Request, SignatureFault};
use canonical::{Head, Rules};
use chunks::{Chain, Chunks};
use claim::{Claim, Form};
use payload::Payload;
use scope::{Scope, SigningKey, same, text};
use time::{STALE, Stamp};

/// Now, by the clock of signatures and by the one of caches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Since 1970.
    pub(super) unix: Duration,
    pub(super) instant: Instant,
}

/// The keys that were derived lately: a key is good for a day, and its derivation is most of what a signature costs.
#[derive(Debug)]
pub(super) struct SigningKeys(Bounded<(Box<str>, Scope), Arc<Derived>>);

#[derive(Debug)]
struct Derived {
    /// What it was derived from: an access key may get another secret.
    secret: Secret,
    key: SigningKey,
}

impl SigningKeys {
    pub(super) fn new() -> Self {
        Self(Bounded::new(DERIVED_MAX))
    }

    fn of(&self, id: &str, secret: &Secret, scope: &Scope, now: Instant) -> SigningKey {
        let of = (Box::from(id), scope.clone());
        if let Some(derived) = self.0.get(&of, now).filter(|derived| derived.secret == *secret) {
            return derived.key.clone();
        }
        let key = scope.key(secret.expose());
        let derived = Derived {
            secret: secret.clone(),
            key: key.clone(),
        };
        self.0.insert(of, Arc::new(derived), now + DERIVED_TTL, now);
        key
    }
}

/// What a body in signed chunks may hold.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// Bytes of one chunk.
    pub(super) chunk: usize,
    /// A permit for each KiB of the chunks of all bodies.
    pub(super) budget: Arc<Semaphore>,
}

/// A request's signature, read and not verified.
#[derive(Debug)]
pub(super) struct Signed(Claim);

/// A signature that was made with its key's secret.
#[derive(Debug)]
pub(super) struct Verified {
    claim: Claim,
    key: SigningKey,
}

impl Signed {
    /// Reads a request's signature.
    ///
    /// # Errors
    /// What S3 would say of it.
    pub(super) fn read(request: &Request) -> Result<Self, SignatureFault> {
        Claim::read(&head(request)).map(Self)
    }

    /// The access key's id.
    pub(super) fn key(&self) -> &str {
        &self.0.key
    }

    /// Holds it against the secret of its key, and against the clock.
    ///
    /// # Errors
    /// What S3 would say of it.
    pub(super) fn verify(
        self,
        request: &Request,
        secret: &Secret,
        keys: &SigningKeys,
        now: Now,
    ) -> Result<Verified, SignatureFault> {
        let claim = self.0;
        let key = keys.of(&claim.key, secret, &claim.scope, now.instant);
        let canonical = canonical::request(&head(request), &claim.signed, &claim.payload_text, Rules::Aws);
        let expected = key.sign(&claim.scope.string_to_sign(&claim.time, &canonical));
        if !same(&expected, &claim.signature) {
            return Err(SignatureFault::Mismatch);
        }
        let expires = match claim.form {
            Form::Header => None,
            Form::Query { expires, .. } => Some(expires),
        };
        claim.time.check(expires, now.unix)?;
        Ok(Verified { claim, key })
    }
}

impl Verified {
    /// Whether the hash of the body is in the signature.
    pub(super) fn is_hashed(&self) -> bool {
        matches!(self.claim.payload, Payload::Hashed(_))
    }

    /// Whether these 32 bytes are that hash.
    pub(super) fn has_hash(&self, hash: &[u8]) -> bool {
        matches!(&self.claim.payload, Payload::Hashed(expected) if same(&scope::hex(hash), expected))
    }

    /// Holds the body to the hash that was signed.
    ///
    /// # Errors
    /// When it is here already, and another.
    pub(super) fn hold_to_hash(&self, request: &mut Request) -> Result<(), SignatureFault> {
        let Payload::Hashed(hash) = self.claim.payload else {
            return Ok(());
        };
        let body = std::mem::replace(request.body_mut(), Body::empty());
        *request.body_mut() = body::hashed(body, hash)?;
        Ok(())
    }

    /// Puts lakeFS's key pair and its signature in the place of the client's.
    ///
    /// # Errors
    /// When the body cannot be signed.
    pub(super) fn sign_anew(
        self,
        request: &mut Request,
        pair: &LoginConfig,
        keys: &SigningKeys,
        room: Room,
        now: Now,
    ) -> Result<(), SignatureFault> {
        let (id, secret) = (pair.access_key_id.expose(), &pair.secret_access_key);
        let (scope, time) = self.fresh(now);
        let key = keys.of(id, secret, &scope, now.instant);
        // As lakeFS reads it: by the header, and not by the query.
        let payload = request.headers().get(canonical::CONTENT_SHA256);
        let payload = payload
            .and_then(|text| text.to_str().ok())
            .unwrap_or("UNSIGNED-PAYLOAD")
            .to_owned();
        let sign = |head: &Head<'_>| {
            let canonical = canonical::request(head, &self.claim.signed, &payload, Rules::Lakefs);
            key.sign(&scope.string_to_sign(&time, &canonical))
        };
        let signature = match &self.claim.form {
            Form::Header => {
                let signature = sign(&head(request));
                let (signed, hex) = (&self.claim.signed, text(&signature));
                let line = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={hex}");
                let mut line = HeaderValue::try_from(line).map_err(|_| SignatureFault::NoPair)?;
                line.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, line);
                signature
            }
            Form::Query { places, .. } => {
                let credential = utf8_percent_encode(&format!("{id}/{scope}"), canonical::ENCODED).to_string();
                let query = request.uri().query().unwrap_or_default().to_owned();
                let with = |signature: &str| {
                    let parts = [
                        (&places.credential, &*credential),
                        (&places.date, time.text()),
                        (&places.signature, signature),
                    ];
                    replaced(&query, parts)
                };
                let unsigned = with("");
                let signature = sign(&Head {
                    query: &unsigned,
                    ..head(request)
                });
                let target = format!("{}?{}", request.uri().path(), with(text(&signature)));
                *request.uri_mut() = retargeted(request.uri(), &target).ok_or(SignatureFault::Incomplete)?;
                signature
            }
        };
        if self.claim.payload == Payload::Chunked {
            let length = request.headers().get("x-amz-decoded-content-length");
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            let length = length.ok_or(SignatureFault::NoLength)?;
            let Claim {
                scope: theirs,
                time: then,
                signature: seed,
                ..
            } = &self.claim;
            let theirs = Chain::new(self.key.clone(), then, theirs, *seed);
            let ours = Chain::new(key, &time, &scope, signature);
            let chunks = Chunks::new(theirs, ours, length, room.chunk);
            let body = std::mem::replace(request.body_mut(), Body::empty());
            *request.body_mut() = body::chunked(body, chunks, room.budget);
        }
        Ok(())
    }

    /// The scope and the time of the new signature: the client's, unless it is that of an old URL.
    fn fresh(&self, now: Now) -> (Scope, Stamp) {
        let old = matches!(self.claim.form, Form::Query { .. }) && self.claim.time.age(now.unix) > STALE;
        match Stamp::of(now.unix.as_secs()).filter(|_| old) {
            Some(time) => {
                let scope = Scope {
                    day: time.day().to_owned(),
                    ..self.claim.scope.clone()
                };
                (scope, time)
            }
            None => (self.claim.scope.clone(), self.claim.time.clone()),
        }
    }
}

fn head(request: &Request) -> Head<'_> {
    Head {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: request.headers(),
    }
}

/// A query with other values in some places.
fn replaced(query: &str, mut parts: [(&std::ops::Range<usize>, &str); 3]) -> String {
    parts.sort_by_key(|(place, _)| place.start);
    let (mut text, mut at) = (String::with_capacity(query.len() + 64), 0);
    for (place, value) in parts {
        text += query.get(at..place.start).unwrap_or_default();
        text += value;
        at = place.end;
    }
    text + query.get(at..).unwrap_or_default()
}

/// A target with another path and query, in the same form.
fn retargeted(target: &Uri, path_and_query: &str) -> Option<Uri> {
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// Derived keys that are kept.
const DERIVED_MAX: usize = 10_000;
const DERIVED_TTL: Duration = Duration::from_secs(86_400);
