//! Listings of repositories, cut to what the caller may know of: the API's pages (`page`) and the S3 gateway's buckets (`buckets`).
//!
//! A page that loses some is filled from those that follow, so that its size, `has_more` and `next_offset` are those of a lakeFS that has
//! only what the caller sees; no name of another one is in them. What cannot be read for sure is refused, never shown whole.

mod buckets;
mod page;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::decide::{Asked, may_see};
use super::rule::Rules;
use crate::exchange::body::Read;
use crate::exchange::{Body, Context, Rejection, Request, Response, headers};
use crate::lakefs::{Operation, Protocol};
use crate::lakefs_client::{Caller, Client};
use page::Page;

/// The longest listing that is read: 80,000 buckets of S3; a page of the API has a thousand repositories at most.
const CAP: usize = 8 << 20;
/// Pages that are read to fill one.
const PAGES: usize = 100;
/// How long all of that may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Listings that are in memory at a time.
pub(super) const AT_A_TIME: usize = 16;

/// Who looks at a listing.
#[derive(Debug, Clone)]
struct Viewer {
    rules: Arc<Rules>,
    context: Context,
    now: jiff::Timestamp,
}

impl Viewer {
    fn sees(&self, repository: &str) -> bool {
        let Some(classified) = self.context.classified() else {
            return false;
        };
        let asked = Asked {
            classified,
            method: &Method::GET,
            principal: self.context.principal(),
            address: self.context.client().address,
            now: self.now,
        };
        may_see(repository, asked, &self.rules)
    }
}

/// A listing that is asked for and must be cut.
#[derive(Debug)]
pub(super) struct Listing {
    protocol: Protocol,
    viewer: Viewer,
    method: Method,
    query: Option<String>,
    caller: Caller,
    client: Client,
    places: Arc<Semaphore>,
}

impl Listing {
    /// The listing that a request asks for, if it is one. The request then goes without asking for a compressed answer, where a signature
    /// does not hold it to that.
    pub(super) fn of(
        request: &mut Request,
        context: &Context,
        rules: &Arc<Rules>,
        (client, places): (&Client, &Arc<Semaphore>),
    ) -> Option<Self> {
        let classified = context.classified()?;
        if !matches!(
            classified.operation,
            Operation::ListRepositories | Operation::S3ListBuckets
        ) {
            return None;
        }
        if !signs_its_encoding(request) {
            headers::retain(request.headers_mut(), |name| *name != header::ACCEPT_ENCODING);
        }
        Some(Self {
            protocol: classified.protocol,
            viewer: Viewer {
                rules: Arc::clone(rules),
                context: context.clone(),
                now: jiff::Timestamp::now(),
            },
            method: request.method().clone(),
            query: request.uri().query().map(str::to_owned),
            caller: Caller::client(request.headers()),
            client: client.clone(),
            places: Arc::clone(places),
        })
    }

    /// The answer without what the caller may not know of; an error goes by as it is.
    pub(super) async fn cut(self, response: Response) -> Response {
        if !response.status().is_success() {
            return response;
        }
        let (context, method) = (self.viewer.context.clone(), self.method.clone());
        let cut = timeout(PATIENCE, self.read_and_cut(response)).await;
        match cut.unwrap_or(Err(Rejection::UpstreamTimeout)) {
            Ok(response) => response,
            Err(rejection) => rejection.respond(&context, &method),
        }
    }

    async fn read_and_cut(self, response: Response) -> Result<Response, Rejection> {
        if self.method == Method::HEAD {
            // Its length would tell of what is hidden.
            return Ok(rewritten(response, None));
        }
        let mut codings = response.headers().get_all(header::CONTENT_ENCODING).iter();
        if response.status() != StatusCode::OK || codings.any(|coding| coding != "identity") {
            return Err(unreadable("part of it, or compressed"));
        }
        let places = Arc::clone(&self.places);
        let _place = places.acquire().await.map_err(|_| Rejection::Internal)?;
        let (head, body) = response.into_parts();
        let whole = match body.read_capped(CAP).await {
            Ok(Read::Whole(whole, _)) => whole,
            Ok(Read::TooLarge) => return Err(unreadable("too long")),
            Err(error) => return Err(Rejection::UpstreamBroken(error.to_string())),
        };
        // Off the data thread: there may be thousands to decide about.
        let runtime = self.client.runtime().clone();
        let shown = whole.clone();
        let cutting = runtime.spawn(async move {
            match self.protocol {
                Protocol::S3 => buckets::cut(&shown, |name| self.viewer.sees(name))
                    .ok_or_else(|| unreadable("not lakeFS's XML"))
                    .map(|cut| cut.map(Bytes::from)),
                Protocol::Rest | Protocol::Web => self.cut_page(&shown).await,
            }
        });
        let cut = cutting.await.map_err(|_| Rejection::Internal)??;
        Ok(match cut {
            Some(cut) => rewritten(Response::from_parts(head, Body::empty()), Some(cut)),
            None => Response::from_parts(head, whole.into()),
        })
    }

    /// A page without what is hidden, filled up; `None` where nothing of it is hidden.
    async fn cut_page(&self, body: &[u8]) -> Result<Option<Bytes>, Rejection> {
        let broken = || unreadable("not lakeFS's JSON");
        let mut page = Page::read(body).ok_or_else(broken)?;
        let size = page.results.len();
        let mut left_out = page.hide(|name| self.viewer.sees(name));
        if left_out == 0 {
            return Ok(None);
        }
        for _ in 0..PAGES {
            if !page.has_more || page.results.len() > size {
                return Ok(Some(page.cut_to(size).write().into()));
            }
            let query = page::following(self.query.as_deref(), &page.next_offset);
            let next = self.client.repositories(&self.caller, &query).await;
            let next = next.map_err(|error| Rejection::UpstreamBroken(error.to_string()))?;
            let mut next = Page::read(&next).ok_or_else(broken)?;
            if next.has_more && next.next_offset <= page.next_offset {
                return Err(unreadable("without an end"));
            }
            left_out += next.hide(|name| self.viewer.sees(name));
            page.append(next);
        }
        tracing::warn!(target: "lakegate::guard", left_out, "a listing of repositories was not filled in {PAGES} pages");
        Err(unreadable("too long"))
    }
}

fn unreadable(why: &str) -> Rejection {
    Rejection::UpstreamBroken(format!(
        "the listing of repositories must be cut to what the caller may know of, and is {why}"
    ))
}

/// The answer with another body, or none: what is said of the old one goes.
fn rewritten(mut response: Response, body: Option<Bytes>) -> Response {
    const OF_THE_BODY: [HeaderName; 5] = [
        header::ETAG,
        header::ACCEPT_RANGES,
        header::TRAILER,
        HeaderName::from_static("digest"),
        HeaderName::from_static("content-md5"),
    ];
    let goes = |name: &HeaderName| OF_THE_BODY.contains(name) || (body.is_none() && *name == header::CONTENT_LENGTH);
    headers::retain(response.headers_mut(), |name| !goes(name));
    if let Some(body) = body {
        let length = HeaderValue::from(body.len());
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        *response.body_mut() = body.into();
    }
    response
}

/// Whether an AWS signature covers the request's Accept-Encoding, so that it cannot be taken out.
fn signs_its_encoding(request: &Request) -> bool {
    let names_it = |text: &str| text.to_ascii_lowercase().contains("accept-encoding");
    let in_headers = |headers: &HeaderMap| {
        let all = headers.get_all(header::AUTHORIZATION);
        all.iter().any(|value| value.to_str().is_ok_and(names_it))
    };
    in_headers(request.headers()) || request.uri().query().is_some_and(names_it)
}
