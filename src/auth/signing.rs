//! What becomes of a request that is signed with a gateway key, once its signature is verified: it goes to lakeFS under the signature of the
//! key pair that lakeFS knows, or, where the gateway has no pair, under its bearer.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;
use bytes::Bytes;
use tokio::time::Instant;

use super::bearer::{Attached, BearerSource};
use super::cookies;
use super::sigv4::{Now, Room, Verified};
use super::{State, rejection, replace};
use crate::exchange::{Inspected, Rejection, Request, SignatureFault};
use crate::lakefs;

/// A body larger than this takes longer than a data thread has.
const QUICK_BODY: usize = 128 << 10;

/// As whom signed requests go to lakeFS.
#[derive(Debug)]
pub(super) struct Signing<'a> {
    pub(super) bearers: &'a BearerSource,
    /// Bytes of the longest signed chunk.
    pub(super) chunk: usize,
    pub(super) state: &'a State,
}

impl Signing<'_> {
    /// Makes a request of `user`, whose signature is verified, one of the gateway's own.
    pub(super) async fn forward(
        &self,
        user: &str,
        verified: Verified,
        request: &mut Request,
    ) -> Result<Option<Attached>, Rejection> {
        match request.extensions().get::<Inspected>().cloned() {
            Some(Inspected(body)) => check(&verified, body).await?,
            None => verified.hold_to_hash(request).map_err(Rejection::Signature)?,
        }
        let Some(pair) = self.bearers.pair() else {
            return self.by_bearer(user, request).await;
        };
        // lakeFS would take a cookie before the signature, and so act for another than the gateway thinks.
        cookies::strip(request.headers_mut());
        let room = Room {
            chunk: self.chunk,
            budget: Arc::clone(&self.state.chunks),
        };
        let signed = verified.sign_anew(request, pair, &self.state.signing, room, now());
        signed.map(|()| None).map_err(Rejection::Signature)
    }

    /// lakeFS believes a bearer before any signature; but the framing of AWS's chunks it then takes for the object.
    async fn by_bearer(&self, user: &str, request: &mut Request) -> Result<Option<Attached>, Rejection> {
        let attached = self.bearers.bearer(user, self.state).await.map_err(rejection)?;
        match attached {
            Some(attached) if !lakefs::is_aws_chunked(request.headers()) => {
                replace(request.headers_mut(), Some(attached.header.clone()));
                Ok(Some(attached))
            }
            Some(_) | None => Err(Rejection::Signature(SignatureFault::NoPair)),
        }
    }
}

/// Holds a body that was read for judgement to the hash that was signed.
async fn check(verified: &Verified, body: Bytes) -> Result<(), Rejection> {
    if !verified.is_hashed() {
        return Ok(());
    }
    let hash = |body: &Bytes| digest::digest(&digest::SHA256, body);
    let hash = match body.len() <= QUICK_BODY {
        true => hash(&body),
        false => tokio::task::spawn_blocking(move || hash(&body))
            .await
            .map_err(|_| Rejection::Internal)?,
    };
    match verified.has_hash(hash.as_ref()) {
        true => Ok(()),
        false => Err(Rejection::Signature(SignatureFault::PayloadMismatch)),
    }
}

/// Now.
pub(super) fn now() -> Now {
    Now {
        unix: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
        instant: Instant::now(),
    }
}
