//! Connections to lakeFS that wait for their next request: one pool a data thread, last in first out. Those of HTTP/2 are kept in `http2`.
//!
//! Live state: the pools outlive every reload. A connection that another dialer opened (`upstream` has changed) is never used again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::http2::Connections;
use super::upload::Upload;
use crate::lakefs_client::Dialer;

/// The connections of all data threads.
#[derive(Debug)]
pub struct Pools(Box<[Arc<Pool>]>);

impl Pools {
    /// Empty pools for so many data threads.
    pub fn new(threads: usize) -> Self {
        Self((0..threads.max(1)).map(|_| Arc::default()).collect())
    }

    /// Connections that wait now, in all pools.
    pub fn idle(&self) -> usize {
        self.0.iter().map(|pool| pool.lock().idle.len()).sum()
    }

    /// The pool of a data thread.
    pub(super) fn of(&self, core: usize) -> &Arc<Pool> {
        // `new` makes at least one.
        #[expect(
            clippy::indexing_slicing,
            reason = "the remainder is within, and there is at least one pool"
        )]
        &self.0[core % self.0.len()]
    }
}

/// A connection to lakeFS, busy with one request. Unless it is returned to its pool it is closed when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<Upload>,
    driver: AbortHandle,
    unwritable: Arc<AtomicBool>,
    dialer: Arc<Dialer>,
}

impl Lease {
    /// `driver` is the task that moves the connection's bytes; `unwritable` tells when it can move no more to lakeFS.
    pub(super) fn new(
        sender: SendRequest<Upload>,
        driver: AbortHandle,
        unwritable: Arc<AtomicBool>,
        dialer: Arc<Dialer>,
    ) -> Self {
        Self {
            sender,
            driver,
            unwritable,
            dialer,
        }
    }

    /// Whether nothing more will ever be sent on it.
    pub(super) fn is_dead(&self) -> bool {
        self.sender.is_closed() || self.unwritable.load(Ordering::Acquire)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The connections of one data thread.
#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    /// Those that speak HTTP/2.
    pub(super) http2: Connections,
}

#[derive(Debug, Default)]
struct State {
    /// The longest unused first.
    idle: VecDeque<Idle>,
    swept: bool,
}

#[derive(Debug)]
struct Idle {
    lease: Lease,
    expires: Instant,
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, if it is still good and `dialer` opened it.
    pub(super) fn take(&self, dialer: &Arc<Dialer>) -> Option<Lease> {
        let mut state = self.lock();
        let now = Instant::now();
        while let Some(Idle { lease, expires }) = state.idle.pop_back() {
            if now < expires && lease.sender.is_ready() && Arc::ptr_eq(&lease.dialer, dialer) {
                return Some(lease);
            }
        }
        None
    }

    /// Whether there is one that waits.
    pub(super) fn has_idle(&self) -> bool {
        !self.lock().idle.is_empty()
    }

    /// Keeps a connection for `keep_alive`, and at most `max` of them.
    pub(super) fn put(self: &Arc<Self>, lease: Lease, keep_alive: Duration, max: usize) {
        let mut state = self.lock();
        let expires = Instant::now() + keep_alive;
        state.idle.push_back(Idle { lease, expires });
        if state.idle.len() > max {
            state.idle.pop_front();
        }
        if !std::mem::replace(&mut state.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Drops what has expired; says when to look again.
    fn expire(&self) -> Option<Instant> {
        let mut state = self.lock();
        let now = Instant::now();
        while state.idle.front().is_some_and(|idle| idle.expires <= now) {
            state.idle.pop_front();
        }
        let next = state.idle.front().map(|idle| idle.expires);
        state.swept = next.is_some();
        next
    }
}

/// Closes connections as they expire, until there are none.
async fn sweep(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.expire()) {
        sleep_until(next).await;
    }
}
