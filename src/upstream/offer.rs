//! Where lakeFS may choose HTTP/2: which connection a request goes by, and when it may go by another.
//!
//! A request is repeated only if lakeFS says that it did nothing with it, and nothing of its body is lost.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::answer::{Busy, Rising};
use super::http2::{self, Failed, Slot};
use super::pool::Lease;
use super::upload::Upload;
use super::{Inner, Patience, Way, broken, chain, rewrite};
use crate::exchange::{Body, Rejection};
use crate::lakefs_client::DialError;

/// Where a request goes.
enum Route {
    /// A place on a connection of HTTP/2, and whether that is fresh.
    Stream(Slot, bool),
    /// HTTP/1.1: by this connection, or by any that waits.
    Connection(Option<Lease>),
}

/// What a request waits for when all connections are full.
enum Place<'a> {
    Slot(Slot),
    Turn(Option<SemaphorePermit<'a>>),
}

impl Inner {
    /// Sends a request by HTTP/2 if lakeFS chooses it and it can carry the request as it is, else by HTTP/1.1.
    pub(super) async fn send_offering_http2(
        &self,
        request: http::Request<Upload>,
        way: &Way<'_>,
    ) -> Result<(http::Response<Body>, Busy), Rejection> {
        let Some(head) = rewrite::http2::head(request.method(), request.uri(), request.headers()) else {
            return self.send(request, None, way).await;
        };
        let (old, mut upload) = request.into_parts();
        let mut patience = Patience::new(self.patience);
        loop {
            let (slot, fresh) = match self.route(way, &mut patience).await? {
                Route::Stream(slot, fresh) => (slot, fresh),
                Route::Connection(lease) => {
                    return self.send(http::Request::from_parts(old, upload), lease, way).await;
                }
            };
            let progress = way.progress.map(Arc::as_ref);
            match self
                .watched(http2::send(slot, head.clone(), upload, progress), way)
                .await?
            {
                Ok((response, pipe)) => {
                    let rising = pipe.map(|pipe| Rising::new(pipe, self.times, way.progress.cloned()));
                    return Ok((response, Busy::Stream(rising)));
                }
                Err(Failed { cause, unsent: None }) => return Err(broken(&cause, way)),
                Err(Failed {
                    cause,
                    unsent: Some(unsent),
                }) => {
                    upload = unsent;
                    let refused = cause.is_refusal();
                    // An old connection may just have ended. A fresh one that ends at once, or a refusal, says to wait.
                    if (fresh || refused) && !patience.rest().await {
                        return Err(if refused {
                            self.busy()
                        } else {
                            Rejection::UpstreamDown(chain(&cause))
                        });
                    }
                }
            }
        }
    }

    async fn route(&self, way: &Way<'_>, patience: &mut Patience) -> Result<Route, Rejection> {
        let (pool, http2) = (way.pool, &way.pool.http2);
        if let Some(slot) = http2.slot(&self.dialer) {
            return Ok(Route::Stream(slot, false));
        }
        if http2.declined.load(Ordering::Relaxed) {
            // Each request needs a connection of its own then, and no turn to open it.
            return match pool.has_idle() {
                true => Ok(Route::Connection(None)),
                false => self.dial(patience, || self.offer(way)).await,
            };
        }
        let wait = self.patience + self.dialer.connect_timeout();
        match timeout(wait, self.place(way)).await.map_err(|_| self.busy())? {
            Place::Slot(slot) => Ok(Route::Stream(slot, false)),
            Place::Turn(_turn) => self.dial(patience, || self.offer(way)).await,
        }
    }

    /// Waits for a place, or for the turn to open a connection.
    async fn place<'a>(&self, way: &Way<'a>) -> Place<'a> {
        let http2 = &way.pool.http2;
        let mut turn = pin!(http2.turn());
        loop {
            let turn = tokio::select! {
                biased;
                turn = turn.as_mut() => Some(turn),
                () = http2.freed() => None,
            };
            match (http2.slot(&self.dialer), turn) {
                (Some(slot), _) => return Place::Slot(slot),
                (None, Some(turn)) => return Place::Turn(turn),
                (None, None) => {}
            }
        }
    }

    /// Opens a connection on which lakeFS chooses what is spoken.
    async fn offer(&self, way: &Way<'_>) -> Result<Route, DialError> {
        let stream = self.dialer.connect_offering_http2().await?;
        let http2 = &way.pool.http2;
        http2.declined.store(!stream.is_http2(), Ordering::Relaxed);
        if !stream.is_http2() {
            return Ok(Route::Connection(Some(self.lease(stream).await?)));
        }
        let opened = http2.open(stream, &self.dialer, self.times.keep_alive).await;
        let slot = opened.map_err(|source| DialError::Connect {
            to: self.dialer.to().to_owned(),
            source,
        })?;
        self.metrics.upstream_connections.inc();
        Ok(Route::Stream(slot, true))
    }

    /// lakeFS takes no more requests at a time.
    fn busy(&self) -> Rejection {
        Rejection::Busy {
            reason: "upstream-busy",
            retry_after: self.patience,
        }
    }
}
