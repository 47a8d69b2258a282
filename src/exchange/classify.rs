//! The classify layer: says what a request is, and reads, with caps, what it must of a named operation's body.
//!
//! The decision is made from the head wherever a body cannot change it. What is read is forwarded byte for byte.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::body::Read;
use super::step::{Inner, Next, Step};
use super::{Body, Context, Rejection, Request, Response};
use crate::lakefs::{self, Force, force};

/// Caps on bodies that are read for judgement.
#[derive(Debug, Clone, Copy)]
pub struct InspectionLimits {
    /// Bytes of one body.
    pub body: usize,
    /// Time for one body.
    pub timeout: Duration,
}

/// The body of a request that was read for judgement; kept in the request's extensions.
#[derive(Debug, Clone)]
pub struct Inspected(pub Bytes);

/// The classify layer.
#[derive(Debug)]
pub struct Classify {
    s3_domains: Vec<String>,
    limits: InspectionLimits,
    budget: Arc<Semaphore>,
}

impl Classify {
    /// `budget` has a permit for each KiB of the bodies that may be read at a time.
    pub fn new(s3_domains: Vec<String>, limits: InspectionLimits, budget: Arc<Semaphore>) -> Self {
        Self {
            s3_domains,
            limits,
            budget,
        }
    }

    /// Reads the body and puts it back, its share of the budget held until it has been forwarded.
    async fn inspect(&self, request: &mut Request) -> Result<Bytes, Rejection> {
        let too_large = Rejection::TooLarge {
            limit: self.limits.body,
        };
        let body = std::mem::replace(request.body_mut(), Body::empty());
        let reading = async {
            let size = http_body::Body::size_hint(&body)
                .upper()
                .map_or(self.limits.body, |size| usize::try_from(size).unwrap_or(usize::MAX));
            if size > self.limits.body {
                return Err(too_large.clone());
            }
            let permit = self.reserve(size).await?;
            match body.read_capped(self.limits.body).await {
                Ok(Read::Whole(bytes, _)) => Ok((bytes, permit)),
                Ok(Read::TooLarge) => Err(too_large.clone()),
                Err(_) => Err(Rejection::BodyBroken),
            }
        };
        let (bytes, permit) = timeout(self.limits.timeout, reading)
            .await
            .unwrap_or(Err(Rejection::BodyTimeout))?;
        // Its length is known now, so hyper frames it by Content-Length; trailers of a JSON body mean nothing to lakeFS.
        if request.headers_mut().remove(header::TRANSFER_ENCODING).is_some() {
            request.headers_mut().remove(header::TRAILER);
        }
        *request.body_mut() = Body::from(bytes.clone()).holding(permit);
        Ok(bytes)
    }

    async fn reserve(&self, size: usize) -> Result<OwnedSemaphorePermit, Rejection> {
        let permits = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.budget)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| Rejection::Internal)
    }
}

impl Step for Classify {
    async fn call<S: Inner>(&self, request: Request, next: Next<S>) -> Response {
        let context = Context::of(&request);
        let method = request.method().clone();
        let (head, body) = request.into_parts();
        let mut classified = match lakefs::classify(&head, &self.s3_domains) {
            Ok(classified) => classified,
            Err(malformed) => return Rejection::AmbiguousTarget(malformed.what).respond(&context, &method),
        };
        let mut request = Request::from_parts(head, body);
        let mut refused = None;
        if classified.operation.spec().inspected {
            match self.inspect(&mut request).await {
                Ok(bytes) => {
                    if classified.force == Force::InBody {
                        classified.force = force::judge(&bytes);
                    }
                    request.extensions_mut().insert(Inspected(bytes));
                }
                Err(rejection) => refused = Some(rejection),
            }
        }
        context.set_classified(classified);
        match refused {
            Some(rejection) => rejection.respond(&context, &method),
            None => next.run(request).await,
        }
    }
}
