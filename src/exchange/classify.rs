//! The classify layer: says what a request is, and reads, with caps, what it must of a named operation's body.
//!
//! The decision is made from the head wherever a body cannot change it. What is read is forwarded byte for byte, in its own framing; in
//! `Mode::Observe` so is what could not be read, and it counts as whatever its body could make of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::body::Reader;
use super::step::{Inner, Next, Step};
use super::{Body, Context, Rejection, Request, Response};
use crate::config::Mode;
use crate::lakefs::{self, Classified};

/// Caps on bodies that are read for judgement.
#[derive(Debug, Clone, Copy)]
pub struct InspectionLimits {
    /// Bytes of one body.
    pub body: usize,
    /// Time for one body.
    pub timeout: Duration,
}

/// A body larger than this takes longer than a data thread has.
const QUICK_BODY: usize = 16 << 10;

/// The body of a request that was read for judgement; kept in the request's extensions.
#[derive(Debug, Clone)]
pub struct Inspected(pub Bytes);

/// The classify layer.
#[derive(Debug)]
pub struct Classify {
    s3_domains: Vec<String>,
    limits: InspectionLimits,
    mode: Mode,
    budget: Arc<Semaphore>,
}

impl Classify {
    /// `budget` has a permit for each KiB of the bodies that may be read at a time.
    pub fn new(s3_domains: Vec<String>, limits: InspectionLimits, mode: Mode, budget: Arc<Semaphore>) -> Self {
        Self {
            s3_domains,
            limits,
            mode,
            budget,
        }
    }

    /// Reads the body and puts it back as it came, its share of the budget held until it has been forwarded.
    async fn inspect(&self, request: &mut Request) -> Result<Bytes, Rejection> {
        let too_large = || Rejection::TooLarge {
            limit: self.limits.body,
        };
        let body = std::mem::replace(request.body_mut(), Body::empty());
        let size = http_body::Body::size_hint(&body)
            .upper()
            .map_or(self.limits.body, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let (mut reader, mut permit) = (Reader::new(body), None);
        let reading = async {
            if size > self.limits.body {
                return Err(too_large());
            }
            permit = Some(self.reserve(size).await?);
            match reader.read(self.limits.body).await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => Err(too_large()),
                Err(_) => Err(Rejection::BodyBroken),
            }
        };
        let read = timeout(self.limits.timeout, reading).await;
        *request.body_mut() = reader.into_body().holding(permit);
        read.unwrap_or(Err(Rejection::InspectionTimeout))
    }

    async fn reserve(&self, size: usize) -> Result<OwnedSemaphorePermit, Rejection> {
        let permits = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.budget)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| Rejection::Internal)
    }
}

/// What the body makes of a request; a long one is read off the data thread.
async fn judged(mut classified: Classified, body: Bytes) -> Classified {
    if body.len() <= QUICK_BODY {
        classified.read_body(&body);
        return classified;
    }
    let unread = classified.clone();
    let reading = tokio::task::spawn_blocking(move || {
        classified.read_body(&body);
        classified
    });
    // Unread it counts as the worst that it could be.
    reading.await.unwrap_or(unread)
}

impl Step for Classify {
    async fn call<S: Inner>(&self, request: Request, next: Next<S>) -> Response {
        let context = Context::of(&request);
        let method = request.method().clone();
        context.set_xml_type(lakefs::reply::xml_type(request.headers()));
        let (head, body) = request.into_parts();
        let (mut classified, mut refused) = match lakefs::classify(&head, &self.s3_domains) {
            Ok(classified) => (classified, None),
            Err(malformed) => {
                let rejection = Rejection::AmbiguousTarget(malformed.what);
                let bites = rejection.bites(self.mode, &context, "ambiguous-target");
                (*malformed.classified, bites.then_some(rejection))
            }
        };
        let mut request = Request::from_parts(head, body);
        if refused.is_none() && classified.operation.spec().inspected {
            match self.inspect(&mut request).await {
                Ok(bytes) => {
                    // Nobody but lakeFS knows the keys of a body in AWS's chunks.
                    if !lakefs::is_aws_chunked(request.headers()) {
                        classified = judged(classified, bytes.clone()).await;
                    }
                    request.extensions_mut().insert(Inspected(bytes));
                }
                Err(rejection) => {
                    let by = match rejection {
                        Rejection::TooLarge { .. } => "server.inspected_body",
                        _ => "server.inspected_timeout",
                    };
                    let bites = rejection.bites(self.mode, &context, by);
                    refused = bites.then_some(rejection);
                }
            }
        }
        context.set_classified(classified);
        match refused {
            Some(rejection) => rejection.respond(&context, &method),
            None => next.run(request).await,
        }
    }
}
